import type { ProxyError } from '../errors.ts';
import type { Outbox } from '../outbox.ts';
import type { Link } from './link.ts';

/**
 * Who gets the replies of a link, in the order in which its requests were sent: a request, or a session for a run
 * of requests that nobody else wants to see.
 */
export interface Receiver {
  /** Set before each `receive`: whether the bytes end where a reply ends. */
  endsWhole: boolean;
  /**
   * Something of this owner's stands between what it sent and what it sends next: that gets an entry of its own.
   * The link clears it.
   */
  apart?: boolean;
  /** Where the bytes end up; null: nowhere, or not at once. */
  readonly outbox: Outbox | null;
  /**
   * `complete` replies end inside [start, end); what follows the last of them is the beginning of the next one.
   * The bytes are a view of a buffer that is used again: copy what must be kept. `since` is when the requests
   * were handed to the link (monotonic ms), `tag` what their sender marked them with.
   */
  receive(bytes: Buffer, start: number, end: number, complete: number, since: number, tag: number): void;
  /** A reply to what was sent with this tag is an error of the server's; it is received next. */
  erred?(tag: number): void;
  /** `count` replies will not come, to what was sent with `tag`. `started`: bytes of the first of them were handed over already. */
  failed(error: ProxyError, count: number, started: boolean, tag: number): void;
  /** The link failed before it wrote anything; another one took over. */
  moved?(from: Link, to: Link): void;
}
