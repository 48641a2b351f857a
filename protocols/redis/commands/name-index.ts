// From the bytes of a name to its number without making a string: open addressing over a hash of length and
// four bytes, then a comparison byte by byte. Letters compare without case.

const upper = new Uint8Array(256).map((_, byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte));

/** Immutable index of ASCII names to numbers above 0. */
export class NameIndex {
  readonly #slots: Uint16Array;
  readonly #mask: number;
  /** Per number: where its name starts in `#letters`, and its length. */
  readonly #starts: Uint16Array;
  readonly #lengths: Uint8Array;
  readonly #letters: Uint8Array;

  /** Earlier entries get the better places: put the names that are asked most in front. */
  constructor(entries: readonly (readonly [name: string, id: number])[]) {
    let size = 8;
    while (size < entries.length * 4) size *= 2;
    const highest = entries.reduce((most, [, id]) => Math.max(most, id), 0);
    this.#mask = size - 1;
    this.#slots = new Uint16Array(size);
    this.#starts = new Uint16Array(highest + 1);
    this.#lengths = new Uint8Array(highest + 1);
    this.#letters = Buffer.from(entries.map(([name]) => name.toUpperCase()).join(''), 'latin1');
    let start = 0;
    for (const [name, id] of entries) {
      this.#starts[id] = start;
      this.#lengths[id] = name.length;
      let slot = hash(this.#letters, start, name.length) & this.#mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask;
      this.#slots[slot] = id;
      start += name.length;
    }
  }

  /** The number of the name at `bytes[start..end)`, 0 when there is none. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length <= 0) return 0;
    const slots = this.#slots;
    const mask = this.#mask;
    let slot = hash(bytes, start, length) & mask;
    for (;;) {
      const id = slots[slot]!;
      if (id === 0) return 0;
      if (this.#lengths[id] === length && this.#same(bytes, start, end, this.#starts[id]!)) return id;
      slot = (slot + 1) & mask;
    }
  }

  #same(bytes: Uint8Array, start: number, end: number, at: number): boolean {
    const letters = this.#letters;
    for (let i = start, j = at; i < end; i++, j++) {
      if (upper[bytes[i]!] !== letters[j]) return false;
    }
    return true;
  }
}

function hash(bytes: Uint8Array, start: number, length: number): number {
  const first = upper[bytes[start]!]!;
  const early = upper[bytes[start + (length >> 2)]!]!;
  const middle = upper[bytes[start + (length >> 1)]!]!;
  const last = upper[bytes[start + length - 1]!]!;
  const mixed = Math.imul(first, 0x9e3b) + Math.imul(early, 0x3d4d5) + Math.imul(middle, 0x1b873)
    + Math.imul(last, 0x85eb) + Math.imul(length, 0x2c1b3);
  return mixed ^ (mixed >>> 11);
}
