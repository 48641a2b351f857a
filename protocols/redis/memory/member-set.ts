/** A set of byte strings (latin1) that can name a random member in constant time. */
export class MemberSet {
  #members: string[] = [];
  #places = new Map<string, number>();

  static from(members: Iterable<string>): MemberSet {
    const set = new MemberSet();
    for (const member of members) set.add(member);
    return set;
  }

  get size(): number {
    return this.#members.length;
  }

  has(member: string): boolean {
    return this.#places.has(member);
  }

  add(member: string): boolean {
    if (this.#places.has(member)) return false;
    this.#places.set(member, this.#members.length);
    this.#members.push(member);
    return true;
  }

  delete(member: string): boolean {
    const place = this.#places.get(member);
    if (place === undefined) return false;
    this.#places.delete(member);
    const last = this.#members.pop();
    if (last !== undefined && last !== member) {
      this.#members[place] = last;
      this.#places.set(last, place);
    }
    return true;
  }

  random(): string | undefined {
    return this.#members[Math.floor(Math.random() * this.#members.length)];
  }

  [Symbol.iterator](): Iterator<string> {
    return this.#members[Symbol.iterator]();
  }
}
