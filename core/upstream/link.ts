// One upstream connection, pipelined: opens it, sends, looks after deadlines, and ends it. Requests of many clients leave
// as one write per event-loop turn; what comes back is `ReplyReader`'s.
//
//   batch:   bytes of this turn's requests, flushed by setImmediate. (nextTick and microtasks run after every single
//            socket callback and would flush one request at a time: +60 % CPU.)
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Swept } from '../engine.ts';
import { ProxyError, type ErrorCode } from '../errors.ts';
import { flushOutboxes, type Outbox } from '../outbox.ts';
import { Batch, WORTH_KEEPING } from './batch.ts';
import { Token, type Integrity } from './integrity.ts';
import type { LinkOptions } from './link-options.ts';
import { Pause } from './pause.ts';
import type { Receiver } from './receiver.ts';
import { ReplyReader } from './reply-reader.ts';
import { Stall } from './stall.ts';

export type { LinkOptions } from './link-options.ts';
export { ASIDE, GARBAGE, MORE, REPLY } from './reply-reader.ts';

const NOTHING = Buffer.alloc(0);
/** A reply of which so much is still to come is a giant: see `handed`. */
const GIANT = 8 * 1024 * 1024;
/** Milliseconds that others may wait behind a giant whose client takes nothing. */
const PATIENCE_WITH_GIANTS = 5000;

export abstract class Link extends ReplyReader implements Swept {
  /** Monotonic milliseconds. */
  readonly openedAt: number;
  /** No new requests: a slow client holds a giant reply up, or the plan is gone. */
  detached = false;
  protected readonly options: LinkOptions;
  protected readonly socket: Socket;
  readonly #batch = new Batch();
  readonly #stall: Stall;
  readonly #pause: Pause;
  readonly #connectDeadline: number;
  #scheduled = false;
  #wrote = false;
  /** With TLS: bytes came that are no handshake. */
  #spokenTo = false;
  /** Whether nothing came from the node, on any connection, while the timeout ran that ended this one. */
  #nodeWasSilent = true;
  #waiters: (() => void)[] = [];
  #lastUse: number;
  /** Bytes that were counted. */
  #received = 0;
  #sent = 0;
  #readyCallbacks: ((error: ProxyError | null) => void)[] = [];
  readonly #flushNow = (): void => { this.#scheduled = false; this.#flush(); };

  constructor(options: LinkOptions) {
    super(options);
    this.options = options;
    this.#stall = new Stall(options.sendTimeout ?? 0);
    const now = this.engine.clock.now();
    this.openedAt = now;
    this.#lastUse = now;
    this.#connectDeadline = now + options.connectTimeout;
    this.socket = this.#open();
    this.#pause = new Pause(this.socket);
    this.engine.watch(this);
  }

  /** What the link has to say first, and how many replies that has; null: nothing. */
  protected greeting(): { bytes: Buffer; replies: number } | null { return null; }
  /** How many bytes of the message being framed are known to be still to come. */
  protected get owedBytes(): number { return 0; }
  /** A question whose only right answer is known; null: the protocol has none. */
  protected token(): { readonly request: Buffer; readonly reply: Buffer } | null { return null; }

  get idle(): boolean { return this.ring.length === 0 && this.#batch.empty; }
  get lastUse(): number { return this.#lastUse; }
  /** Bytes that wait to be written. */
  get pending(): number { return this.#batch.bytes + this.socket.writableLength; }
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
    this.#batch.copy(bytes, start, end);
    if (!this.#scheduled) this.#schedule();
  }

  /** Sends a buffer of the caller's without copying it; it must never change afterwards. */
  sendWhole(owner: Receiver, bytes: Buffer, count: number, tag: number): void {
    if (bytes.length <= WORTH_KEEPING) return this.send(owner, bytes, 0, bytes.length, count, tag);
    if (count > 0) this.#enter(owner, count, tag);
    this.#batch.append(bytes);
    if (!this.#scheduled) this.#schedule();
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(this.#flushNow);
  }

  #enter(owner: Receiver, count: number, tag: number): void {
    if (this.state === 'closed') {
      // It closed between being chosen and being used: nobody will answer.
      owner.failed(new ProxyError('UPSTREAM_CLOSED'), count, false, tag);
      return;
    }
    const now = this.engine.clock.now();
    if (owner.apart !== true && this.ring.merge(owner, count, now, tag)) {
      this.#counted(count);
      return;
    }
    this.#push(owner, count, tag, now);
    if (owner.apart === true) owner.apart = false;
  }

  #push(owner: Receiver, count: number, tag: number, now: number): void {
    this.#counted(count);
    this.#lastUse = now;
    this.ring.push(owner, count, now, tag);
  }

  #counted(count: number): void {
    this.node.inflight += count;
    if (this.integrity !== null) this.integrity.unchecked += count;
  }

  #flush(): void {
    if (this.state !== 'open' || this.#batch.empty) return;
    if (this.integrity !== null && !this.own) this.#askToken(this.integrity);
    this.#wrote = true;
    // There may be hundreds of own links, most of them waiting.
    this.#batch.writeTo(this.socket, this.own);
    // A socket says by itself that it drained only when it was over a mark of its own, which may be higher than ours.
    if (this.#waiters.length > 0) this.socket.write(NOTHING, () => this.#drained());
  }

  #askToken(integrity: Integrity): void {
    if (!integrity.due) return;
    const token = this.token();
    if (token === null) return;
    this.#push(new Token(this, token.reply), 1, 0, this.engine.clock.now());
    integrity.unchecked = 0;
    this.#batch.append(token.request);
  }

  /** A token's answer came. */
  checked(right: boolean): void {
    if (right) this.integrity!.release();
    else this.fail('UPSTREAM_PROTOCOL', 'replies are out of step with requests');
  }

  #open(): Socket {
    const { node, options } = this;
    const target = { ...node.dial, noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 };
    let socket: Socket;
    if (options.tls === undefined) {
      socket = connect({ ...target, onread: this.reads });
      socket.once('connect', () => this.#connected());
    } else {
      socket = connectTls({ ...target, ...options.tls });
      socket.on('data', (chunk: Buffer) => {
        this.#spokenTo = true;
        this.read(chunk, chunk.length);
      });
      socket.once('secureConnect', () => this.#connected());
    }
    socket.on('drain', () => this.#drained());
    socket.on('error', (cause) => {
      const refused = this.state === 'connecting' || (!this.#spokenTo && isAlert(cause));
      this.fail(refused ? 'CONNECT_FAILED' : 'UPSTREAM_CLOSED', undefined, cause);
    });
    socket.on('end', () => this.fail('UPSTREAM_CLOSED'));
    socket.on('close', () => this.fail('UPSTREAM_CLOSED'));
    return socket;
  }

  #connected(): void {
    if (this.state !== 'connecting') return;
    const greeting = this.greeting();
    if (greeting === null) {
      this.ready();
      return;
    }
    this.state = 'greeting';
    this.greetingsOwed = greeting.replies;
    this.socket.write(greeting.bytes);
  }

  protected override ready(): void {
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

  // Who does not take replies as fast as they come. On a shared link nobody may hold up the others: a client's unsent
  // bytes are limited, and that is all. But a giant reply, most of which is still to come, would always be over the
  // limit: then new requests get another link, and this one waits for the client. An own link always waits.
  protected override handed(owner: Receiver, whole: boolean): void {
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
    this.#pause.begin(outbox, this.engine.clock.now());
  }

  /** Others wait behind a giant whose client takes nothing: it is given up. */
  #giveUpGiant(): void {
    this.spent.giveUp(this.ring, 0, new ProxyError('CLIENT_SLOW'), true);
    this.#pause.end();
  }

  sweep(now: number): void {
    if (this.heard) {
      this.heard = false;
      this.node.lastReply = now;
    }
    if (this.state === 'connecting' || this.state === 'greeting') {
      if (now > this.#connectDeadline) this.fail('CONNECT_TIMEOUT');
      return;
    }
    const { replyTimeout, sendTimeout = 0 } = this.options;
    if (this.#stall.outlasts(this.socket, now)) return this.#timeOut(now, sendTimeout, 'upstream takes no requests');
    const pause = this.#pause;
    if (pause.active && !this.own && this.ring.length > 1 && now - pause.since > PATIENCE_WITH_GIANTS) this.#giveUpGiant();
    if (this.detached && this.idle && !pause.active) return this.fail('DRAINED');
    if (replyTimeout === 0 || this.ring.length === 0 || pause.active || this.patience === Infinity) return;
    const timeout = replyTimeout + this.patience;
    this.spent.expire(this.ring, now, timeout, this.partial);
    if (this.spent.hopeless(now, timeout)) this.#timeOut(now, replyTimeout);
    flushOutboxes();
  }

  /** `ran`: the timeout, ms. One slow command says nothing against a node that answers others meanwhile. */
  #timeOut(now: number, ran: number, text?: string): void {
    this.#nodeWasSilent = now - this.node.lastReply >= ran;
    this.fail('UPSTREAM_TIMEOUT', text);
  }

  /** Ends the link; everything under way is answered with the cause. What was never written may move elsewhere. */
  override fail(code: ErrorCode, text?: string, cause?: unknown): void {
    if (this.state === 'closed') return;
    const unsent = !this.#wrote;
    const early = this.state !== 'open' || code === 'CONNECT_FAILED';
    this.state = 'closed';
    this.engine.unwatch(this);
    this.account();
    this.socket.destroy();
    const error = new ProxyError(code, text, { cause });
    // A server that hangs still accepts connections: its silence counts, too.
    const unwell = early ? code !== 'DRAINED' && code !== 'UPSTREAM_HANDSHAKE' : code === 'UPSTREAM_TIMEOUT' && this.#nodeWasSilent;
    if (unwell) this.node.health.failed(error);
    this.engine.linkEnded(code, this.node.address, error);
    for (const then of this.#readyCallbacks.splice(0)) then(error);
    this.options.onClosed?.(this, error);
    const heir = unsent && this.ring.length > 0 && code !== 'UPSTREAM_HANDSHAKE' ? this.options.substitute?.(this) ?? null : null;
    if (heir !== null) this.#bequeath(heir);
    else this.#failAll(error);
    this.#batch.drop();
    for (const then of this.#waiters.splice(0)) then();
    this.ended();
    flushOutboxes();
  }

  /** Adds what was received and sent since the last time to the series of all links. */
  account(): void {
    const { bytesRead } = this.socket;
    // What waits is counted, and is less when the connection broke.
    const sent = Math.max(this.#sent, this.socket.bytesWritten);
    this.engine.streams.linkPassed(bytesRead - this.#received, sent - this.#sent);
    this.#received = bytesRead;
    this.#sent = sent;
  }

  /** It is closed and everything under way was answered. */
  protected ended(): void {}

  /** Whether it goes to one of these addresses; while it is being opened, that is not known, and true. */
  leadsTo(addresses: ReadonlySet<string>): boolean {
    const { remoteAddress } = this.socket;
    return remoteAddress === undefined || addresses.has(remoteAddress);
  }

  /** Takes no new requests, and closes when the last one was answered. */
  retire(): void {
    this.detached = true;
    if (this.idle && this.state === 'open') this.fail('DRAINED');
  }

  #failAll(error: ProxyError): void {
    this.integrity?.fail(error);
    let started = this.partial && this.integrity?.strict !== true;
    const ring = this.ring;
    while (ring.length > 0) {
      const owner = ring.owner(0);
      const count = ring.count(0);
      const tag = ring.tag(0);
      ring.shift();
      this.node.inflight -= count;
      owner.failed(error, count, started, tag);
      started = false;
    }
  }

  /** Hands what waits, bytes and entries, to another link. */
  #bequeath(heir: Link): void {
    const ring = this.ring;
    for (; ring.length > 0; ring.shift()) {
      const owner = ring.owner(0);
      const count = ring.count(0);
      this.node.inflight -= count;
      owner.moved?.(this, heir);
      // Not merged again: what stands between two entries may be an answer of ours, which is not on the link.
      heir.#push(owner, count, ring.tag(0), heir.engine.clock.now());
    }
    heir.#batch.append(this.#batch.joined());
    if (!heir.#scheduled) heir.#schedule();
  }
}

/**
 * With TLS 1.3 a node looks at our certificate after the handshake is over for us: that it refuses it comes as an alert,
 * before it has read anything else.
 */
function isAlert(cause: Error): boolean {
  return 'code' in cause && typeof cause.code === 'string' && /^ERR_SSL_.*ALERT/.test(cause.code);
}
