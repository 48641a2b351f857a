// Integrity: a question with a random token among the requests. When the token does not come back in its place, some
// reply before it was one too many or too few, and everybody behind got somebody else's. `check` closes the link then;
// `strict` hands replies out only when the token behind them came back.
import type { ProxyError } from '../errors.ts';
import type { Link } from './link.ts';
import type { Receiver } from './receiver.ts';

const NOTHING = Buffer.alloc(0);
/** Requests between two tokens where replies are only checked. */
const CHECK_EVERY = 64;

/** Takes the answer to the question, and tells its link whether it is the right one. */
export class Token implements Receiver {
  endsWhole = true;
  readonly outbox = null;
  readonly #link: Link;
  readonly #expected: Buffer;
  #got: Buffer = NOTHING;

  constructor(link: Link, expected: Buffer) {
    this.#link = link;
    this.#expected = expected;
  }

  receive(bytes: Buffer, start: number, end: number, complete: number): void {
    if (this.#got.length <= this.#expected.length) this.#got = Buffer.concat([this.#got, bytes.subarray(start, end)]);
    if (complete > 0) this.#link.checked(this.#got.equals(this.#expected));
  }

  failed(): void {
    this.#link.checked(false);
  }
}

/** A piece of a reply that waits until its link is known to be in step. */
interface Withheld {
  readonly owner: Receiver;
  readonly bytes: Buffer;
  readonly complete: number;
  readonly since: number;
  readonly tag: number;
  readonly whole: boolean;
}

export class Integrity {
  readonly strict: boolean;
  /** Requests since the last token. */
  unchecked = 0;
  /** Bytes of replies that are withheld. */
  bytes = 0;
  #withheld: Withheld[] = [];

  constructor(mode: 'check' | 'strict') {
    this.strict = mode === 'strict';
  }

  /** Whether a token has to follow what was sent. */
  get due(): boolean { return this.unchecked >= (this.strict ? 1 : CHECK_EVERY); }

  /** Keeps a piece of a reply. The bytes are a view: they are copied. */
  withhold(owner: Receiver, bytes: Buffer, complete: number, since: number, tag: number, whole: boolean): void {
    this.#withheld.push({ owner, bytes: Buffer.from(bytes), complete, since, tag, whole });
    this.bytes += bytes.length;
  }

  /** The token came: hands out what stood before it. */
  release(): void {
    const withheld = this.#withheld;
    this.#withheld = [];
    this.bytes = 0;
    for (const { owner, bytes, complete, since, tag, whole } of withheld) {
      owner.endsWhole = whole;
      owner.receive(bytes, 0, bytes.length, complete, since, tag);
    }
  }

  /** The token will not come: whether these replies were the right ones is not known. */
  fail(error: ProxyError): void {
    for (const { owner, complete, tag } of this.#withheld.splice(0)) if (complete > 0) owner.failed(error, complete, false, tag);
  }
}
