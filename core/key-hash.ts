// Two multiplicative hashes of a text side by side: 64 bits, so that two keys are never taken for one. Of a seed that
// nobody outside knows: who chooses keys cannot choose where they land.
export class KeyHash {
  readonly #seed: number;
  /** Of the text that was taken last. Never 0. */
  tag = 0;
  check = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  take(text: string): void {
    let a = this.#seed;
    let b = ~this.#seed;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      a = Math.imul(a ^ code, 0x85ebca6b);
      a ^= a >>> 13;
      b = Math.imul(b ^ code, 0xc2b2ae35);
      b ^= b >>> 16;
    }
    a = Math.imul(a ^ (a >>> 16), 0x7feb352d);
    this.tag = (a ^ (a >>> 15)) | 0 || 1;
    this.check = Math.imul(b ^ (b >>> 15), 0x846ca68b) | 0;
  }
}
