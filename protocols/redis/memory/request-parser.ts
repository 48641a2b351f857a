// Cuts a client's bytes into requests: RESP arrays of bulk strings and inline commands. Rules, limits and
// error texts are those of networking.c of Redis 7.0.15. Input may be split anywhere: every byte is looked at
// once and copied a bounded number of times, since the buffer doubles instead of growing by each chunk.
import { parseInteger } from './integer.ts';
import { splitInline } from './inline-arguments.ts';

/** Longest line: an inline command, or a `*` or `$` header. */
const MAX_LINE = 64 * 1024;
/** proto-max-bulk-len. */
const MAX_BULK = 512 * 1024 * 1024;
const MAX_ARGUMENTS = 0x7fff_ffff;
/** client-query-buffer-limit: bytes of one request, announced or waiting. */
const MAX_REQUEST = 1024 * 1024 * 1024;

const CR = 0x0d;
const LF = 0x0a;
const ARRAY = 0x2a;
const BULK = 0x24;
const HEADER_INCOMPLETE = -1;

/** The client broke the protocol: answer with the message, then close. */
export class ProtocolFault extends Error {}

/** The client sent more than a request may have: close without an answer, as Redis does. */
export class RequestTooLarge extends Error {}

export class RequestParser {
  readonly #maxRequest: number;
  #buffer: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  /** Bytes after #start in which no line end was found yet. */
  #searched = 0;
  #args: Buffer[] = [];
  #argsBytes = 0;
  #argsLeft = 0;
  #bulkLength = -1;

  /** `maxRequest`: bytes that one request may have; beyond, `RequestTooLarge` is thrown. */
  constructor(maxRequest = MAX_REQUEST) {
    this.#maxRequest = maxRequest;
  }

  /** Adds bytes. The chunk may be kept until the next `push`: it must not be written to afterwards. */
  push(chunk: Buffer): void {
    if (this.#start === this.#end) {
      this.#buffer = chunk;
      this.#start = 0;
      this.#end = chunk.length;
      return;
    }
    const waiting = this.#end - this.#start;
    if (waiting + chunk.length + this.#argsBytes > this.#maxRequest) throw new RequestTooLarge();
    if (this.#end + chunk.length > this.#buffer.length) this.#grow(waiting, chunk.length);
    chunk.copy(this.#buffer, this.#end);
    this.#end += chunk.length;
  }

  /**
   * The next request; null when more bytes are needed. Throws `ProtocolFault`; the parser is of no use after
   * that.
   */
  next(): Buffer[] | null {
    while (this.#end > this.#start) {
      if (this.#argsLeft > 0 || this.#buffer[this.#start] === ARRAY) {
        if (this.#argsLeft === 0 && !this.#readCount()) return null;
        if (this.#argsLeft === 0) continue;
        if (!this.#readArguments()) return null;
        return this.#takeArguments();
      }
      const args = this.#readInline();
      if (args === null) return null;
      if (args.length > 0) return args;
    }
    return null;
  }

  #grow(waiting: number, more: number): void {
    const needed = waiting + more;
    // A known bulk length bounds the doubling, so that a 512 MB value does not take a 1 GB buffer.
    const expected = this.#bulkLength >= 0 ? this.#bulkLength + 2 : 0;
    const doubled = waiting * 2;
    const capacity = Math.max(needed, expected > needed ? Math.min(expected, doubled) : doubled, 1024);
    const larger = Buffer.allocUnsafeSlow(capacity);
    this.#buffer.copy(larger, 0, this.#start, this.#end);
    this.#buffer = larger;
    this.#start = 0;
    this.#end = waiting;
  }

  #readCount(): boolean {
    const count = this.#readHeader('too big mbulk count string');
    if (count === HEADER_INCOMPLETE) return false;
    const length = parseInteger(this.#headerText(count));
    if (length === null || length > MAX_ARGUMENTS) throw new ProtocolFault('invalid multibulk length');
    this.#skipTo(count + 2);
    this.#argsLeft = Math.max(length, 0);
    return true;
  }

  #readArguments(): boolean {
    while (this.#argsLeft > 0) {
      if (this.#bulkLength < 0 && !this.#readBulkLength()) return false;
      // The two bytes behind a bulk string are skipped unseen: so does Redis.
      if (this.#end - this.#start < this.#bulkLength + 2) return false;
      const stop = this.#start + this.#bulkLength;
      // A copy: a view would keep a whole socket read alive for each small value stored.
      this.#args.push(Buffer.from(this.#buffer.subarray(this.#start, stop)));
      this.#argsBytes += this.#bulkLength;
      if (this.#argsBytes > this.#maxRequest) throw new RequestTooLarge();
      this.#skipTo(stop + 2);
      this.#bulkLength = -1;
      this.#argsLeft--;
    }
    return true;
  }

  #readBulkLength(): boolean {
    const end = this.#readHeader('too big bulk count string');
    if (end === HEADER_INCOMPLETE) return false;
    const type = this.#buffer[this.#start] ?? 0;
    if (type !== BULK) throw new ProtocolFault(`expected '$', got '${String.fromCharCode(type)}'`);
    const length = parseInteger(this.#headerText(end));
    if (length === null || length < 0 || length > MAX_BULK) throw new ProtocolFault('invalid bulk length');
    this.#skipTo(end + 2);
    this.#bulkLength = length;
    return true;
  }

  #takeArguments(): Buffer[] {
    const args = this.#args;
    this.#args = [];
    this.#argsBytes = 0;
    return args;
  }

  #readInline(): Buffer[] | null {
    const newline = this.#find(LF);
    if (newline < 0) {
      if (this.#end - this.#start > MAX_LINE) throw new ProtocolFault('too big inline request');
      return null;
    }
    const stop = newline > this.#start && this.#buffer[newline - 1] === CR ? newline - 1 : newline;
    const words = splitInline(this.#buffer.toString('latin1', this.#start, stop));
    if (words === null) throw new ProtocolFault('unbalanced quotes in request');
    this.#skipTo(newline + 1);
    return words.map((word) => Buffer.from(word, 'latin1'));
  }

  /** Finds the CR of the header at #start; the byte behind it is skipped unseen: so does Redis. */
  #readHeader(tooLong: string): number {
    const found = this.#find(CR);
    if (found >= 0) return found + 2 > this.#end ? HEADER_INCOMPLETE : found;
    if (this.#end - this.#start > MAX_LINE) throw new ProtocolFault(tooLong);
    return HEADER_INCOMPLETE;
  }

  #headerText(end: number): string {
    return this.#buffer.toString('latin1', this.#start + 1, end);
  }

  #find(byte: number): number {
    const found = this.#buffer.subarray(0, this.#end).indexOf(byte, this.#start + this.#searched);
    this.#searched = found < 0 ? this.#end - this.#start : found - this.#start;
    // Redis looks with strchr: behind a zero byte it sees no line end, and waits until the line is too long.
    return found >= 0 && this.#buffer.subarray(this.#start, found).includes(0) ? -1 : found;
  }

  #skipTo(position: number): void {
    this.#start = position;
    this.#searched = 0;
    if (this.#start < this.#end) return;
    // Nothing waits: let a buffer that held a large value go.
    this.#buffer = Buffer.alloc(0);
    this.#start = 0;
    this.#end = 0;
  }
}
