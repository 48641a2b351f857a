// A session's own link: why it has one, and when it can give it back. State is tracked from replies, not from
// requests: a SELECT inside a discarded MULTI has no effect.
import { ProxyError } from '../../core/errors.ts';
import type { Node } from '../../core/upstream/node.ts';
import { blockingTimeout } from './commands/blocking.ts';
import * as table from './commands/table.ts';
import { applyToSession } from './door-commands.ts';
import type { LinkSet } from './link-set.ts';
import type { OwnLink } from './link.ts';
import type { RedisRequest } from './request.ts';
import type { RedisSession } from './session.ts';
import { encodeRequest } from './resp/encode.ts';

const PING = encodeRequest(['PING']);
/** A blocking command may take its own timeout, and the way there and back. */
const margin = 5000;

export class OwnState {
  readonly #session: RedisSession;
  link: OwnLink | null = null;
  #set: LinkSet | null = null;
  #multi = false;
  #watching = false;
  /** Commands about the client that wait for EXEC. */
  #queued: RedisRequest[] = [];
  /** Commands under way that may change what the link is. */
  #underWay = 0;
  #blocked = 0;
  /** It waits for a link. */
  inLine = false;
  /** For the rest of the connection. */
  #sticky = false;
  streaming = false;

  constructor(session: RedisSession) {
    this.#session = session;
  }

  get active(): boolean { return this.link !== null; }
  get inTransaction(): boolean { return this.#multi; }
  get watching(): boolean { return this.#watching; }

  /** Whether it waits for something that may never come. */
  get waiting(): boolean {
    const { link } = this;
    return this.#blocked > 0 || (link !== null && (link.subscriptions > 0 || link.monitoring));
  }

  /** Whether the link's state is that of a connection on which nothing happened. */
  get releasable(): boolean {
    const { link } = this;
    return link !== null && !this.#multi && !this.#watching && this.#underWay === 0 && !this.#sticky
      && !this.streaming && link.subscriptions === 0 && !link.monitoring;
  }

  /** Whether an ordinary command may travel in a run now. */
  get allowsRun(): boolean {
    return this.link === null || !this.releasable;
  }

  /**
   * Whether a command may start now. An ordinary one behind a finished transaction waits until the link was given
   * back, so that own links do not stay with clients that need them no more.
   */
  mayStart(treatment: number): boolean {
    if (this.link === null || !this.releasable) return true;
    const ordinary = treatment === table.SHARED || treatment === table.CONTAINER || treatment === table.MAY_BLOCK
      || treatment === table.SESSION;
    return !ordinary || this.#session.idle;
  }

  /** Borrows a link and sends the request on it; settles it with the reason when there is none. */
  async acquire(request: RedisRequest, dedicated: boolean): Promise<void> {
    const session = this.#session;
    const tried: Node[] = [];
    const since = session.engine.clock.now();
    let set = session.nodes.choose();
    while (set !== null) {
      try {
        this.inLine = true;
        const link = dedicated ? await this.#dedicate(set) : await set.borrow(session.identity);
        this.inLine = false;
        if (session.closed || request.settled) {
          set.giveBack(link);
          return;
        }
        link.session = session;
        this.link = link;
        this.#set = set;
        if (dedicated) this.#sticky = true;
        this.send(request);
        return;
      } catch (cause) {
        this.inLine = false;
        const error = cause instanceof ProxyError ? cause : new ProxyError('INTERNAL', undefined, { cause });
        tried.push(set.node);
        const { upstream } = session.backend!;
        const elapsed = session.engine.clock.now() - since;
        const again = error.code.startsWith('CONNECT') && upstream!.mayRetry(tried.length, elapsed);
        if (!again) {
          request.settle(error);
          return;
        }
        set = session.nodes.next(tried);
      }
    }
    request.settle(session.nodes.nobody());
  }

  #dedicate(set: LinkSet): Promise<OwnLink> {
    const link = set.dedicated(this.#session.identity);
    return new Promise((resolve, reject) => {
      link.whenReady((error) => (error === null ? resolve(link) : reject(error)));
    });
  }

  /** Whether a command about the client itself must go to the server: it is queued there, or the link is changed. */
  keeps(request: RedisRequest): boolean {
    const { name } = request;
    if (name === 'quit' || name === 'reset') return false;
    if (name === 'client') return this.#refuses || (this.#multi && request.command.name !== 'client|reply');
    if (this.#multi || this.#underWay > 0 || this.#sticky) return true;
    return name === 'select' || name === 'auth' || name === 'hello' || name === 'asking'
      || name === 'readonly' || name === 'readwrite';
  }

  /** A RESP2 subscriber may say very little: the server has the words for it. */
  get #refuses(): boolean {
    return this.link !== null && this.link.subscriptions > 0 && this.#session.resp === 2;
  }

  /** Whether what is under way decides who answers a command about the client. */
  unsure(request: RedisRequest): boolean {
    return request.name === 'client' && this.#underWay > 0;
  }

  /** Sends one request on the own link and follows what it does to the connection. */
  send(request: RedisRequest): void {
    const link = this.link!;
    request.sent(link.node.address);
    this.#follow(request, link);
    if (request.queued) {
      this.#session.flushRun();
      link.send(request, request.bytes, request.start, request.end, 1, 0);
    } else {
      this.#session.run(link, request);
    }
    if (request.streamed) this.streaming = true;
  }

  #follow(request: RedisRequest, link: OwnLink): void {
    switch (request.treatment) {
      case table.TRANSACTION: return this.#transaction(request);
      case table.SUBSCRIPTION: return this.#subscription(request, link);
      case table.BLOCKING: return this.#blocking(request, link);
      case table.MONITOR:
        return this.#during(request, () => { if (succeeded(request)) link.monitoring = true; });
      case table.SESSION:
        // Its arguments are looked at once more when it was answered.
        request.keep();
        link.dirty = true;
        if (this.#multi) this.#sticky = true;
        return this.#during(request, () => {
          if (isQueued(request)) this.#queued.push(request);
          else if (succeeded(request)) applyToSession(this.#session, request);
        });
      case table.SHARED:
        return;
      default:
        if (request.streamed) return;
        link.suspects++;
        // A command that the server does not know did nothing, whatever it was meant to do.
        this.#during(request, () => {
          if (request.head.toString('latin1', 0, 12) === '-ERR unknown') link.suspects--;
          else this.#sticky = true;
        });
    }
  }

  #during(request: RedisRequest, then: () => void): void {
    this.#underWay++;
    request.onReply = then;
    request.ended = () => { this.#underWay--; };
  }

  #transaction(request: RedisRequest): void {
    const { name } = request;
    this.#during(request, () => {
      if (name === 'multi' && succeeded(request)) this.#multi = true;
      else if (name === 'watch' && succeeded(request)) this.#watching = this.#watching || !isQueued(request);
      else if (name === 'unwatch' && succeeded(request)) this.#watching = this.#watching && isQueued(request);
      else if (name === 'discard' && succeeded(request)) this.#leave(false);
      // EXEC ends it whatever it answers, but for a malformed EXEC, which leaves everything as it is.
      else if (name === 'exec' && (request.head[0] !== 0x2d || request.head.toString('latin1', 1, 10) === 'EXECABORT')) {
        this.#leave(request.head[0] === 0x2a && request.head[1] !== 0x2d);
      }
    });
  }

  /** The transaction is over. What it held about the client took effect if it ran. */
  #leave(ran: boolean): void {
    this.#multi = this.#watching = false;
    this.link?.inTransaction.splice(0);
    for (const request of this.#queued.splice(0)) if (ran) applyToSession(this.#session, request);
  }

  #subscription(request: RedisRequest, link: OwnLink): void {
    link.subscribed = true;
    link.commands.push(request);
    if (this.#multi) this.#sticky = true;
    this.#during(request, () => {
      if (link.commands[0] === request) link.commands.shift();
      if (isQueued(request)) {
        this.#sticky = true;
        link.inTransaction.push(request);
      }
      if (link.subscriptions === 0 && link.commands.length === 0) link.subscribed = this.#sticky;
    });
  }

  #blocking(request: RedisRequest, link: OwnLink): void {
    const waits = blockingTimeout(request.command, request.count, (i) => request.argument(i));
    link.patience = waits + margin;
    this.#blocked++;
    if (request.name === 'wait' || request.name === 'waitaof') {
      // The server counts from the last command of this connection: any command makes that "now", which is behind
      // every write that this client had answered on other links.
      link.sendWhole(swallow, PING, 1, 0);
    }
    this.#during(request, () => {});
    const { ended } = request;
    request.ended = () => {
      this.#blocked--;
      link.patience = 0;
      ended?.();
    };
  }

  /** Gives the link back. Only when `releasable`, and nothing is under way. */
  release(): void {
    const link = this.link!;
    this.link = null;
    this.#set!.giveBack(link);
    this.#set = null;
  }

  /** The client is gone, or wants to be new: the link is closed unless nothing ever happened to it. */
  drop(): void {
    const { link } = this;
    if (link === null) return;
    if (!this.releasable || !this.#session.idle) link.dirty = true;
    this.release();
    this.#multi = this.#watching = this.#sticky = this.streaming = false;
    this.#underWay = this.#blocked = 0;
    this.#queued = [];
  }

  /** The link failed; its requests were answered. State that lived in it is gone, and the client must know. */
  lost(link: OwnLink): void {
    if (this.link !== link) return;
    const session = this.#session;
    const stateful = this.#multi || this.#watching || this.#sticky || this.streaming
      || link.subscriptions > 0 || link.monitoring || link.subscribed;
    this.drop();
    if (session.closed) return;
    if (stateful) session.end('UPSTREAM_CLOSED');
    else session.pump();
  }
}

function succeeded(request: RedisRequest): boolean {
  return request.head[0] !== 0x2d && request.head[0] !== 0x21;
}

function isQueued(request: RedisRequest): boolean {
  return request.head.toString('latin1', 0, 7) === '+QUEUED';
}

const swallow = { endsWhole: true, outbox: null, receive() {}, failed() {} };
