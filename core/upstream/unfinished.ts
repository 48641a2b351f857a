import { fresh } from '../inlet.ts';

/** The beginning of a message whose end has not come yet. */
export class Unfinished {
  #bytes: Buffer | null = null;
  /** How many bytes of it there are. */
  length = 0;

  /**
   * Puts what came behind what is there, and answers both; then nothing is unfinished. Memory doubles: what was copied
   * once is not copied again for each piece that comes.
   */
  join(bytes: Buffer, length: number): Buffer {
    const had = this.length;
    let joined = this.#bytes!;
    if (joined.length < had + length) {
      const larger = fresh(Math.max(had + length, joined.length * 2));
      joined.copy(larger, 0, 0, had);
      this.#bytes = joined = larger;
    }
    bytes.copy(joined, had, 0, length);
    this.length = 0;
    return joined;
  }

  /** Keeps [at, end) for the next time. */
  keep(bytes: Buffer, at: number, end: number): void {
    this.length = end - at;
    // Nothing of it was handed out: it may stay where it is.
    if (bytes !== this.#bytes || at > 0) this.#bytes = Buffer.from(bytes.subarray(at, end));
  }

  /** Lets go of the memory when the message was finished. */
  rest(): void {
    if (this.length === 0) this.#bytes = null;
  }
}
