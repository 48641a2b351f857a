// The most frequent keys in fixed memory: the space-saving algorithm (Metwally, Agrawal, El Abbadi 2005). A key that is
// not among the counters takes the place of the rarest one and inherits its count, so a count is never too low, and too high
// by `error` at most. Counts are halved once a minute: what was hot an hour ago is not hot now.

export interface HotKey {
  readonly key: string;
  readonly count: number;
  readonly error: number;
}

interface Counter {
  key: string;
  count: number;
  error: number;
}

const halfLife = 60_000;
/** After so many minutes without any key nothing of a count is left. */
const mostHalvings = 60;

export class HotKeys {
  readonly #size: number;
  readonly #counters: Counter[] = [];
  readonly #byKey = new Map<string, Counter>();
  /** No counter is lower: the search for the rarest one may end there. */
  #floor = 0;
  #hand = 0;
  #halvedAt: number;
  /** Of all keys that were counted, halved like them. */
  total = 0;

  /** `now`: monotonic milliseconds. */
  constructor(size: number, now: number) {
    this.#size = size;
    this.#halvedAt = now;
  }

  add(key: string, now: number): void {
    this.#age(now);
    this.total++;
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    if (this.#counters.length < this.#size) {
      const counter = { key, count: 1, error: 0 };
      this.#counters.push(counter);
      this.#byKey.set(key, counter);
      this.#floor = Math.min(this.#floor, 1);
      return;
    }
    const rarest = this.#rarest();
    this.#byKey.delete(rarest.key);
    this.#byKey.set(key, rarest);
    rarest.key = key;
    rarest.error = rarest.count;
    rarest.count++;
  }

  // The hand goes on where it stopped: while counters at the floor are left, the next one is near.
  #rarest(): Counter {
    const counters = this.#counters;
    let least = this.#hand;
    for (let i = 0; i < counters.length; i++) {
      const at = (this.#hand + i) % counters.length;
      if (counters[at]!.count < counters[least]!.count) least = at;
      if (counters[least]!.count <= this.#floor) break;
    }
    this.#hand = (least + 1) % counters.length;
    this.#floor = counters[least]!.count;
    return counters[least]!;
  }

  #age(now: number): void {
    const halvings = Math.floor((now - this.#halvedAt) / halfLife);
    if (halvings <= 0) return;
    this.#halvedAt += halvings * halfLife;
    const part = halvings > mostHalvings ? 0 : 0.5 ** halvings;
    for (const counter of this.#counters) {
      counter.count *= part;
      counter.error *= part;
    }
    this.#floor *= part;
    this.total *= part;
  }

  /** The most frequent ones first, at most `most`. */
  list(most: number, now: number): HotKey[] {
    this.#age(now);
    const found = this.#counters.filter(({ count }) => count >= 0.5).toSorted((a, b) => b.count - a.count);
    return found.slice(0, most).map(({ key, count, error }) => ({ key, count: tenths(count), error: tenths(error) }));
  }
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
