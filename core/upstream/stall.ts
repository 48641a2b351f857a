import type { Socket } from 'node:net';

/** Whether bytes wait on a socket and the peer has taken none of them for too long. */
export class Stall {
  /** In ms; 0: it may take nothing as long as it likes. */
  readonly #longest: number;
  /** When it last took something while bytes waited; 0: nothing waits. */
  #since = 0;
  #taken = 0;

  constructor(longest: number) {
    this.#longest = longest;
  }

  /** Asked now and then: between two times it was called the peer took something, or it did not. */
  outlasts(socket: Socket, now: number): boolean {
    const { writableLength } = socket;
    if (this.#longest === 0 || writableLength === 0) {
      this.#since = 0;
      return false;
    }
    const taken = socket.bytesWritten - writableLength;
    if (this.#since === 0 || taken !== this.#taken) {
      this.#since = now;
      this.#taken = taken;
    }
    return now - this.#since > this.#longest;
  }
}
