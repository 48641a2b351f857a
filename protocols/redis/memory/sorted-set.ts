// A sorted set: members by name, and an array in order of score, then bytes. Inserting moves the array's
// tail: fine for the sizes a demo holds, and much shorter than a skip list.

export interface Scored {
  readonly member: string;
  readonly score: number;
}

export class SortedSet {
  #scores = new Map<string, number>();
  #ordered: Scored[] = [];

  static from(entries: Iterable<readonly [string, number]>): SortedSet {
    const set = new SortedSet();
    for (const [member, score] of entries) set.#scores.set(member, score + 0);
    set.#ordered = Array.from(set.#scores, ([member, score]) => ({ member, score })).sort(compare);
    return set;
  }

  get size(): number {
    return this.#ordered.length;
  }

  score(member: string): number | undefined {
    return this.#scores.get(member);
  }

  set(member: string, given: number): void {
    // Minus zero becomes zero, as in Redis' compact encoding.
    const score = given + 0;
    const old = this.#scores.get(member);
    if (old !== undefined) this.#ordered.splice(this.#place({ member, score: old }), 1);
    this.#scores.set(member, score);
    const entry = { member, score };
    this.#ordered.splice(this.#place(entry), 0, entry);
  }

  delete(member: string): boolean {
    const score = this.#scores.get(member);
    if (score === undefined) return false;
    this.#ordered.splice(this.#place({ member, score }), 1);
    this.#scores.delete(member);
    return true;
  }

  rank(member: string): number | undefined {
    const score = this.#scores.get(member);
    return score === undefined ? undefined : this.#place({ member, score });
  }

  /** Members from rank `start` up to, not including, `end`. */
  slice(start = 0, end: number = this.size): Scored[] {
    return this.#ordered.slice(start, end);
  }

  at(rank: number): Scored | undefined {
    return this.#ordered[rank];
  }

  removeRanks(start: number, end: number): Scored[] {
    const removed = this.#ordered.splice(start, Math.max(end - start, 0));
    for (const { member } of removed) this.#scores.delete(member);
    return removed;
  }

  /** The first rank whose entry does not satisfy `below`, which must hold for a prefix of the order. */
  firstRank(below: (entry: Scored) => boolean): number {
    let low = 0;
    let high = this.#ordered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.#ordered[middle];
      if (entry !== undefined && below(entry)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  entries(): IterableIterator<[string, number]> {
    return this.#scores.entries();
  }

  #place(wanted: Scored): number {
    return this.firstRank((entry) => compare(entry, wanted) < 0);
  }
}

function compare(a: Scored, b: Scored): number {
  if (a.score !== b.score) return a.score < b.score ? -1 : 1;
  if (a.member === b.member) return 0;
  return a.member < b.member ? -1 : 1;
}
