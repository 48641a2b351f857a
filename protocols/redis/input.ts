// The bytes of one client that were not framed yet, and how far the request among them was framed that is unfinished.
//
//   bytes   [ framed │ at … unfinished … end │ room ]     the shared read buffer, or a buffer of our own that grows
//                            ^ resume: the first argument that is not complete
import { found, INCOMPLETE, resumeRequest, scanRequest, type ScanLimits } from './resp/scan-request.ts';

const EMPTY: Buffer = Buffer.alloc(0);

export class Input {
  bytes: Buffer = EMPTY;
  at = 0;
  end = 0;
  /** When the oldest byte of an unfinished request came (monotonic ms); 0: there is none. */
  since = 0;
  /** What an unfinished request is known to need, from `at`; 0: unknown. */
  needed = 0;
  /** `bytes` is our own, not the shared read buffer. */
  #kept = false;
  // Of an unfinished request: offsets are counted from `at`, because its bytes may move.
  #elements = 0;
  #resume = 0;
  #count = 0;
  #nameStart = 0;
  #nameEnd = 0;

  /** Whether there is enough to go on framing. */
  get ready(): boolean { return this.end > this.at && this.end - this.at >= this.needed; }
  /** Memory held. */
  get held(): number { return this.#kept ? this.bytes.length : 0; }

  /** Takes what was read. It is a view until `keepRest`. */
  receive(bytes: Buffer, length: number): void {
    if (this.at === this.end) {
      this.bytes = bytes;
      this.at = 0;
      this.end = length;
      this.#kept = false;
    } else {
      this.#append(bytes, length);
    }
  }

  /** Copies what was not framed: the read buffer is used again. */
  keepRest(): void {
    if (this.at === this.end) {
      if (this.#kept) spare(this.bytes);
      this.bytes = EMPTY;
      this.at = this.end = 0;
      this.#kept = false;
    } else if (!this.#kept) {
      this.bytes = Buffer.from(this.bytes.subarray(this.at, this.end));
      this.end -= this.at;
      this.at = 0;
      this.#kept = true;
    }
  }

  /** Nobody will frame anything any more. */
  drop(): void {
    this.bytes = EMPTY;
    this.at = this.end = 0;
  }

  /** Frames the request at `from` of what is there (`bytes` and `end`, which a loop has at hand): its end, INCOMPLETE or BROKEN, and more in `found`. */
  scan(bytes: Buffer, from: number, end: number, limits: ScanLimits): number {
    let next: number;
    if (this.#elements > 0 && from === this.at) {
      next = resumeRequest(bytes, from, from + this.#resume, end, this.#elements, this.#count, limits);
      found.nameStart = from + this.#nameStart;
      found.nameEnd = from + this.#nameEnd;
    } else {
      next = scanRequest(bytes, from, end, limits);
    }
    if (next !== INCOMPLETE) {
      this.forget();
      this.since = 0;
    }
    return next;
  }

  /** Remembers how far the unfinished request at `at` was framed. */
  remember(now: number): void {
    const { at } = this;
    if (this.since === 0) this.since = now;
    this.needed = found.needed;
    if (found.inline) return;
    this.#elements = found.elements;
    this.#resume = found.resume - at;
    this.#count = found.count;
    this.#nameStart = found.nameStart - at;
    this.#nameEnd = found.nameEnd - at;
  }

  /** What comes next is framed from its beginning. */
  forget(): void {
    this.#elements = this.needed = 0;
  }

  /** Memory follows what was received, not what was announced: it grows by doubling up to what is needed. */
  #append(bytes: Buffer, length: number): void {
    const have = this.end - this.at;
    if (!this.#kept || this.bytes.length - this.end < length) {
      const doubled = (have + length) * 2;
      const wanted = this.needed > have + length ? Math.min(this.needed, doubled) : Math.max(have + length, 256);
      const larger = assembly(wanted);
      this.bytes.copy(larger, 0, this.at, this.end);
      if (this.#kept) spare(this.bytes);
      this.bytes = larger;
      this.at = 0;
      this.end = have;
      this.#kept = true;
    }
    bytes.copy(this.bytes, this.end, 0, length);
    this.end += length;
  }
}

/** Buffers in which large requests were assembled: fresh memory of that size costs as much as filling it. */
const spares: Buffer[] = [];
const ASSEMBLY = 128 * 1024;
const MOST_SPARES = 16;

function assembly(wanted: number): Buffer {
  if (wanted <= ASSEMBLY / 4 || wanted > ASSEMBLY) return Buffer.allocUnsafeSlow(wanted);
  return spares.pop() ?? Buffer.allocUnsafeSlow(ASSEMBLY);
}

function spare(bytes: Buffer): void {
  if (bytes.length === ASSEMBLY && spares.length < MOST_SPARES) spares.push(bytes);
}
