// Requests that nobody wants to see and that have not been handed to their link yet. While they lie side by side in one
// buffer they are one range: they leave with one call, and share one entry of the link.
import type { Link } from '../../core/upstream/link.ts';
import type { Receiver } from '../../core/upstream/receiver.ts';
import type { RedisRequest } from './request.ts';

const EMPTY: Buffer = Buffer.alloc(0);

export class Run {
  count = 0;
  link: Link | null = null;
  #bytes: Buffer = EMPTY;
  #from = 0;
  #to = 0;

  /** Takes one more request, if it follows the last one in the same buffer to the same link. */
  extend(link: Link, request: RedisRequest): boolean {
    if (this.link !== link || this.#bytes !== request.bytes || this.#to !== request.start) return false;
    this.#to = request.end;
    this.count++;
    return true;
  }

  begin(link: Link, { bytes, start, end }: RedisRequest): void {
    this.link = link;
    this.#bytes = bytes;
    this.#from = start;
    this.#to = end;
    this.count = 1;
  }

  /** Hands it to its link, and answers which one that was. */
  send(owner: Receiver): Link {
    const link = this.link!;
    const { count } = this;
    const bytes = this.#bytes;
    this.count = 0;
    this.link = null;
    this.#bytes = EMPTY;
    link.send(owner, bytes, this.#from, this.#to, count, 0);
    return link;
  }
}
