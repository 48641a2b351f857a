/** Repeatable random numbers: the same seed gives the same run (mulberry32). */
export class Dice {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** 0 ≤ x < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  chance(probability: number): boolean { return probability > 0 && this.next() < probability; }
  /** A whole number from low to high, both possible. */
  between(low: number, high: number): number { return low + Math.floor(this.next() * (high - low + 1)); }
  of<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new Error('nothing to choose from');
    return choices[this.between(0, choices.length - 1)] as T;
  }
}

/** A seed for a run that was given none. */
export function freshSeed(): number { return (Date.now() ^ (process.pid << 16)) >>> 0; }
