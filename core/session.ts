// One downstream conversation: requests start in order, replies leave in order. What is framed and what is written is
// the door's business; when it happens is decided here.
//
//   runs sent, replies owed:   ....oooo          `left` have left, `owed` are under way on one link
//   queue of own entries:         ^ after        each leaves when exactly `after` run replies have left before it
import { runConnectHooks } from './connect-hooks.ts';
import type { Connection, Listener } from './connection.ts';
import type { Engine } from './engine.ts';
import { ProxyError, type ErrorCode } from './errors.ts';
import { FixedQueue } from './fixed-queue.ts';
import { flushOutboxes, type Outbox } from './outbox.ts';
import { isObserved, runLogHooks, runRequestHooks, runResponseHooks } from './phases.ts';
import type { Plan } from './plan.ts';
import type { UpstreamChoice } from './plugin.ts';
import { ReplyWindow } from './reply-window.ts';
import type { Owner, Reply, Request } from './request.ts';
import type { Route } from './route.ts';
import { tlsVariable } from './tls/variable.ts';
import type { Node } from './upstream/node.ts';
import type { Receiver } from './upstream/receiver.ts';

/** Milliseconds for which a client that ended its side may still be answered by what waits. */
const patienceAfterEnd = 1000;

export abstract class Session implements Owner, Receiver, Listener {
  readonly id: number;
  readonly connection: Connection;
  readonly route: Route;
  readonly engine: Engine;
  readonly openedAt: number;
  closed = false;
  /** Of the upstream that a plugin chose for it; null: the route's own. */
  upstreamName: string | null = null;
  /** Requests of runs that were sent and whose replies have not all left. */
  owed = 0;
  protected readonly queue = new FixedQueue<Request>();
  readonly #window: ReplyWindow;
  /** The plan that the session saw last: its own places are told when the connection ends. */
  #plan: Plan;
  #left = 0;
  #holds = 0;
  #pumping = false;
  #releasing = false;
  #ending: ErrorCode | null = null;
  /** The user whose arrival was dealt with. */
  #known: string | null = null;
  /** An answer that ends the connection stands in the queue. */
  #lastWord = false;
  /** Bytes of a reply left, and its end has not: nothing else may be written. */
  #midReply = false;
  #slowSince = 0;
  #awaitsDrain = false;
  /** Bytes that ever came from the client. */
  received = 0;
  #sentBefore = 0;
  #receivedBefore = 0;
  #fromNodeBefore = 0;
  #toNodeBefore = 0;
  #lastActivity: number;
  #closers: Set<() => void> | null = null;
  /** What the hooks of the request wait for that was begun before it was returned. */
  #wait: Promise<void> | undefined = undefined;

  constructor(connection: Connection, route: Route, engine: Engine) {
    this.id = engine.nextSessionId();
    this.connection = connection;
    this.route = route;
    this.engine = engine;
    this.#window = new ReplyWindow(engine.limits);
    this.openedAt = this.#lastActivity = engine.clock.now();
    this.#plan = route.plan!;
    engine.sessions.add(this);
    const { metrics } = this.#plan;
    metrics.retain();
    metrics.metrics.add(metrics.connections, 1);
    metrics.metrics.add(metrics.active, 1);
    connection.metrics.retain();
  }

  /** Who the client proved to be, where the protocol knows. */
  get user(): string | null { return null; }
  /** Who that is among the `consumers`; null: nobody. */
  get consumer(): string | null {
    const { user } = this;
    return user !== null && this.engine.consumers.has(user) ? user : null;
  }
  /** The node that it uses, or used last. */
  get node(): Node | null { return null; }
  /** Bytes from and to nodes on connections that nobody else uses. */
  protected get fromNode(): number { return 0; }
  protected get toNode(): number { return 0; }
  get remoteAddress(): string { return this.connection.origin.remoteAddress; }
  get remotePort(): number { return this.connection.origin.remotePort; }
  get localAddress(): string { return this.connection.origin.localAddress; }
  get localPort(): number { return this.connection.origin.localPort; }

  /** What only this door knows: sni, client name, … */
  variable(name: string): string | undefined {
    return tlsVariable(this.connection.origin, name);
  }

  /** Whether replies leave in the order of the requests. Protocols that match them by id say no. */
  protected get ordered(): boolean { return true; }

  /** Frames one request; null: more bytes are needed, or nothing may start now. Runs are forwarded inside. */
  protected abstract next(): Request | null;
  /** Encodes one settled answer into the outbox; of a relayed one everything has left already. */
  protected abstract write(request: Request): void;
  /** Answers `count` requests of a run with an error, where the protocol has one. */
  protected abstract writeError(error: ProxyError, count: number): void;
  /** Connect hooks are done: the client may be read. Doors that speak first do it here. */
  opened(): void {}
  /** Takes bytes of the shared read buffer, pumps, and keeps what was not used. */
  abstract read(bytes: Buffer, length: number): void;
  /** The connection is over: let go of links. */
  protected abstract dispose(): void;
  /** Bytes received that no complete request was made of yet. */
  protected get unread(): number { return 0; }
  /** When the oldest byte of an unfinished request came; 0: there is none. */
  protected get unfinishedSince(): number { return 0; }
  /** Whether it waits for a server without having to: a blocked or subscribed client that goes is let go at once. */
  protected get waiting(): boolean { return false; }
  /** Whether it stands in line for something that others have. */
  protected get inLine(): boolean { return false; }

  /** Whether its conversation is not over although nothing is owed: it waits for messages, or has begun what it will end. */
  get engaged(): boolean { return this.waiting; }

  /** Bytes kept for this client. */
  get held(): number { return this.connection.outbox.pending + this.unread; }

  /** How many more requests may be framed now. */
  protected room(): number {
    if (this.connection.outbox.pending > this.unsentPause) return 0;
    return this.most - this.owed - this.queue.length;
  }

  /** Unsent bytes after which it is not read. */
  protected get unsentPause(): number { return this.engine.limits.unsentPause; }
  /** Milliseconds that it may stay over that and take nothing. */
  protected get patience(): number { return this.engine.limits.slowClient; }

  /** How many requests may be under way: fewer, where others would wait behind their replies. */
  protected get most(): number {
    return this.sharing ? this.#window.size : this.engine.limits.pipelined;
  }

  /**
   * Whether others wait behind the replies of what is sent now. Only for protocols whose servers answer each request
   * without waiting for the next one: else a request that may not leave yet would be the one that all wait for.
   */
  protected get sharing(): boolean { return false; }

  get ending(): boolean { return this.#ending !== null; }
  /** Another upstream than the route's own, or that again (null). To be called before its first request. */
  useUpstream(choice: UpstreamChoice | null): void {
    this.upstreamName = choice === null ? null : choice.name;
  }

  get outbox(): Outbox { return this.connection.outbox; }
  /** Milliseconds since its last request began. */
  idleFor(now: number): number { return now - this.#lastActivity; }
  /** Requests that were not answered yet. */
  get inFlight(): number { return this.owed + this.queue.length; }
  /** Name of the operation that was asked for last. */
  get lastOperation(): string { return ''; }
  get idle(): boolean { return this.owed === 0 && this.queue.length === 0 && this.#holds === 0; }

  get pumping(): boolean { return this.#pumping; }

  /** Requests that travel in a run may be gathered while the pump runs; here they are sent. */
  flushRun(): void {}

  /** Frames and starts requests until more bytes are needed or the client has to wait. */
  pump(): void {
    if (this.#pumping || this.closed) return;
    this.#pumping = true;
    try {
      while (this.#holds === 0 && this.#ending === null && !this.#lastWord && !this.closed && this.room() > 0) {
        if (this.user !== this.#known && this.#arrives()) break;
        const request = this.next();
        if (request === null) break;
        this.#start(request);
      }
    } catch (cause) {
      this.engine.log.error({ code: 'INTERNAL', err: cause, route: this.route.id }, 'session failed');
      this.destroy('INTERNAL');
    }
    this.#pumping = false;
    if (this.closed) return;
    this.flushRun();
    this.#pace();
    if (this.#finished) this.end('CLIENT_CLOSED');
  }

  /** The client is somebody else than it was: what this consumer's own plugins do when one connects is done now. */
  #arrives(): boolean {
    this.#known = this.user;
    const arrival = this.plan()?.arrival ?? [];
    if (arrival.length === 0) return false;
    this.hold(runConnectHooks(arrival, this, this.engine.limits.requestTimeout).then((refused) => {
      if (refused !== null) this.end(refused.code);
    }));
    return true;
  }

  #start(request: Request): void {
    this.#lastActivity = request.startedAt;
    request.plan.enter();
    const wait = request.begun ? this.#wait : this.#begin(request);
    this.#wait = undefined;
    if (wait === undefined) {
      this.#dispatch(request);
      return;
    }
    request.keep();
    this.enqueue(request);
    this.hold(wait.then(() => this.#waited(request)));
  }

  /** Its hooks are done, and took their time: the client may have left. */
  #waited(request: Request): void {
    if (this.#unheard && this.connection.lost()) this.destroy('CLIENT_RESET');
    else this.#dispatch(request);
  }

  #begin(request: Request): Promise<void> | undefined {
    const hooks = request.plan.request;
    return hooks === null || request.settled ? undefined : runRequestHooks(hooks, request);
  }

  /**
   * Begins a request that `next` framed and did not return yet. True: nobody waits for it or wants to see it; it
   * may be sent in a run and its object forgotten or used again. False: it has to be returned.
   */
  protected passes(request: Request): boolean {
    request.begun = true;
    this.#wait = this.#begin(request);
    if (this.#wait !== undefined || request.settled) return false;
    this.#decide(request);
    return !request.observed;
  }

  /** Hooks are done: send it, unless it is answered or its client is gone. */
  #dispatch(request: Request): void {
    if (this.closed) return;
    if (!request.decided) this.#decide(request);
    if (request.settled) {
      const { outcome } = request;
      // It may have to wait for older answers: what stands behind it must not be run meanwhile.
      if (outcome instanceof ProxyError && outcome.close) this.#lastWord = true;
      if (!request.queued) this.enqueue(request);
      this.#release();
      return;
    }
    if (!request.queued && (request.observed || !request.plain)) this.enqueue(request);
    if (request.observed) request.keep();
    request.plan.backendOf(this).send(request);
    if (request.queued) return;
    if (request.settled) {
      this.enqueue(request);
      this.#release();
    } else {
      // It went as part of a run: it is counted with the run and wanted by nobody.
      request.plan.leave();
    }
  }

  /** Whether a client that resets its connection would go unnoticed. */
  get #unheard(): boolean { return this.connection.paused || this.#ended; }

  /** Asks once who wants to see it answered. A hook that waited may answer it before it would be sent. */
  #decide(request: Request): void {
    request.decided = true;
    request.observed = isObserved(request.plan, request);
    const { tails } = this.engine;
    // What no hook sees (`skipped`), nobody sees.
    if (tails !== null && request.skipped !== -1 && tails.wants(request)) request.tailed = request.observed = true;
  }

  /** A message that the server sent by itself: it leaves as an answer does, and counts as a request of its own. */
  protected announce(request: Request, message: Reply): void {
    request.plan.enter();
    this.#decide(request);
    this.enqueue(request);
    request.settle(message);
  }

  /** Gives a request its own place among the answers. */
  protected enqueue(request: Request): void {
    // What was gathered of a run stands before it: a run that goes on behind it is another one.
    this.flushRun();
    request.queued = true;
    this.apart = true;
    request.after = this.#left + this.owed;
    this.queue.push(request);
  }

  /** Stops framing until the promise ends, however it ends. */
  hold(until: Promise<unknown>): void {
    this.#holds++;
    const go = (): void => {
      this.#holds--;
      if (this.closed) return;
      this.pump();
      flushOutboxes();
    };
    until.then(go, (cause: unknown) => {
      this.engine.log.error({ code: 'INTERNAL', err: cause, route: this.route.id }, 'a wait failed');
      go();
    });
  }

  // Owner: what settles requests tells their session.

  deliver(request: Request): void {
    // Before it is queued its hooks are still running, and who started it goes on with it.
    if (request.queued) this.#release();
  }

  accepts(request: Request): boolean {
    if (this.closed || this.#midReply) return false;
    return !this.ordered || (this.queue.first === request && request.after === this.#left);
  }

  relay(request: Request, bytes: Buffer, start: number, end: number): void {
    if (this.closed) return;
    this.#midReply = true;
    this.#window.took(end - start, 0);
    this.relayed(request, bytes, start, end);
  }

  /** Writes a piece of an answer; doors that hide or rewrite override it. */
  protected relayed(_request: Request, bytes: Buffer, start: number, end: number): void {
    this.#append(bytes, start, end);
  }

  /** Bytes from a server. A client that takes nothing is closed before it costs more memory than it may. */
  #append(bytes: Buffer, start: number, end: number): void {
    const { outbox } = this.connection;
    outbox.append(bytes, start, end);
    if (outbox.pending > this.engine.limits.unsentClose) this.destroy('CLIENT_SLOW');
  }

  // Receiver: replies of runs.

  receive(bytes: Buffer, start: number, end: number, complete: number, since: number, tag: number): void {
    if (this.closed) return;
    if (this.queue.length > 0 && this.ordered && this.queue.first!.after <= this.#left) {
      // An older answer is still owed: whatever this is, it is not what the client waits for next.
      this.engine.log.error({ code: 'INTERNAL', route: this.route.id }, 'a reply came out of order');
      this.destroy('INTERNAL');
      return;
    }
    this.#append(bytes, start, end);
    this.#midReply = !this.endsWhole;
    this.#window.took(end - start, complete);
    if (complete > 0 && !this.closed) {
      this.#counted(complete, since, tag);
      this.#release();
    }
  }

  /** Passes on a message that answers no request, between answers; `complete` false: it goes on. */
  protected passAside(bytes: Buffer, start: number, end: number, complete: boolean): void {
    this.#append(bytes, start, end);
    this.#midReply = !complete;
    if (complete && this.queue.length > 0) this.#release();
  }

  /** Answers left. */
  protected progressed(): void {}

  /** Set by the link for the piece it hands over: whether it ends where a reply ends. */
  endsWhole = true;
  /** An answer that is not on the link stands behind the last run: the next run must not be counted with it. */
  apart = false;

  #counted(complete: number, since: number, tag: number): void {
    this.owed -= complete;
    this.#left += complete;
    const { metrics } = this.#plan;
    metrics.metrics.add(metrics.requests, complete);
    metrics.metrics.observe(metrics.latency, this.engine.clock.now() - since, complete);
    this.observeRun(tag, complete, since);
  }

  /** Replies of a run arrived; `tag` is what they were sent with. */
  protected observeRun(_tag: number, _count: number, _since: number): void {}

  failed(error: ProxyError, count: number, started: boolean, tag: number): void {
    if (this.closed) return;
    if (started) {
      this.destroy(error.code === 'CLIENT_SLOW' ? 'CLIENT_SLOW' : 'REPLY_CUT');
      return;
    }
    this.writeError(error, count);
    this.#midReply = false;
    this.owed -= count;
    this.#left += count;
    const { metrics } = this.#plan;
    metrics.metrics.add(metrics.requests, count);
    metrics.metrics.add(metrics.errors, count);
    this.runFailed(tag, count);
    this.#release();
  }

  /** Replies of a run will not come. */
  protected runFailed(_tag: number, _count: number): void {}

  /** A run of `count` requests was handed to a link. */
  protected ran(count: number): void {
    this.owed += count;
    this.#lastActivity = this.engine.clock.now();
  }

  /** Lets every answer leave whose turn it is. */
  #release(): void {
    if (this.#releasing) return;
    this.#releasing = true;
    while (!this.closed && this.queue.length > 0) {
      const request = this.ordered ? this.queue.first! : this.#firstSettled();
      if (request === undefined || request.outcome === null) break;
      if (this.ordered && (request.after !== this.#left || (this.#midReply && !request.relayed))) break;
      if (this.ordered) this.queue.shift();
      this.#answer(request);
    }
    this.#releasing = false;
    if (this.closed) return;
    this.progressed();
    if (this.closed || this.#pumping) return;
    if (this.#ending === null && this.hasInput()) this.pump();
    else if (this.#finished) this.end('CLIENT_CLOSED');
    else this.#pace();
  }

  /** Whether bytes wait that were received and not framed. */
  protected hasInput(): boolean { return this.unread > 0; }

  #firstSettled(): Request | undefined {
    for (let i = 0; i < this.queue.length; i++) {
      const request = this.queue.at(i)!;
      // Half an answer has left: only its other half may follow.
      if (request.settled && (request.relayed || !this.#midReply)) return this.queue.remove(i);
    }
    return undefined;
  }

  #answer(request: Request): void {
    const { plan } = request;
    if (!request.decided) this.#decide(request);
    if (plan.response !== null && !request.relayed) runResponseHooks(plan, request);
    const outcome = request.outcome!;
    if (outcome instanceof ProxyError && request.relayed) {
      // Nothing valid can follow half an answer.
      this.#log(request);
      this.destroy('REPLY_CUT');
      return;
    }
    this.#midReply = false;
    if (!(outcome instanceof ProxyError)) this.#window.took(request.relayed ? 0 : outcome.bytes, 1);
    const before = this.connection.outbox.total;
    // A close without a text is one without an answer.
    if (!(outcome instanceof ProxyError && outcome.close && outcome.message === '')) this.write(request);
    if (!request.relayed) request.bytesOut = this.connection.outbox.total - before;
    this.#log(request);
    if (outcome instanceof ProxyError && outcome.close) this.end(outcome.code);
  }

  #log(request: Request): void {
    request.endedAt = this.engine.clock.now();
    const { plan } = request;
    const { metrics } = plan.metrics;
    metrics.add(plan.metrics.requests, 1);
    if (request.outcome instanceof ProxyError) metrics.add(plan.metrics.errors, 1);
    metrics.observe(plan.metrics.latency, request.endedAt - request.startedAt, 1);
    this.observe(request);
    if (!request.decided) this.#decide(request);
    if (plan.log !== null && request.observed) runLogHooks(plan, request);
    if (request.tailed) this.engine.tails?.answered(request);
    plan.leave();
  }

  /** A request of its own was answered. */
  protected observe(_request: Request): void {}

  /** Reads the client only while there is room for what it says. */
  #pace(): void {
    if (this.#ending !== null) return;
    if (this.connection.outbox.pending > this.unsentPause) this.#awaitDrain();
    // Without unframed bytes it is read even while it has to wait: how else would it be known that the client left?
    const waits = this.#holds > 0 || this.#lastWord || this.blocked() || this.room() <= 0;
    if (waits && this.unread > 0) this.connection.pause();
    else if (!this.#ended) this.connection.resume();
  }

  /** A socket says by itself that it drained only when it was over a mark of its own, which may be higher than ours. */
  #awaitDrain(): void {
    if (this.#awaitsDrain) return;
    this.#awaitsDrain = true;
    this.connection.outbox.whenFlushed(() => {
      this.#awaitsDrain = false;
      this.drained();
    });
  }

  /** Whether the door cannot take more bytes for a reason of its own, e.g. a link over its mark. */
  protected blocked(): boolean { return false; }

  // Listener: the connection.

  #ended = false;

  ended(): void {
    this.#ended = true;
    if (this.closed) return;
    if (this.waiting) {
      this.destroy('CLIENT_CLOSED');
      return;
    }
    if (this.#finished) this.end('CLIENT_CLOSED');
  }

  /** The client sent its last byte, and was answered; or what it began will never be complete. */
  get #finished(): boolean {
    if (!this.#ended || !this.idle || this.#ending !== null) return false;
    // What waits for room was asked for, too.
    return !(this.hasInput() && this.room() <= 0);
  }

  drained(): void {
    this.#slowSince = 0;
    if (this.closed) return;
    this.pump();
    flushOutboxes();
  }

  /** The plan that a request starts with; null: the route is gone. */
  protected plan(): Plan | null {
    const plan = this.route.plan?.for(this.user) ?? null;
    if (plan !== null && plan !== this.#plan) {
      plan.metrics.retain();
      this.#plan.metrics.release();
      this.#plan = plan;
    }
    return plan;
  }

  sweep(now: number): void {
    if (this.closed) return;
    this.#account();
    const { limits } = this.engine;
    const { pending } = this.connection.outbox;
    if (pending > limits.unsentClose) return this.destroy('CLIENT_SLOW');
    if (pending > this.unsentPause) {
      if (this.#slowSince === 0) this.#slowSince = now;
      if (now - this.#slowSince > this.patience) return this.destroy('CLIENT_SLOW');
    }
    if (this.#holds > 0 && this.#unheard && this.connection.lost()) return this.destroy('CLIENT_RESET');
    // It left before the wait began, and nobody would ever tell. One that only ended its side gets what is there by now.
    if (this.#ended && (this.waiting || this.inLine) && now - this.#lastActivity > patienceAfterEnd) return this.destroy('CLIENT_CLOSED');
    const since = this.unfinishedSince;
    if (since > 0 && now - since > limits.requestTimeout && !this.connection.paused) {
      return this.destroy('CLIENT_REQUEST_TIMEOUT');
    }
    if (limits.clientIdle > 0 && this.idle && !this.waiting && now - this.#lastActivity > limits.clientIdle) {
      this.end('CLIENT_IDLE');
    }
  }

  /** Adds what was sent and received since the last time to the series of route and listener. */
  #account(): void {
    const { metrics } = this.#plan;
    const sent = this.connection.outbox.total;
    const [out, come] = [sent - this.#sentBefore, this.received - this.#receivedBefore];
    metrics.metrics.add(metrics.bytesOut, out);
    metrics.metrics.add(metrics.bytesIn, come);
    this.#sentBefore = sent;
    this.#receivedBefore = this.received;
    const { fromNode } = this;
    // What waits to be sent is less when the node's connection broke.
    const toNode = Math.max(this.#toNodeBefore, this.toNode);
    this.connection.metrics.passed(come, out, fromNode - this.#fromNodeBefore, toNode - this.#toNodeBefore);
    this.#fromNodeBefore = fromNode;
    this.#toNodeBefore = toNode;
  }

  /** Calls back once when the connection is over, unless the returned function is called before. */
  onClose(then: () => void): () => void {
    if (this.closed) {
      then();
      return () => undefined;
    }
    const closers = (this.#closers ??= new Set<() => void>());
    const own = (): void => then();
    closers.add(own);
    return () => void closers.delete(own);
  }

  /** Ends after what was written has left. */
  end(reason: ErrorCode): void {
    if (this.closed || this.#ending !== null) return;
    this.#ending = reason;
    this.connection.finish(reason);
    this.#over();
  }

  destroy(reason: ErrorCode): void {
    if (this.connection.socket.destroyed && this.closed) return;
    this.connection.destroy(reason);
    this.#over();
  }

  gone(): void {
    this.#over();
  }

  /** Once: nobody is waiting for answers any more. */
  #over(): void {
    if (this.closed) return;
    this.closed = true;
    this.engine.sessions.delete(this);
    const plan = this.#plan;
    plan.metrics.metrics.add(plan.metrics.active, -1);
    this.#account();
    const { node } = this;
    // Before links are let go: what a client did not wait for is unfinished, not failed.
    for (let request = this.queue.shift(); request !== undefined; request = this.queue.shift()) this.#log(request);
    this.dispose();
    const closers = this.#closers;
    this.#closers = null;
    if (closers !== null) for (const then of closers) then();
    const reason = this.connection.reason ?? 'CLIENT_CLOSED';
    plan.disconnected(this, reason);
    plan.metrics.release();
    this.engine.connectionEnded(reason, this.route.id, this.remoteAddress);
    this.connection.metrics.ended(reason, node);
    this.connection.metrics.release();
  }
}
