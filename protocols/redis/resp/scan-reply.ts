// Finds where a reply ends, in bytes that may be cut anywhere. It never builds a reply: a proxy forwards. State is
// kept between calls, so that a reply of any size is passed on as it comes and no byte is looked at twice.

/** `scan` consumed everything up to the answered position and the message goes on. */
export const MORE = 0;
/** The message ended at the answered position. */
export const DONE = 1;
export const BROKEN = 2;

const CR = 13;
const LF = 10;
/** A header or a simple line that is longer is garbage. Real servers send error lines of some hundred bytes. */
const LINE = 64 * 1024;
const TYPES = Buffer.from('+-:_,#($!=;.*~>%|');

export class ReplyScanner {
  outcome = MORE;
  /** First byte of the message that ended last, attributes skipped. */
  type = 0;
  /** Bytes of a bulk, with its line end, that are still to come. */
  #owed = 0;
  /** Elements still to come per level; -1: until the `.` of a streamed aggregate. */
  readonly #counts: Float64Array;
  #depth = 0;
  /** Inside a streamed string (`$?`): pieces until `;0`. */
  #streamed = false;
  /** The next thing at the top level belongs to an attribute: the message itself comes after it. */
  #started = false;
  /**
   * How many pushes confirm each subscription command of the transaction whose EXEC is answered next (RESP3): they stand
   * where that command's reply would, and the last of them counts as it.
   */
  confirmations: number[] = [];

  constructor(nesting: number) {
    this.#counts = new Float64Array(nesting + 1);
  }

  /** Whether a message was begun and has not ended. */
  get midMessage(): boolean {
    return this.#started;
  }

  /** Bytes of the bulk that is being passed on that are still to come. */
  get owed(): number {
    return this.#owed;
  }

  reset(): void {
    this.#owed = 0;
    this.#depth = 0;
    this.#streamed = false;
    this.#started = false;
  }

  /**
   * Consumes one message, or what there is of it. Answers how far bytes were consumed: with MORE, the rest up to
   * `end` is an unfinished line that must be given again together with what follows.
   */
  scan(b: Uint8Array, at: number, end: number): number {
    let p = at;
    if (!this.#started) {
      // The usual reply, in one piece: no state is touched.
      const type = b[p]!;
      this.type = type;
      if (type === 36) {
        const next = this.#wholeBulk(b, p + 1, end);
        if (next > 0) return this.#done(next);
      } else if (type === 43 || type === 58 || type === 45) {
        let q = p + 1;
        while (q < end && b[q] !== CR) q++;
        if (q + 1 < end) {
          if (b[q + 1] !== LF) return this.#broken();
          return this.#done(q + 2);
        }
        if (q - p > LINE) return this.#broken();
        this.outcome = MORE;
        return p;
      }
    }
    while (true) {
      if (this.#owed > 0) {
        const have = Math.min(this.#owed, end - p);
        // The line end is checked where it is seen; one that is cut in two is seen in its second half.
        if (!this.#lineEndFits(b, p, have)) return this.#broken();
        p += have;
        this.#owed -= have;
        if (this.#owed > 0) return this.#more(p);
        if (!this.#streamed && this.#elementDone()) return this.#done(p);
        continue;
      }
      if (p >= end) return this.#more(p);
      const next = this.#element(b, p, end);
      if (this.outcome === BROKEN) return next;
      if (next === p) return this.#more(p);
      p = next;
      if (this.outcome === DONE) return this.#done(p);
    }
  }

  #wholeBulk(b: Uint8Array, at: number, end: number): number {
    let p = at;
    let length = 0;
    while (p < end && p - at < 10) {
      const c = b[p]!;
      if (c < 48 || c > 57) break;
      length = length * 10 + c - 48;
      p++;
    }
    if (p === at || p + 1 >= end || b[p] !== CR || b[p + 1] !== LF) return 0;
    // No length: `digits` says so when its bytes come one by one.
    if (b[at] === 48 && p - at > 1) return 0;
    const after = p + 2 + length;
    if (after + 2 > end || b[after] !== CR || b[after + 1] !== LF) return 0;
    return after + 2;
  }

  #lineEndFits(b: Uint8Array, p: number, have: number): boolean {
    const owed = this.#owed;
    // Bytes owed - 2 and owed - 1 from here are CR and LF.
    if (owed >= 2 && have >= owed - 1 && b[p + owed - 2] !== CR) return false;
    return have < owed || b[p + owed - 1] === LF;
  }

  /** Reads one header line at `p`. Sets outcome DONE when it ends the message. Answers `p` when the line is cut. */
  #element(b: Uint8Array, p: number, end: number): number {
    let q = p + 1;
    while (q < end && b[q] !== CR) q++;
    if (q + 1 >= end) {
      if (q - p > LINE || !TYPES.includes(b[p]!)) return this.#broken();
      this.outcome = MORE;
      return p;
    }
    if (b[q + 1] !== LF) return this.#broken();
    const type = b[p]!;
    const next = q + 2;
    if (!this.#started) {
      this.#started = true;
      this.type = type;
    } else if (this.#depth === 0 && !this.#streamed) {
      // An attribute went before: this is the message.
      this.type = type;
    }
    this.outcome = MORE;
    switch (type) {
      case 43: case 45: case 58: case 44: case 35: case 95: case 40: // + - : , # _ (
        if (this.#elementDone()) this.outcome = DONE;
        return next;
      case 36: case 33: case 61: // $ ! =
        return this.#bulkHeader(b, p, q, next);
      case 59: // ;
        return this.#piece(b, p, q, next);
      case 46: // .
        return this.#streamEnd(next, q === p + 1);
      case 62: // >
        // Redis 7.0 writes what a transaction publishes to its own client into the middle of EXEC's reply.
        if (this.#depth === 1 && this.confirmations.length > 0) return this.#insideExec(b, p, q, next, end);
        if (this.#depth > 0) return this.#besides(b, p, q, next, 1);
        return this.#aggregate(b, p, q, next, 1);
      case 42: case 126: // * ~
        return this.#aggregate(b, p, q, next, 1);
      case 37: // %
        return this.#aggregate(b, p, q, next, 2);
      case 124: // |
        return this.#besides(b, p, q, next, 2);
      default:
        return this.#broken();
    }
  }

  #bulkHeader(b: Uint8Array, p: number, q: number, next: number): number {
    if (b[p + 1] === 63 && q === p + 2) { // $?
      if (this.#streamed) return this.#broken();
      this.#streamed = true;
      return next;
    }
    const length = digits(b, p + 1, q);
    if (length === -1 && b[p] === 36) {
      if (this.#elementDone()) this.outcome = DONE;
      return next;
    }
    if (length < 0) return this.#broken();
    this.#owed = length + 2;
    return next;
  }

  #piece(b: Uint8Array, p: number, q: number, next: number): number {
    const length = digits(b, p + 1, q);
    if (!this.#streamed || length < 0) return this.#broken();
    if (length > 0) {
      this.#owed = length + 2;
      return next;
    }
    this.#streamed = false;
    if (this.#elementDone()) this.outcome = DONE;
    return next;
  }

  #streamEnd(next: number, bare: boolean): number {
    if (!bare || this.#depth === 0 || this.#counts[this.#depth - 1] !== -1) return this.#broken();
    this.#depth--;
    if (this.#elementDone()) this.outcome = DONE;
    return next;
  }

  #aggregate(b: Uint8Array, p: number, q: number, next: number, factor: number): number {
    const streamed = b[p + 1] === 63 && q === p + 2;
    const count = streamed ? -1 : digits(b, p + 1, q);
    if (!streamed && count < (b[p] === 42 ? -1 : 0)) return this.#broken();
    if (!streamed && count <= 0) { // empty, or RESP2's null array
      if (this.#elementDone()) this.outcome = DONE;
      return next;
    }
    return this.#push(streamed ? -1 : count * factor, next);
  }

  /** An attribute comes before the message it describes, and a push between two others: neither is an element. */
  #besides(b: Uint8Array, p: number, q: number, next: number, factor: number): number {
    const count = digits(b, p + 1, q);
    if (count < 0) return this.#broken();
    if (count === 0) return next;
    return this.#push(count * factor + ATTRIBUTE, next);
  }

  #insideExec(b: Uint8Array, p: number, q: number, next: number, end: number): number {
    const confirms = isConfirmation(b, next, end);
    // Its first word is not there yet.
    if (confirms === null) return p;
    if (!confirms) return this.#besides(b, p, q, next, 1);
    if (--this.confirmations[0]! > 0) return this.#besides(b, p, q, next, 1);
    this.confirmations.shift();
    return this.#aggregate(b, p, q, next, 1);
  }

  #push(count: number, next: number): number {
    if (this.#depth >= this.#counts.length) return this.#broken();
    this.#counts[this.#depth++] = count;
    return next;
  }

  /** Counts an element; true when it was the last of the message. */
  #elementDone(): boolean {
    while (this.#depth > 0) {
      const level = this.#depth - 1;
      const count = this.#counts[level]!;
      if (count === -1) return false;
      this.#counts[level] = count - 1;
      if (count - 1 === ATTRIBUTE) {
        // The attribute is over; what it describes is still to come.
        this.#depth = level;
        return false;
      }
      if (count - 1 > 0) return false;
      this.#depth = level;
    }
    return true;
  }

  #more(p: number): number {
    this.outcome = MORE;
    return p;
  }

  #done(p: number): number {
    this.#started = false;
    this.outcome = DONE;
    return p;
  }

  #broken(): number {
    this.outcome = BROKEN;
    return 0;
  }
}

/** Marks an attribute's level; no aggregate has that many elements. */
const ATTRIBUTE = 2 ** 40;

/** Whether the bulk at `at` is the kind of push that confirms a subscription or its end; null: it is cut. */
function isConfirmation(b: Uint8Array, at: number, end: number): boolean | null {
  // `$12\r\nsunsubscribe\r\n` is the longest.
  const text = Buffer.from(b.buffer, b.byteOffset + at, Math.max(0, Math.min(end - at, 20))).toString('latin1');
  if (/^\$\d{1,2}\r\n[ps]?(un)?subscribe\r/.test(text)) return true;
  return text.length < 20 && !/^\$\d+\r\n[^]*\r/.test(text) ? null : false;
}

/** A length: digits without leading zero, or -1; -2 for anything else. */
function digits(b: Uint8Array, from: number, to: number): number {
  if (to - from === 2 && b[from] === 45 && b[from + 1] === 49) return -1;
  if (to <= from || to - from > 10 || (b[from] === 48 && to - from > 1)) return -2;
  let n = 0;
  for (let p = from; p < to; p++) {
    const c = b[p]!;
    if (c < 48 || c > 57) return -2;
    n = n * 10 + c - 48;
  }
  return n;
}
