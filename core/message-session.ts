// A conversation whose requests are whole messages: it gathers bytes until a message is complete, and keeps
// all that
// is under way on one link. A protocol says where a message ends and what an error looks like.
import { ProxyError } from './errors.ts';
import { Message, MessageRequest } from './message-request.ts';
import { flushOutboxes } from './outbox.ts';
import type { Plan } from './plan.ts';
import type { Backend } from './protocol.ts';
import type { Request } from './request.ts';
import { Session } from './session.ts';
import type { Link } from './upstream/link.ts';
import type { Node } from './upstream/node.ts';

const EMPTY: Buffer = Buffer.alloc(0);

export abstract class MessageSession extends Session {
  /** The link that it uses; its backend chooses it. */
  link: Link | null = null;
  #backend: Backend | null = null;
  #bytes: Buffer = EMPTY;
  #at = 0;
  #end = 0;
  /** `#bytes` is the session's own, not the shared read buffer. */
  #kept = false;
  #since = 0;
  #congested = false;
  #waits = false;

  override get node(): Node | null { return this.link?.node ?? null; }

  /** Where the message ends that begins at `start`; 0: more bytes are needed. Throws a ProxyError if it is none. */
  protected abstract frame(bytes: Buffer, start: number, end: number): number;
  /** A request for a message, which is a view; null: the session dealt with it. */
  protected abstract request(plan: Plan, message: Buffer): Request | null;
  /** What a client reads of a failure; null: the protocol has no words for it, so the connection ends. */
  protected abstract error(error: ProxyError): Buffer | null;

  /** Whether the next request may start. False: it is asked again when something was answered. */
  protected mayStart(plan: Plan): boolean {
    const { link } = this;
    const usable = link === null || (link.state !== 'closed' && !link.detached);
    const backend = plan.backendOf(this);
    if (usable && backend === this.#backend) return true;
    // Another link: what the old one owes comes first, so that a command finds the effects of those before
    // it.
    if (!this.idle) return false;
    this.#backend = backend;
    this.link = null;
    return true;
  }

  /** Sends a request on a link, alone or, where nobody wants to see its answer, as part of a run. */
  send(link: Link, request: MessageRequest, tag = 0): void {
    request.sent(link.node.address);
    if (!request.queued) this.ran(1);
    link.send(request.queued ? request : this, request.bytes, 0, request.bytes.length, 1, tag);
    if (link.congested && !this.#congested) {
      this.#congested = true;
      link.whenRoom(() => {
        this.#congested = false;
        if (!this.closed) this.pump();
      });
    }
  }

  /** The link failed before anything was written, and another one took over what waited. */
  moved(from: Link, to: Link): void {
    if (this.link === from) this.link = to;
  }

  read(bytes: Buffer, length: number): void {
    this.received += length;
    if (this.closed || this.ending) return;
    this.#take(bytes, length);
    this.pump();
    this.#keepRest();
    flushOutboxes();
  }

  protected override next(): Request | null {
    if (this.#at === this.#end) return null;
    const plan = this.plan();
    if (plan === null) {
      this.end('ROUTE_REMOVED');
      return null;
    }
    this.#waits = !this.mayStart(plan);
    if (this.#waits) return null;
    try {
      return this.#next(plan);
    } catch (cause) {
      if (!(cause instanceof ProxyError)) throw cause;
      return this.#refusal(plan, cause);
    }
  }

  #last = '';
  override get lastOperation(): string { return this.#last; }

  #next(plan: Plan): Request | null {
    while (this.#at < this.#end) {
      const next = this.frame(this.#bytes, this.#at, this.#end);
      if (next === 0) {
        const most = this.engine.limits.assembly;
        if (this.unread > most) throw new ProxyError('PROTOCOL_ERROR', `request: expected at most ${most} bytes`);
        if (this.#since === 0) this.#since = this.engine.clock.now();
        return null;
      }
      const message = this.#bytes.subarray(this.#at, next);
      this.#at = next;
      this.#since = 0;
      const request = this.request(plan, message);
      if (request === null) continue;
      request.plain = this.ordered;
      this.#last = request.name;
      return request;
    }
    return null;
  }

  /** Answers what is no message, in its place; then the connection ends. No hook sees it. */
  #refusal(plan: Plan, error: ProxyError): Request {
    this.#at = this.#end;
    const { engine, route, remoteAddress } = this;
    engine.log.debug({ code: error.code, route: route.id, remote_addr: remoteAddress, text: error.message }, 'what the client sent is no message');
    const request = new BrokenMessage(this, plan, EMPTY);
    request.skipped = -1;
    request.settle(new ProxyError(error.code, error.message, { cause: error.cause, close: true }));
    return request;
  }

  #take(bytes: Buffer, length: number): void {
    if (this.#at === this.#end) {
      this.#bytes = bytes;
      this.#at = 0;
      this.#end = length;
      this.#kept = false;
      return;
    }
    const have = this.#end - this.#at;
    if (this.#bytes.length - this.#end < length) {
      const larger = Buffer.allocUnsafeSlow((have + length) * 2);
      this.#bytes.copy(larger, 0, this.#at, this.#end);
      this.#bytes = larger;
      this.#at = 0;
      this.#end = have;
    }
    bytes.copy(this.#bytes, this.#end, 0, length);
    this.#end += length;
  }

  #keepRest(): void {
    if (this.#at === this.#end) {
      this.#bytes = EMPTY;
      this.#at = this.#end = 0;
    } else if (!this.#kept) {
      this.#bytes = Buffer.from(this.#bytes.subarray(this.#at, this.#end));
      this.#end -= this.#at;
      this.#at = 0;
      this.#kept = true;
    }
  }

  protected override get unread(): number { return this.#end - this.#at; }
  protected override get unfinishedSince(): number { return this.#since; }
  protected override room(): number { return this.#congested ? 0 : super.room(); }
  protected override blocked(): boolean { return this.#congested || this.#waits; }

  protected override write(request: Request): void {
    const { outcome } = request;
    if (outcome instanceof ProxyError) this.writeError(outcome, 1);
    else if (!request.relayed) this.#append((outcome as Message).raw);
  }

  protected override writeError(error: ProxyError, count: number): void {
    const bytes = this.error(error);
    if (bytes === null) this.end(error.code);
    else for (let i = 0; i < count; i++) this.#append(bytes);
  }

  #append(bytes: Buffer): void {
    this.connection.outbox.append(bytes, 0, bytes.length);
  }

  protected override dispose(): void {
    this.#bytes = EMPTY;
    this.#at = this.#end = 0;
  }
}

class BrokenMessage extends MessageRequest {
  readonly name = '';
  readonly keyCount = 0;
  key(): Buffer { return EMPTY; }
}
