import type { Clock } from './clock.ts';

/** Reads a clock once per event-loop turn: one read costs as much as framing two requests. */
export class TurnClock implements Clock {
  readonly #source: Clock;
  readonly #expire = (): void => { this.#fresh = false; };
  #fresh = false;
  #value = 0;

  constructor(source: Clock) {
    this.#source = source;
  }

  now(): number {
    if (this.#fresh) return this.#value;
    this.#fresh = true;
    setImmediate(this.#expire);
    return (this.#value = this.#source.now());
  }
}
