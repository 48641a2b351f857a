const KEPT = 65_536;

/** The last 64 KiB of a stream. */
export class Tail {
  #chunks: Buffer[] = [];
  #size = 0;

  add(bytes: Buffer): void {
    // Copied: the view's owner may use the memory again.
    const last = Buffer.from(bytes.subarray(-KEPT));
    this.#chunks.push(last);
    this.#size += last.length;
    while (this.#size - this.#chunks[0]!.length >= KEPT) this.#size -= this.#chunks.shift()!.length;
  }

  bytes(): Buffer { return Buffer.concat(this.#chunks).subarray(-KEPT); }
}
