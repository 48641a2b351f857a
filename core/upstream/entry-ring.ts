// What is under way on a link, in the order in which it was sent: the oldest entry gets the next reply. Neighbours of
// one sender share an entry, so that a run of requests costs what one request costs.
//
//   [receiver, count, since, tag] …   one array per column: an entry is no object, and entering it allocates nothing
//    ^ head
import type { Receiver } from './receiver.ts';

const SMALLEST = 16;

export class EntryRing {
  /** Entries, not requests. */
  length = 0;
  #owners: (Receiver | null)[] = Array.from({ length: SMALLEST }, () => null);
  #counts = new Float64Array(SMALLEST);
  #since = new Float64Array(SMALLEST);
  #tags = new Float64Array(SMALLEST);
  #mask = SMALLEST - 1;
  #head = 0;

  // Columns of the entry at `index`; 0 is the oldest.

  owner(index: number): Receiver { return this.#owners[(this.#head + index) & this.#mask]!; }
  /** How many replies it waits for. */
  count(index: number): number { return this.#counts[(this.#head + index) & this.#mask]!; }
  /** When its requests were handed to the link (monotonic ms). */
  since(index: number): number { return this.#since[(this.#head + index) & this.#mask]!; }
  tag(index: number): number { return this.#tags[(this.#head + index) & this.#mask]!; }

  /** How many replies the oldest entry waits for; 0: there is none. */
  due(): number { return this.length === 0 ? 0 : this.#counts[this.#head]!; }

  /** Adds to the newest entry, if it is of the same owner, tag and time. */
  merge(owner: Receiver, count: number, since: number, tag: number): boolean {
    const last = (this.#head + this.length - 1) & this.#mask;
    if (this.length === 0 || this.#owners[last] !== owner || this.#tags[last] !== tag || this.#since[last] !== since) {
      return false;
    }
    this.#counts[last]! += count;
    return true;
  }

  push(owner: Receiver, count: number, since: number, tag: number): void {
    if (this.length > this.#mask) this.#grow();
    this.#set((this.#head + this.length++) & this.#mask, owner, count, since, tag);
  }

  /** `count` replies of the oldest entry came. With its last one it leaves. */
  take(count: number): void {
    if ((this.#counts[this.#head]! -= count) === 0) this.shift();
  }

  /** Lets the oldest entry go. */
  shift(): void {
    this.#owners[this.#head] = null;
    this.#head = (this.#head + 1) & this.#mask;
    this.length--;
  }

  /** Puts another receiver in the place of one that was answered already. */
  replace(index: number, owner: Receiver): void {
    this.#owners[(this.#head + index) & this.#mask] = owner;
  }

  /** Moves the oldest entry with this tag to the head. False: there is none. */
  toFront(tag: number): boolean {
    const mask = this.#mask;
    let found = 0;
    while (found < this.length && this.#tags[(this.#head + found) & mask] !== tag) found++;
    if (found === this.length) return false;
    const at = (this.#head + found) & mask;
    const owner = this.#owners[at]!;
    const count = this.#counts[at]!;
    const since = this.#since[at]!;
    for (let i = found; i > 0; i--) {
      const from = (this.#head + i - 1) & mask;
      this.#set((this.#head + i) & mask, this.#owners[from]!, this.#counts[from]!, this.#since[from]!, this.#tags[from]!);
    }
    this.#set(this.#head, owner, count, since, tag);
    return true;
  }

  #set(at: number, owner: Receiver, count: number, since: number, tag: number): void {
    this.#owners[at] = owner;
    this.#counts[at] = count;
    this.#since[at] = since;
    this.#tags[at] = tag;
  }

  #grow(): void {
    const size = this.#mask + 1;
    const owners: (Receiver | null)[] = Array.from({ length: size * 2 }, () => null);
    const [counts, since, tags] = [new Float64Array(size * 2), new Float64Array(size * 2), new Float64Array(size * 2)];
    for (let i = 0; i < size; i++) {
      const from = (this.#head + i) & this.#mask;
      owners[i] = this.#owners[from]!;
      counts[i] = this.#counts[from]!;
      since[i] = this.#since[from]!;
      tags[i] = this.#tags[from]!;
    }
    this.#owners = owners;
    this.#counts = counts;
    this.#since = since;
    this.#tags = tags;
    this.#mask = size * 2 - 1;
    this.#head = 0;
  }
}
