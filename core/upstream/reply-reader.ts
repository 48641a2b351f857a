// The reading half of a link: which bytes are a message, and whose reply it is. Replies are handed out in the order in
// which the requests were sent, unless the protocol says which request each one answers.
//
//   ring:    who is under way; its head gets the next reply
import type { Engine } from '../engine.ts';
import type { ErrorCode } from '../errors.ts';
import { UpstreamReads } from '../inlet.ts';
import { flushOutboxes, heldWrites } from '../outbox.ts';
import { EntryRing } from './entry-ring.ts';
import { Integrity, Token } from './integrity.ts';
import type { LinkOptions } from './link-options.ts';
import type { Node } from './node.ts';
import type { Receiver } from './receiver.ts';
import { Spent } from './spent.ts';
import { Unfinished } from './unfinished.ts';

/** What `frame` found. */
export const MORE = 0;
export const REPLY = 1;
/** A complete message that answers no request, e.g. a push. */
export const ASIDE = 2;
export const GARBAGE = 3;

export type LinkState = 'connecting' | 'greeting' | 'open' | 'closed';

/** Longer is no reply to a greeting. */
const LONGEST_GREETING = 128 * 1024;

export abstract class ReplyReader {
  readonly node: Node;
  readonly engine: Engine;
  state: LinkState = 'connecting';
  /** A link for one client only; never shared. */
  own = false;
  /** Milliseconds that replies may take beyond the timeout: a command that blocks says so. */
  patience = 0;
  /** The server's own words when it refused the greeting. */
  refusal: string | null = null;
  protected readonly ring = new EntryRing();
  protected readonly spent: Spent;
  protected readonly integrity: Integrity | null;
  protected readonly reads = new UpstreamReads((bytes, length) => this.read(bytes, length));
  /** What was handed out last ended inside a reply. */
  protected partial = false;
  /** Bytes came since the last sweep. A mark, so that a read costs no look at the clock. */
  protected heard = false;
  protected greetingsOwed = 0;
  readonly #unfinished = new Unfinished();

  constructor({ node, engine, integrity }: LinkOptions) {
    this.node = node;
    this.engine = engine;
    this.spent = new Spent(engine);
    this.integrity = integrity === undefined ? null : new Integrity(integrity);
  }

  // What a protocol says.

  /** Frames one message at `at`: answers where it ends (or how far it may be passed on) and sets `framed`. */
  protected abstract frame(bytes: Buffer, at: number, end: number): number;
  protected framed = MORE;
  /** Set by `frame` with MORE: the unfinished message answers no request, and may be passed on in pieces. */
  protected midAside = false;
  /** Whether the bytes consumed so far end inside a message. */
  protected abstract get midMessage(): boolean;
  /** Forgets a message that was framed in part. */
  protected abstract resetFrame(): void;
  /** Looks at a reply to the greeting; a text refuses the link. */
  protected greeted(_bytes: Buffer, _start: number, _end: number): string | null { return null; }
  /**
   * For protocols whose replies come in any order: the tag (see `send`) of the request that this reply answers.
   * Without it the oldest request gets the next reply.
   */
  protected tagOf?(bytes: Buffer, start: number, end: number): number;
  /** A message that answers no request, or a piece of one (`complete` false). Default: nobody wants it. */
  protected aside(_bytes: Buffer, _start: number, _end: number, _complete: boolean): void {
    this.fail('UPSTREAM_PROTOCOL', 'upstream sent a message that nobody asked for');
  }

  // What the other half does.

  /** Ends the link; everything under way is answered with the cause. */
  abstract fail(code: ErrorCode, text?: string, cause?: unknown): void;
  /** Every reply to the greeting came. */
  protected abstract ready(): void;
  /** Bytes were handed to `owner`; `whole`: they end where a reply ends. */
  protected abstract handed(owner: Receiver, whole: boolean): void;

  /** Who gets the next reply; null: nobody waits for one. */
  protected get head(): Receiver | null { return this.ring.length === 0 ? null : this.ring.owner(0); }
  get underWay(): number { return this.ring.length; }

  protected read(bytes: Buffer, length: number): void {
    if (this.state === 'closed') return;
    this.heard = true;
    const before = heldWrites();
    const unfinished = this.#unfinished;
    if (unfinished.length === 0) {
      this.#take(bytes, 0, length);
    } else {
      const end = unfinished.length + length;
      this.#take(unfinished.join(bytes, length), 0, end);
      unfinished.rest();
    }
    flushOutboxes();
    if (heldWrites() !== before) this.reads.retire();
  }

  #take(bytes: Buffer, start: number, end: number): void {
    let at = start;
    if (this.greetingsOwed > 0) {
      at = this.#takeGreetings(bytes, at, end);
      if (at < 0) return;
    }
    if (this.tagOf !== undefined) return this.#takeTagged(bytes, at, end);
    const ring = this.ring;
    let from = at;
    let complete = 0;
    // What the head still waits for. It may grow meanwhile, which does no harm: then it is handed over in two parts.
    let due = ring.due();
    while (at < end) {
      const next = this.frame(bytes, at, end);
      if (this.framed === REPLY) {
        at = next;
        complete++;
        if (complete >= due) {
          if (due === 0) return this.fail('UPSTREAM_PROTOCOL', 'upstream sent a reply that nobody asked for');
          this.#hand(bytes, from, at, complete, true);
          from = at;
          complete = 0;
          due = ring.due();
        }
      } else if (this.framed === MORE) {
        if (this.midAside) {
          if (at > from) this.#hand(bytes, from, at, complete, true);
          if (next > at) this.aside(bytes, at, next, false);
          from = next;
          complete = 0;
        }
        at = next;
        break;
      } else if (this.framed === ASIDE) {
        if (at > from) this.#hand(bytes, from, at, complete, true);
        complete = 0;
        this.aside(bytes, at, next, true);
        at = from = next;
        due = ring.due();
      } else {
        return this.fail('UPSTREAM_PROTOCOL');
      }
      if (this.state === 'closed') return;
    }
    if (at > from) this.#handRest(bytes, from, at, complete);
    if (this.state === 'closed') return;
    if (at < end) this.#unfinished.keep(bytes, at, end);
  }

  /** Replies say which request they answer; each is a whole message. One that answers none goes aside. */
  #takeTagged(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const next = this.frame(bytes, at, end);
      if (this.framed === MORE) break;
      if (this.framed === GARBAGE) return this.fail('UPSTREAM_PROTOCOL');
      if (this.framed === REPLY && this.ring.toFront(this.tagOf!(bytes, at, next))) this.#hand(bytes, at, next, 1, true);
      else this.aside(bytes, at, next, true);
      if (this.state === 'closed') return;
      at = next;
    }
    if (at < end) this.#unfinished.keep(bytes, at, end);
  }

  #handRest(bytes: Buffer, from: number, at: number, complete: number): void {
    if (this.ring.length === 0) return this.fail('UPSTREAM_PROTOCOL', 'upstream sent a reply that nobody asked for');
    this.#hand(bytes, from, at, complete, !this.midMessage);
  }

  #hand(bytes: Buffer, from: number, at: number, complete: number, whole: boolean): void {
    const ring = this.ring;
    const owner = ring.owner(0);
    const since = ring.since(0);
    const tag = ring.tag(0);
    this.partial = !whole;
    if (complete > 0) {
      const { node } = this;
      node.inflight -= complete;
      // A command that blocks takes as long as it likes, which says nothing about the node.
      if (node.latency !== null && this.patience === 0) {
        const now = this.engine.clock.now();
        node.latency.observe(now - since, now);
      }
      ring.take(complete);
      if (owner !== this.spent) this.spent.since = 0;
    }
    if (this.integrity !== null && this.#withheld(this.integrity, owner)) {
      this.integrity.withhold(owner, bytes.subarray(from, at), complete, since, tag, whole);
      if (this.integrity.bytes > this.engine.limits.unsentClose) {
        this.fail('UPSTREAM_BUSY', 'too much waits for an integrity check');
      }
      return;
    }
    owner.endsWhole = whole;
    owner.receive(bytes, from, at, complete, since, tag);
    this.handed(owner, whole);
  }

  #withheld(integrity: Integrity, owner: Receiver): boolean {
    return integrity.strict && !this.own && !(owner instanceof Token) && owner !== this.spent;
  }

  #takeGreetings(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (this.greetingsOwed > 0) {
      const next = at < end ? this.frame(bytes, at, end) : at;
      if (at >= end || this.framed === MORE) {
        // A greeting's reply is short: wait for the whole of it.
        this.resetFrame();
        this.#unfinished.keep(bytes, at, end);
        if (this.#unfinished.length > LONGEST_GREETING) this.fail('UPSTREAM_PROTOCOL');
        return -1;
      }
      if (this.framed === GARBAGE) {
        this.fail('UPSTREAM_PROTOCOL');
        return -1;
      }
      const refusal = this.framed === REPLY ? this.greeted(bytes, at, next) : null;
      if (this.framed === REPLY) this.greetingsOwed--;
      at = next;
      if (refusal !== null) {
        this.refusal = refusal;
        this.fail('UPSTREAM_HANDSHAKE', `upstream refused the handshake: ${refusal}`);
        return -1;
      }
    }
    this.ready();
    return at;
  }
}
