import type { Clock } from './clock.ts';

/** Reads a clock once per event-loop turn: one read costs as much as framing two requests. */
export class TurnClock implements Clock {
  readonly #source: Clock;
  readonly #expire = (): void => { this.#value = null; };
  /** Null when a turn has ended. A field that also holds null hands out one number for all; others a new one each time. */
  #value: number | null = null;

  constructor(source: Clock) {
    this.#source = source;
  }

  now(): number {
    return this.#value ?? this.#read();
  }

  #read(): number {
    setImmediate(this.#expire);
    return (this.#value = this.#source.now());
  }
}
