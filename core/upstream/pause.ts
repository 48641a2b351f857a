import type { Socket } from 'node:net';
import type { Outbox } from '../outbox.ts';

/** A link that reads nothing while a client has not taken what it was given. */
export class Pause {
  readonly #socket: Socket;
  #outbox: Outbox | null = null;
  /** When it began (monotonic ms). */
  since = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get active(): boolean { return this.#outbox !== null; }

  /** Until what waits in the outbox has left. */
  begin(outbox: Outbox, now: number): void {
    if (this.#outbox !== null || this.#socket.destroyed) return;
    this.#outbox = outbox;
    this.since = now;
    this.#socket.pause();
    outbox.whenFlushed(() => { if (this.#outbox === outbox) this.end(); });
  }

  end(): void {
    this.#outbox = null;
    if (!this.#socket.destroyed) this.#socket.resume();
  }
}
