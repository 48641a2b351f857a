// The newest slow commands, in a ring of fixed size.

export interface SlowCommand {
  /** Milliseconds since 1970, of the answer. */
  readonly at: number;
  readonly client: string;
  readonly user: string;
  readonly command: string;
  /** Masked and cut. */
  readonly line: string;
  /** Milliseconds. */
  readonly took: number;
  readonly node: string;
  readonly outcome: string;
}

export class SlowRing {
  readonly #size: number;
  readonly #entries: SlowCommand[] = [];
  #next = 0;
  /** All there were, those among them that the ring has no more. */
  total = 0;

  constructor(size: number) {
    this.#size = size;
  }

  add(entry: SlowCommand): void {
    this.total++;
    this.#entries[this.#next] = entry;
    this.#next = (this.#next + 1) % this.#size;
  }

  /** Slowest first. */
  list(): SlowCommand[] {
    return this.#entries.toSorted((a, b) => b.took - a.took);
  }
}
