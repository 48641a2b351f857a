// The biggest requests and answers, one entry for each command and key, in fixed memory.

export interface BigValue {
  readonly command: string;
  /** The first key. */
  readonly key: string;
  readonly bytes: number;
  /** `in`: the client sent it, `out`: it was answered. */
  readonly direction: 'in' | 'out';
  readonly client: string;
  /** Milliseconds since 1970, of the biggest. */
  readonly at: number;
}

export class BigValues {
  readonly #size: number;
  readonly #entries = new Map<string, BigValue>();
  #least = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Whether one of so many bytes has a chance: what it is need not be found out otherwise. */
  takes(bytes: number): boolean {
    return this.#entries.size < this.#size || bytes > this.#least;
  }

  add(value: BigValue): void {
    const name = `${value.direction} ${value.command} ${value.key}`;
    const known = this.#entries.get(name);
    if (known !== undefined && known.bytes >= value.bytes) return;
    this.#entries.set(name, value);
    if (this.#entries.size > this.#size) this.#dropSmallest();
    this.#least = Math.min(...[...this.#entries.values()].map(({ bytes }) => bytes));
  }

  #dropSmallest(): void {
    const [first] = [...this.#entries].toSorted(([, a], [, b]) => a.bytes - b.bytes);
    this.#entries.delete(first![0]);
  }

  /** Biggest first. */
  list(): BigValue[] {
    return [...this.#entries.values()].toSorted((a, b) => b.bytes - a.bytes);
  }
}
