// Frames one request of a client: an array of bulk strings, or an inline command. Integers only, results in module
// variables (an object per request would cost more than the framing). What it accepts is what Redis 7 accepts, but
// for two things: the line end after a bulk is checked, and a bare line feed in a header is an error at once.
import type { Limits } from '../../../core/limits.ts';

/** More bytes are needed: `needed` says how many at least, counted from the request's start (0: unknown). */
export const INCOMPLETE = -1;
/** Not a request: `problem` is the text after `ERR Protocol error: `; an empty one closes without a word. */
export const BROKEN = -2;

/** What the last complete (or incomplete) request is made of; offsets into the scanned bytes. */
export const found = {
  /** Arguments with the name; 0: nothing to do (`*0`, an empty line). */
  count: 0,
  nameStart: 0,
  nameEnd: 0,
  inline: false,
  needed: 0,
  problem: '',
  /** Of an incomplete array: elements that are complete, and where the next one begins. */
  elements: 0,
  resume: 0,
  /** Of an incomplete bulk: its length and where its bytes begin; -1: no bulk was begun. */
  bulk: -1,
  bulkStart: 0,
};

const CR = 13;
const LF = 10;
const STAR = 42;
const DOLLAR = 36;
/** Longest header line: sign, digits and line end of any number that could be right. */
const HEADER = 32;

export interface ScanLimits {
  readonly arguments: number;
  readonly bulk: number;
  readonly inlineLine: number;
  readonly authenticated: boolean;
}

export function scanLimits(limits: Limits, authenticated: boolean): ScanLimits {
  return {
    arguments: authenticated ? limits.arguments : Math.min(limits.arguments, limits.unauthenticatedArguments),
    bulk: authenticated ? limits.bulk : Math.min(limits.bulk, limits.unauthenticatedBulk),
    inlineLine: limits.inlineLine,
    authenticated,
  };
}

/** Answers where the request that starts at `at` ends, INCOMPLETE or BROKEN. */
export function scanRequest(b: Uint8Array, at: number, end: number, limits: ScanLimits): number {
  if (b[at] !== STAR) return scanInline(b, at, end, limits);
  found.inline = false;
  found.needed = 0;
  found.bulk = -1;
  found.elements = 0;
  let p = at + 1;
  const digit = b[p]! - 48;
  let count = 0;
  if (p + 2 < end && digit > 0 && digit < 10 && b[p + 1] === CR && b[p + 2] === LF) {
    count = digit;
    p += 3;
  } else {
    p = number(b, p, end);
    if (p < 0) return header(p, 'invalid multibulk length');
    count = value;
    if (count <= 0) {
      found.count = 0;
      return p;
    }
  }
  if (count > limits.arguments) {
    return broken(limits.authenticated ? 'invalid multibulk length' : 'unauthenticated multibulk length');
  }
  found.count = count;
  return scanElements(b, at, p, end, 0, count, limits);
}

/** Goes on with an incomplete array: `elements` of `count` are complete and the next one begins at `p`. */
export function resumeRequest(
  b: Uint8Array, at: number, p: number, end: number, elements: number, count: number, limits: ScanLimits,
): number {
  found.inline = false;
  found.bulk = -1;
  found.needed = 0;
  found.count = count;
  return scanElements(b, at, p, end, elements, count, limits);
}

function scanElements(
  b: Uint8Array, at: number, from: number, end: number, first: number, count: number, limits: ScanLimits,
): number {
  let p = from;
  for (let i = first; i < count; i++) {
    if (p >= end) return incomplete(i, p);
    if (b[p] !== DOLLAR) return broken(`expected '$', got '${shown(b[p]!)}'`);
    const element = p++;
    let length = b[p]! - 48;
    if (p + 2 < end && length >= 0 && length < 10 && b[p + 1] === CR && b[p + 2] === LF) {
      p += 3;
    } else {
      p = number(b, p, end);
      if (p === INCOMPLETE) return incomplete(i, element);
      if (p < 0 || value < 0) return broken('invalid bulk length');
      length = value;
    }
    if (length > limits.bulk) {
      return broken(limits.authenticated || length > 512 * 1024 * 1024 ? 'invalid bulk length' : 'unauthenticated bulk length');
    }
    if (i === 0) {
      found.nameStart = p;
      found.nameEnd = p + length;
    }
    const after = p + length;
    if (after + 2 > end) {
      if (after < end && b[after] !== CR) return broken('expected CRLF after bulk');
      found.bulk = length;
      found.bulkStart = p;
      found.needed = after + 2 - at;
      return incomplete(i, element);
    }
    if (b[after] !== CR || b[after + 1] !== LF) return broken('expected CRLF after bulk');
    p = after + 2;
  }
  return p;
}

function incomplete(elements: number, resume: number): number {
  found.elements = elements;
  found.resume = resume;
  return INCOMPLETE;
}

function broken(problem: string): number {
  found.problem = problem;
  return BROKEN;
}

function header(result: number, problem: string): number {
  if (result === INCOMPLETE) {
    found.count = 0;
    found.elements = 0;
    found.resume = 0;
    return INCOMPLETE;
  }
  return broken(problem);
}

let value = 0;

/** Reads digits and CRLF into `value`: no sign but `-`, no leading zero, no space. Answers the position behind. */
function number(b: Uint8Array, at: number, end: number): number {
  let p = at;
  let negative = false;
  if (p < end && b[p] === 45) {
    negative = true;
    p++;
  }
  const first = p;
  let n = 0;
  while (p < end) {
    const c = b[p]!;
    if (c === CR) break;
    if (c < 48 || c > 57 || p - first >= 10) return BROKEN;
    n = n * 10 + c - 48;
    p++;
  }
  if (p >= end) return p - at > HEADER ? BROKEN : INCOMPLETE;
  if (p === first || (b[first] === 48 && (p - first > 1 || negative))) return BROKEN;
  if (p + 1 >= end) return INCOMPLETE;
  if (b[p + 1] !== LF) return BROKEN;
  value = negative ? -n : n;
  return p + 2;
}

function scanInline(b: Uint8Array, at: number, end: number, limits: ScanLimits): number {
  found.inline = true;
  found.needed = 0;
  found.bulk = -1;
  found.elements = 0;
  const lineEnd = b.indexOf(LF, at);
  if (lineEnd < 0 || lineEnd >= end) {
    found.count = 0;
    found.resume = at;
    if (end - at > limits.inlineLine) return broken('too big inline request');
    return INCOMPLETE;
  }
  // The server takes a longer line whose end came in the same read: our limit must not depend on the cut.
  if (lineEnd - at > limits.inlineLine) return broken('too big inline request');
  found.nameStart = at;
  found.nameEnd = lineEnd > at && b[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd;
  found.count = 1;
  return lineEnd + 1;
}

function shown(byte: number): string {
  return byte === CR || byte === LF ? ' ' : String.fromCharCode(byte);
}
