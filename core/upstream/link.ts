// One upstream connection, pipelined. Requests of many clients leave as one write per event-loop turn; replies are
// handed out in the order in which the requests were sent.
//
//   ring of entries:   [receiver, count, since, tag] …   the head gets the next reply
//   batch:             bytes of this turn's requests, flushed by setImmediate. (nextTick and microtasks run after
//                      every single socket callback and would flush one request at a time: +60 % CPU.)
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { Engine, Swept } from '../engine.ts';
import { ProxyError, type ErrorCode } from '../errors.ts';
import { fresh, UpstreamReads, used } from '../inlet.ts';
import { flushOutboxes, type Outbox, heldWrites } from '../outbox.ts';
import type { Node } from './node.ts';
import type { Receiver } from './receiver.ts';

/** What `frame` found. */
export const MORE = 0;
export const REPLY = 1;
/** A complete message that answers no request, e.g. a push. */
export const ASIDE = 2;
export const GARBAGE = 3;

export type LinkState = 'connecting' | 'greeting' | 'open' | 'closed';

export interface LinkOptions {
  readonly node: Node;
  readonly engine: Engine;
  readonly connectTimeout: number;
  /** How long a reply may take, in ms; 0: as long as it likes. */
  readonly replyTimeout: number;
  /** How long the server may take nothing of what waits to be written, in ms; 0 or absent: as long as it likes. */
  readonly sendTimeout?: number;
  /** Makes sure that replies are in step with requests: see `Token`. Not for own links. */
  readonly integrity?: 'check' | 'strict';
  readonly tls?: ConnectionOptions;
  /**
   * Asked when nothing was written yet and the link fails: who takes over what waits. Null: everything fails.
   */
  readonly substitute?: (failed: Link) => Link | null;
  /** It is closed; forget it. */
  readonly onClosed?: (link: Link, error: ProxyError) => void;
}

const NOTHING = Buffer.alloc(0);
const BATCH = 128 * 1024;
/** Batches whose write was complete, of all links of this worker. */
const spareBatches: Buffer[] = [];
const MOST_SPARE = 32;

function spare(batch: Buffer): void {
  if (batch.length === BATCH && spareBatches.length < MOST_SPARE) spareBatches.push(used(batch));
}

/** Answers nobody: takes the place of a receiver that was answered already. */
class Spent implements Receiver {
  endsWhole = true;
  readonly outbox = null;
  readonly link: Link;
  constructor(link: Link) { this.link = link; }
  receive(_bytes: Buffer, _start: number, _end: number, complete: number): void { this.link.spentCame(complete); }
  failed(): void {}
}

/**
 * Integrity: a question with a random token among the requests. When the token does not come back in its place, some
 * reply before it was one too many or too few, and everybody behind got somebody else's. `check` closes the link then;
 * `strict` hands replies out only when the token behind them came back.
 */
class Token implements Receiver {
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

/** Requests between two tokens where replies are only checked. */
const CHECK_EVERY = 64;
/** A reply of which so much is still to come is a giant: see `#pace`. */
const GIANT = 8 * 1024 * 1024;
/** Milliseconds that others may wait behind a giant whose client takes nothing. */
const PATIENCE_WITH_GIANTS = 5000;

export abstract class Link implements Swept {
  readonly node: Node;
  readonly engine: Engine;
  state: LinkState = 'connecting';
  /** A link for one client only; never shared. */
  own = false;
  /** Milliseconds that replies may take beyond the timeout: a command that blocks says so. */
  patience = 0;
  /** No new requests: a slow client holds a giant reply up, or the plan is gone. */
  detached = false;
  protected readonly options: LinkOptions;
  protected readonly socket: Socket;
  readonly #reads = new UpstreamReads((bytes, length) => this.#read(bytes, length));
  readonly #spent: Spent = new Spent(this);
  readonly #connectDeadline: number;
  #owners: (Receiver | null)[] = Array.from({ length: 16 }, () => null);
  #counts = new Float64Array(16);
  #since = new Float64Array(16);
  #tags = new Float64Array(16);
  #mask = 15;
  #head = 0;
  #length = 0;
  #partial = false;
  #batch: Buffer | null = null;
  #used = 0;
  /** Bytes that wait before the batch, and the batches among them. */
  #full: Buffer[] = [];
  #batches: Buffer[] = [];
  #fullBytes = 0;
  #scheduled = false;
  #wrote = false;
  /** The beginning of an unfinished message, `#carried` bytes of it. */
  #carry: Buffer | null = null;
  #carried = 0;
  #spentSlots = 0;
  /**
   * The first timeout since a request was answered in time; 0: none. A server that left one answer out seems to be
   * late for ever: each answer falls into the place of the request before it.
   */
  #spentSince = 0;
  #waiters: (() => void)[] = [];
  #pausedFor: Outbox | null = null;
  #pausedAt = 0;
  /** When the server last took something while bytes waited; 0: nothing waits. */
  #stuckSince = 0;
  #taken = 0;
  /** Requests since the last token. */
  #unchecked = 0;
  #withheld: Withheld[] = [];
  #withheldBytes = 0;
  #lastUse: number;
  #readyCallbacks: ((error: ProxyError | null) => void)[] = [];
  readonly #flushNow = (): void => { this.#scheduled = false; this.#flush(); };

  constructor(options: LinkOptions) {
    this.options = options;
    this.node = options.node;
    this.engine = options.engine;
    const now = this.engine.clock.now();
    this.#lastUse = now;
    this.#connectDeadline = now + options.connectTimeout;
    this.socket = this.#open();
    this.engine.watch(this);
  }

  /** Frames one message at `at`: answers where it ends (or how far it may be passed on) and sets `framed`. */
  protected abstract frame(bytes: Buffer, at: number, end: number): number;
  protected framed = MORE;
  /** What the link has to say first, and how many replies that has; null: nothing. */
  protected greeting(): { bytes: Buffer; replies: number } | null { return null; }
  /** Looks at a reply to the greeting; a text refuses the link. */
  protected greeted(_bytes: Buffer, _start: number, _end: number): string | null { return null; }
  /**
   * For protocols whose replies come in any order: the tag (see `send`) of the request that this reply answers.
   * Without it the oldest request gets the next reply.
   */
  protected tagOf?(bytes: Buffer, start: number, end: number): number;
  /** How many bytes of the message being framed are known to be still to come. */
  protected get owedBytes(): number { return 0; }
  /** A question whose only right answer is known; null: the protocol has none. */
  protected token(): { readonly request: Buffer; readonly reply: Buffer } | null { return null; }
  /** A message that answers no request, or a piece of one (`complete` false). Default: nobody wants it. */
  protected aside(_bytes: Buffer, _start: number, _end: number, _complete: boolean): void {
    this.fail('UPSTREAM_PROTOCOL', 'upstream sent a message that nobody asked for');
  }

  /** Who gets the next reply; null: nobody waits for one. */
  protected get head(): Receiver | null { return this.#length === 0 ? null : this.#owners[this.#head]!; }
  get underWay(): number { return this.#length; }
  get idle(): boolean { return this.#length === 0 && this.#used === 0 && this.#full.length === 0; }
  get lastUse(): number { return this.#lastUse; }
  /** Bytes that wait to be written. */
  get pending(): number { return this.#used + this.#fullBytes + this.socket.writableLength; }
  get congested(): boolean { return this.pending > this.engine.limits.linkPending; }

  /** Calls back once, when the link can take more or is closed. */
  whenRoom(then: () => void): void {
    this.#waiters.push(then);
  }

  /** Calls back once the link was greeted (null), or failed. */
  whenReady(then: (error: ProxyError | null) => void): void {
    if (this.state === 'open') then(null);
    else if (this.state === 'closed') then(new ProxyError('UPSTREAM_CLOSED'));
    else this.#readyCallbacks.push(then);
  }

  /**
   * Sends bytes that hold `count` requests (0: a further piece of one that was begun). They are copied. Replies go to
   * `owner`; neighbours with the same owner and tag share an entry.
   */
  send(owner: Receiver, bytes: Buffer, start: number, end: number, count: number, tag: number): void {
    if (count > 0) this.#enter(owner, count, tag);
    const length = end - start;
    let batch = this.#batch;
    if (batch === null || this.#used + length > batch.length) batch = this.#nextBatch(length);
    if (length < 48) {
      // A loop beats the call for the usual short request.
      let at = this.#used;
      for (let i = start; i < end; i++) batch[at++] = bytes[i]!;
      this.#used = at;
    } else {
      bytes.copy(batch, this.#used, start, end);
      this.#used += length;
    }
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#flushNow);
    }
  }

  /** Sends a buffer of the caller's without copying it; it must never change afterwards. */
  sendWhole(owner: Receiver, bytes: Buffer, count: number, tag: number): void {
    if (bytes.length <= BATCH / 4) return this.send(owner, bytes, 0, bytes.length, count, tag);
    if (count > 0) this.#enter(owner, count, tag);
    this.#setAside();
    this.#full.push(bytes);
    this.#fullBytes += bytes.length;
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#flushNow);
    }
  }

  #enter(owner: Receiver, count: number, tag: number): void {
    if (this.state === 'closed') {
      // It closed between being chosen and being used: nobody will answer.
      owner.failed(new ProxyError('UPSTREAM_CLOSED'), count, false);
      return;
    }
    const now = this.engine.clock.now();
    const last = (this.#head + this.#length - 1) & this.#mask;
    if (this.#length > 0 && this.#owners[last] === owner && this.#tags[last] === tag && this.#since[last] === now
      && owner.apart !== true) {
      this.#counts[last]! += count;
      this.node.inflight += count;
      this.#unchecked += count;
      return;
    }
    this.#push(owner, count, tag, now);
    if (owner.apart === true) owner.apart = false;
  }

  #push(owner: Receiver, count: number, tag: number, now: number): void {
    this.node.inflight += count;
    this.#unchecked += count;
    this.#lastUse = now;
    if (this.#length > this.#mask) this.#grow();
    const at = (this.#head + this.#length++) & this.#mask;
    this.#owners[at] = owner;
    this.#counts[at] = count;
    this.#since[at] = now;
    this.#tags[at] = tag;
  }

  #grow(): void {
    const size = this.#mask + 1;
    const owners: (Receiver | null)[] = Array.from({ length: size * 2 }, () => null);
    const [counts, since, tags] = [new Float64Array(size * 2), new Float64Array(size * 2), new Float64Array(size * 2)];
    for (let i = 0; i < size; i++) {
      const from = (this.#head + i) & this.#mask;
      owners[i] = this.#owners[from]!;
      counts[i] = this.#counts[from]!;
      since[i] = this.#since[from]!;
      tags[i] = this.#tags[from]!;
    }
    this.#owners = owners;
    this.#counts = counts;
    this.#since = since;
    this.#tags = tags;
    this.#mask = size * 2 - 1;
    this.#head = 0;
  }

  #nextBatch(length: number): Buffer {
    this.#setAside();
    const batch = length > BATCH ? fresh(length) : (spareBatches.pop() ?? fresh(BATCH));
    this.#batch = batch;
    return batch;
  }

  #setAside(): void {
    if (this.#batch === null || this.#used === 0) return;
    this.#full.push(this.#batch.subarray(0, this.#used));
    this.#batches.push(this.#batch);
    this.#fullBytes += this.#used;
    this.#batch = null;
    this.#used = 0;
  }

  #flush(): void {
    if (this.state !== 'open' || this.idleBytes) return;
    if (this.options.integrity !== undefined && !this.own) this.#askToken();
    this.#wrote = true;
    if (this.#full.length === 0) this.#writeBatch(this.#batch!);
    else this.#writeAll();
    // A socket says by itself that it drained only when it was over a mark of its own, which may be higher than ours.
    if (this.#waiters.length > 0) this.socket.write(NOTHING, () => this.#drained());
  }

  #askToken(): void {
    if (this.#unchecked < (this.options.integrity === 'strict' ? 1 : CHECK_EVERY)) return;
    const token = this.token();
    if (token === null) return;
    this.#push(new Token(this, token.reply), 1, 0, this.engine.clock.now());
    this.#unchecked = 0;
    this.#setAside();
    this.#full.push(token.request);
    this.#fullBytes += token.request.length;
  }

  /** A token's answer came. */
  checked(right: boolean): void {
    if (!right) {
      this.fail('UPSTREAM_PROTOCOL', 'replies are out of step with requests');
      return;
    }
    const withheld = this.#withheld;
    this.#withheld = [];
    this.#withheldBytes = 0;
    for (const { owner, bytes, complete, since, tag, whole } of withheld) {
      owner.endsWhole = whole;
      owner.receive(bytes, 0, bytes.length, complete, since, tag);
    }
  }

  #withhold(owner: Receiver, bytes: Buffer, complete: number, since: number, tag: number, whole: boolean): void {
    this.#withheld.push({ owner, bytes, complete, since, tag, whole });
    this.#withheldBytes += bytes.length;
    if (this.#withheldBytes > this.engine.limits.unsentClose) this.fail('UPSTREAM_BUSY', 'too much waits for an integrity check');
  }

  #writeBatch(batch: Buffer): void {
    const { socket } = this;
    socket.write(this.#used === batch.length ? batch : batch.subarray(0, this.#used));
    this.#used = 0;
    // The kernel still reads from it: it is garbage when the write is done.
    this.#batch = socket.writableLength > 0 || this.own ? null : used(batch);
    // There may be hundreds of own links, most of them waiting.
    if (this.own && socket.writableLength === 0) spare(batch);
  }

  #writeAll(): void {
    const { socket } = this;
    this.#setAside();
    socket.cork();
    for (const bytes of this.#full) socket.write(bytes);
    socket.uncork();
    this.#full = [];
    this.#fullBytes = 0;
    if (socket.writableLength === 0) for (const batch of this.#batches) spare(batch);
    this.#batches = [];
  }

  private get idleBytes(): boolean {
    return this.#used === 0 && this.#full.length === 0;
  }

  #open(): Socket {
    const { node, options } = this;
    const target = { ...node.dial, noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 };
    let socket: Socket;
    if (options.tls === undefined) {
      socket = connect({ ...target, onread: this.#reads });
      socket.once('connect', () => this.#connected());
    } else {
      socket = connectTls({ ...target, ...options.tls });
      socket.on('data', (chunk: Buffer) => this.#read(chunk, chunk.length));
      socket.once('secureConnect', () => this.#connected());
    }
    socket.on('drain', () => this.#drained());
    socket.on('error', (cause) => this.fail(this.state === 'connecting' ? 'CONNECT_FAILED' : 'UPSTREAM_CLOSED', undefined, cause));
    socket.on('end', () => this.fail('UPSTREAM_CLOSED'));
    socket.on('close', () => this.fail('UPSTREAM_CLOSED'));
    return socket;
  }

  #connected(): void {
    if (this.state !== 'connecting') return;
    const greeting = this.greeting();
    if (greeting === null) {
      this.#ready();
      return;
    }
    this.state = 'greeting';
    this.#greetingsOwed = greeting.replies;
    this.socket.write(greeting.bytes);
  }

  #greetingsOwed = 0;

  #ready(): void {
    this.state = 'open';
    this.node.health.succeeded();
    for (const then of this.#readyCallbacks.splice(0)) then(null);
    this.#flush();
  }

  #drained(): void {
    if (this.#waiters.length > 0 && !this.congested) {
      for (const then of this.#waiters.splice(0)) then();
      flushOutboxes();
    }
  }

  #read(bytes: Buffer, length: number): void {
    if (this.state === 'closed') return;
    const before = heldWrites();
    if (this.#carry === null) {
      this.#take(bytes, 0, length);
    } else {
      const end = this.#carried + length;
      this.#take(this.#join(this.#carry, bytes, length), 0, end);
      if (this.#carried === 0) this.#carry = null;
    }
    flushOutboxes();
    if (heldWrites() !== before) this.#reads.retire();
  }

  /** Memory for an unfinished message doubles: what was copied once is not copied again for each piece that comes. */
  #join(carry: Buffer, bytes: Buffer, length: number): Buffer {
    const carried = this.#carried;
    let joined = carry;
    if (carry.length < carried + length) {
      joined = fresh(Math.max(carried + length, carry.length * 2));
      carry.copy(joined, 0, 0, carried);
      this.#carry = joined;
    }
    bytes.copy(joined, carried, 0, length);
    this.#carried = 0;
    return joined;
  }

  #carryOver(bytes: Buffer, at: number, end: number): void {
    this.#carried = end - at;
    // Nothing of it was handed out: it may stay where it is.
    if (bytes !== this.#carry || at > 0) this.#carry = Buffer.from(bytes.subarray(at, end));
  }

  #take(bytes: Buffer, start: number, end: number): void {
    let at = start;
    if (this.#greetingsOwed > 0) {
      at = this.#takeGreetings(bytes, at, end);
      if (at < 0) return;
    }
    if (this.tagOf !== undefined) return this.#takeTagged(bytes, at, end);
    let from = at;
    let complete = 0;
    while (at < end) {
      const next = this.frame(bytes, at, end);
      if (this.framed === REPLY) {
        at = next;
        complete++;
        if (this.#length === 0) return this.fail('UPSTREAM_PROTOCOL', 'upstream sent a reply that nobody asked for');
        if (complete === this.#counts[this.#head]) {
          this.#hand(bytes, from, at, complete, true);
          from = at;
          complete = 0;
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
      } else {
        return this.fail('UPSTREAM_PROTOCOL');
      }
      if (this.state === 'closed') return;
    }
    if (at > from) this.#handRest(bytes, from, at, complete);
    if (this.state === 'closed') return;
    if (at < end) this.#carryOver(bytes, at, end);
  }

  /** Replies say which request they answer; each is a whole message. One that answers none goes aside. */
  #takeTagged(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const next = this.frame(bytes, at, end);
      if (this.framed === MORE) break;
      if (this.framed === GARBAGE) return this.fail('UPSTREAM_PROTOCOL');
      if (this.framed === REPLY && this.#toFront(this.tagOf!(bytes, at, next))) this.#hand(bytes, at, next, 1, true);
      else this.aside(bytes, at, next, true);
      if (this.state === 'closed') return;
      at = next;
    }
    if (at < end) this.#carryOver(bytes, at, end);
  }

  /** Moves the oldest entry with this tag to the head of the ring. False: there is none. */
  #toFront(tag: number): boolean {
    const mask = this.#mask;
    let found = 0;
    while (found < this.#length && this.#tags[(this.#head + found) & mask] !== tag) found++;
    if (found === this.#length) return false;
    const at = (this.#head + found) & mask;
    const [owner, count, since] = [this.#owners[at]!, this.#counts[at]!, this.#since[at]!];
    for (let i = found; i > 0; i--) {
      const [to, from] = [(this.#head + i) & mask, (this.#head + i - 1) & mask];
      this.#owners[to] = this.#owners[from]!;
      this.#counts[to] = this.#counts[from]!;
      this.#since[to] = this.#since[from]!;
      this.#tags[to] = this.#tags[from]!;
    }
    const head = this.#head;
    this.#owners[head] = owner;
    this.#counts[head] = count;
    this.#since[head] = since;
    this.#tags[head] = tag;
    return true;
  }

  /** Set by `frame` with MORE: the unfinished message answers no request, and may be passed on in pieces. */
  protected midAside = false;

  #handRest(bytes: Buffer, from: number, at: number, complete: number): void {
    if (this.#length === 0) return this.fail('UPSTREAM_PROTOCOL', 'upstream sent a reply that nobody asked for');
    this.#hand(bytes, from, at, complete, !this.midMessage);
  }

  /** Whether the bytes consumed so far end inside a message. */
  protected abstract get midMessage(): boolean;

  #hand(bytes: Buffer, from: number, at: number, complete: number, whole: boolean): void {
    const head = this.#head;
    const owner = this.#owners[head]!;
    const since = this.#since[head]!;
    const tag = this.#tags[head]!;
    this.#partial = !whole;
    if (complete > 0) {
      this.node.inflight -= complete;
      if ((this.#counts[head]! -= complete) === 0) {
        this.#owners[head] = null;
        this.#head = (head + 1) & this.#mask;
        this.#length--;
      }
    }
    if (complete > 0 && owner !== this.#spent) this.#spentSince = 0;
    if (this.options.integrity === 'strict' && !this.own && !(owner instanceof Token) && owner !== this.#spent) {
      this.#withhold(owner, Buffer.from(bytes.subarray(from, at)), complete, since, tag, whole);
      return;
    }
    owner.endsWhole = whole;
    owner.receive(bytes, from, at, complete, since, tag);
    this.#pace(owner, whole);
  }

  #takeGreetings(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (this.#greetingsOwed > 0) {
      const next = at < end ? this.frame(bytes, at, end) : at;
      if (at >= end || this.framed === MORE) {
        // A greeting's reply is short: wait for the whole of it.
        this.resetFrame();
        this.#carryOver(bytes, at, end);
        if (this.#carried > BATCH) this.fail('UPSTREAM_PROTOCOL');
        return -1;
      }
      if (this.framed === GARBAGE) {
        this.fail('UPSTREAM_PROTOCOL');
        return -1;
      }
      const refusal = this.framed === REPLY ? this.greeted(bytes, at, next) : null;
      if (this.framed === REPLY) this.#greetingsOwed--;
      at = next;
      if (refusal !== null) {
        this.refusal = refusal;
        this.fail('UPSTREAM_HANDSHAKE', `upstream refused the handshake: ${refusal}`);
        return -1;
      }
    }
    this.#ready();
    return at;
  }

  /** The server's own words when it refused the greeting. */
  refusal: string | null = null;

  /** Forgets a message that was framed in part. */
  protected abstract resetFrame(): void;

  // Who does not take replies as fast as they come. On a shared link nobody may hold up the others: a client's unsent
  // bytes are limited, and that is all. But a giant reply, most of which is still to come, would always be over the
  // limit: then new requests get another link, and this one waits for the client. An own link always waits.
  #pace(owner: Receiver, whole: boolean): void {
    const { outbox } = owner;
    if (outbox === null) return;
    const { unsentPause } = this.engine.limits;
    if (this.own) {
      if (outbox.pending > unsentPause) this.pauseFor(outbox);
    } else if (!whole && this.owedBytes > GIANT && outbox.pending > unsentPause * 4) {
      this.detached = true;
      this.pauseFor(outbox);
    }
  }

  /** Reads nothing until what waits in the outbox has left. */
  pauseFor(outbox: Outbox): void {
    if (this.#pausedFor !== null || this.state === 'closed') return;
    this.#pausedFor = outbox;
    this.#pausedAt = this.engine.clock.now();
    this.socket.pause();
    outbox.whenFlushed(() => this.#unpause());
  }

  #unpause(): void {
    this.#pausedFor = null;
    if (this.state !== 'closed') this.socket.resume();
  }

  /** Others wait behind a giant whose client takes nothing: it is given up. */
  #giveUpGiant(): void {
    const owner = this.#owners[this.#head]!;
    const count = this.#counts[this.#head]!;
    this.#owners[this.#head] = this.#spent;
    this.#spentSlots += count;
    owner.failed(new ProxyError('CLIENT_SLOW'), count, true);
    this.#unpause();
  }

  /** Whether bytes wait and the server has taken none of them for too long. */
  #stuck(now: number): boolean {
    const { sendTimeout = 0 } = this.options;
    const { writableLength } = this.socket;
    if (sendTimeout === 0 || writableLength === 0) {
      this.#stuckSince = 0;
      return false;
    }
    const taken = this.socket.bytesWritten - writableLength;
    if (this.#stuckSince === 0 || taken !== this.#taken) {
      this.#stuckSince = now;
      this.#taken = taken;
    }
    return now - this.#stuckSince > sendTimeout;
  }

  /** Replies of answered requests arrived and were dropped in their place. */
  spentCame(count: number): void {
    this.#spentSlots -= count;
    if (count > 0) this.engine.metrics.add(this.engine.lateReplies, count);
  }

  sweep(now: number): void {
    if (this.state === 'connecting' || this.state === 'greeting') {
      if (now > this.#connectDeadline) this.fail('CONNECT_TIMEOUT');
      return;
    }
    if (this.#stuck(now)) return this.fail('UPSTREAM_TIMEOUT', 'upstream takes no requests');
    if (this.#pausedFor !== null && !this.own && this.#length > 1 && now - this.#pausedAt > PATIENCE_WITH_GIANTS) this.#giveUpGiant();
    if (this.detached && this.idle && this.#pausedFor === null) return this.fail('DRAINED');
    const { replyTimeout } = this.options;
    if (replyTimeout === 0 || this.#length === 0 || this.#pausedFor !== null || this.patience === Infinity) return;
    this.#expire(now, replyTimeout + this.patience);
    flushOutboxes();
  }

  /** Answers requests that waited too long. Their replies keep their places in the ring and are dropped there. */
  #expire(now: number, timeout: number): void {
    for (let i = 0; i < this.#length; i++) {
      const at = (this.#head + i) & this.#mask;
      if (now - this.#since[at]! < timeout) break;
      const owner = this.#owners[at]!;
      if (owner === this.#spent) continue;
      const count = this.#counts[at]!;
      this.#owners[at] = this.#spent;
      this.#spentSlots += count;
      if (this.#spentSince === 0) this.#spentSince = now;
      this.engine.metrics.add(this.engine.timeouts, count);
      owner.failed(new ProxyError('UPSTREAM_TIMEOUT'), count, i === 0 && this.#partial);
    }
    const { spentSlots } = this.engine.limits;
    if (this.#spentSlots > spentSlots || (this.#spentSince > 0 && this.#spentSlots > 0 && now - this.#spentSince > timeout)) {
      this.fail('UPSTREAM_TIMEOUT');
    }
  }

  /** Ends the link; everything under way is answered with the cause. What was never written may move elsewhere. */
  fail(code: ErrorCode, text?: string, cause?: unknown): void {
    if (this.state === 'closed') return;
    const unsent = !this.#wrote;
    const early = this.state !== 'open';
    this.state = 'closed';
    this.engine.unwatch(this);
    this.socket.destroy();
    const error = new ProxyError(code, text, { cause });
    // A server that hangs still accepts connections: its silence counts, too.
    const unwell = early ? code !== 'DRAINED' && code !== 'UPSTREAM_HANDSHAKE' : code === 'UPSTREAM_TIMEOUT';
    if (unwell) this.node.health.failed(error);
    this.engine.linkEnded(code, this.node.address, error);
    for (const then of this.#readyCallbacks.splice(0)) then(error);
    this.options.onClosed?.(this, error);
    const heir = unsent && this.#length > 0 && code !== 'UPSTREAM_HANDSHAKE' ? this.options.substitute?.(this) ?? null : null;
    if (heir !== null) this.#bequeath(heir);
    else this.#failAll(error);
    if (this.#batch !== null) spare(this.#batch);
    this.#batch = null;
    this.#full = [];
    this.#batches = [];
    for (const then of this.#waiters.splice(0)) then();
    this.ended();
    flushOutboxes();
  }

  /** It is closed and everything under way was answered. */
  protected ended(): void {}

  /** Takes no new requests, and closes when the last one was answered. */
  retire(): void {
    this.detached = true;
    if (this.idle && this.state === 'open') this.fail('DRAINED');
  }

  #failAll(error: ProxyError): void {
    for (const { owner, complete } of this.#withheld.splice(0)) if (complete > 0) owner.failed(error, complete, false);
    let started = this.#partial && this.options.integrity !== 'strict';
    for (; this.#length > 0; this.#length--) {
      const owner = this.#owners[this.#head]!;
      const count = this.#counts[this.#head]!;
      this.#owners[this.#head] = null;
      this.#head = (this.#head + 1) & this.#mask;
      this.node.inflight -= count;
      owner.failed(error, count, started);
      started = false;
    }
  }

  /** Hands what waits, bytes and entries, to another link. */
  #bequeath(heir: Link): void {
    this.#setAside();
    const whole = Buffer.concat(this.#full);
    for (let i = 0; i < this.#length; i++) {
      const at = (this.#head + i) & this.#mask;
      const owner = this.#owners[at]!;
      this.node.inflight -= this.#counts[at]!;
      owner.moved?.(this, heir);
      // Not merged again: what stands between two entries may be an answer of ours, which is not on the link.
      heir.#push(owner, this.#counts[at]!, this.#tags[at]!, heir.engine.clock.now());
    }
    this.#length = 0;
    heir.#setAside();
    heir.#full.push(whole);
    heir.#fullBytes += whole.length;
    if (!heir.#scheduled) {
      heir.#scheduled = true;
      setImmediate(heir.#flushNow);
    }
  }
}
