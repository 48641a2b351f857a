// A request with an argument too long to keep: its bytes are passed on as they come, on the session's own link, so
// that a slow client holds nobody up. Its framing is checked on the way like any other.
import type { OwnLink } from './link.ts';
import type { RedisRequest } from './request.ts';

export class StreamedRequest {
  readonly #request: RedisRequest;
  /** Bytes of the current argument, with its line end, that are still to come. */
  #owed: number;
  /** Arguments behind it. */
  #elements: number;
  broken = false;

  constructor(request: RedisRequest, owed: number, elements: number) {
    this.#request = request;
    this.#owed = owed;
    this.#elements = elements;
  }

  get done(): boolean {
    return this.#owed === 0 && this.#elements === 0;
  }

  /**
   * Takes what belongs to the request of [at, end) and answers where it stopped. Without a link, or when the request
   * was answered already, the bytes fall: they must not become another request.
   */
  feed(bytes: Buffer, at: number, end: number, link: OwnLink | null, longest: number): number {
    let p = at;
    while (p < end && !this.done) {
      if (this.#owed > 0) {
        const have = Math.min(this.#owed, end - p);
        if (!lineEndFits(bytes, p, have, this.#owed)) return this.#break(p);
        p += have;
        this.#owed -= have;
        continue;
      }
      const next = this.#header(bytes, p, end, longest);
      if (next < 0) return this.#break(p);
      if (next === 0) break;
      p = next;
    }
    if (p > at && link !== null && link.state !== 'closed') {
      link.send(link.session!, bytes, at, p, 0, 0);
      this.#request.bytesIn += p - at;
    }
    return p;
  }

  /** `$n` CRLF: answers where the bulk begins, 0 for too few bytes, -1 for anything else. */
  #header(bytes: Buffer, at: number, end: number, longest: number): number {
    const lineEnd = bytes.indexOf(10, at);
    if (lineEnd < 0 || lineEnd >= end) return end - at > 32 ? -1 : 0;
    const match = /^\$(0|[1-9]\d{0,9})\r$/.exec(bytes.toString('latin1', at, Math.min(lineEnd, at + 32)));
    if (match === null || Number(match[1]) > longest) return -1;
    this.#owed = Number(match[1]) + 2;
    this.#elements--;
    return lineEnd + 1;
  }

  #break(p: number): number {
    this.broken = true;
    return p;
  }
}

function lineEndFits(bytes: Buffer, p: number, have: number, owed: number): boolean {
  if (owed >= 2 && have >= owed - 1 && bytes[p + owed - 2] !== 13) return false;
  return have < owed || bytes[p + owed - 1] === 10;
}
