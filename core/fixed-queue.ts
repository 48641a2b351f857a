/** A queue on a ring that doubles when full: no allocation per entry. */
export class FixedQueue<T> {
  #ring: (T | undefined)[] = Array.from({ length: 2 });
  #mask = 1;
  #head = 0;
  length = 0;

  push(entry: T): void {
    if (this.length > this.#mask) this.#grow();
    this.#ring[(this.#head + this.length++) & this.#mask] = entry;
  }

  get first(): T | undefined {
    return this.#ring[this.#head];
  }

  at(index: number): T | undefined {
    return index < this.length ? this.#ring[(this.#head + index) & this.#mask] : undefined;
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const entry = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    this.length--;
    return entry;
  }

  /** Takes an entry out of the middle. */
  remove(index: number): T | undefined {
    const entry = this.at(index);
    if (entry === undefined) return undefined;
    for (let i = index; i > 0; i--) this.#ring[(this.#head + i) & this.#mask] = this.at(i - 1);
    this.shift();
    return entry;
  }

  #grow(): void {
    const old = this.#ring;
    const size = this.#mask + 1;
    this.#ring = Array.from({ length: size * 2 });
    for (let i = 0; i < size; i++) this.#ring[i] = old[(this.#head + i) & this.#mask];
    this.#mask = size * 2 - 1;
    this.#head = 0;
  }
}
