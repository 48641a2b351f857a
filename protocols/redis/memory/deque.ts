/** A list that is cheap at both ends: an array with a gap in front that grows with the list. */
export class Deque<T> {
  #slots: (T | undefined)[] = [];
  #head = 0;

  static from<T>(items: readonly T[]): Deque<T> {
    const deque = new Deque<T>();
    deque.#slots = [...items];
    return deque;
  }

  get length(): number {
    return this.#slots.length - this.#head;
  }

  at(index: number): T | undefined {
    return index < 0 ? undefined : this.#slots[this.#head + index];
  }

  set(index: number, item: T): void {
    this.#slots[this.#head + index] = item;
  }

  push(item: T): void {
    this.#slots.push(item);
  }

  unshift(item: T): void {
    if (this.#head === 0) this.#openFront();
    this.#slots[--this.#head] = item;
  }

  pop(): T | undefined {
    return this.length === 0 ? undefined : this.#slots.pop();
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head++] = undefined;
    if (this.#head > 32 && this.#head > this.length) this.#closeFront();
    return item;
  }

  insert(index: number, item: T): void {
    this.#slots.splice(this.#head + index, 0, item);
  }

  /** Items from `start` up to, not including, `end`. */
  slice(start = 0, end: number = this.length): T[] {
    // The gap holds the only undefined slots, and a slice starts behind it.
    return this.#slots.slice(this.#head + start, this.#head + end) as T[];
  }

  #openFront(): void {
    const gap = Math.max(8, this.#slots.length);
    const front: (T | undefined)[] = Array.from({ length: gap });
    this.#slots = front.concat(this.#slots);
    this.#head = gap;
  }

  #closeFront(): void {
    this.#slots = this.#slots.slice(this.#head);
    this.#head = 0;
  }
}
