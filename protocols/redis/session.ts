// A Redis client's conversation: frames its commands and decides which link each one takes. Where the commands of a
// client may not leave a trace they travel on shared links; while it has state of its own, on an own link.
//
// At any time all requests under way are on one link. Changing the link waits until everything was answered: a command
// behind another must find its effects.
import type { Connection } from '../../core/connection.ts';
import type { Engine } from '../../core/engine.ts';
import { ProxyError } from '../../core/errors.ts';
import { flushOutboxes } from '../../core/outbox.ts';
import type { Plan } from '../../core/plan.ts';
import type { Request } from '../../core/request.ts';
import type { Route } from '../../core/route.ts';
import { Session } from '../../core/session.ts';
import type { Link } from '../../core/upstream/link.ts';
import type { Node } from '../../core/upstream/node.ts';
import type { RedisBackend } from './backend.ts';
import { answerAtDoor, introduce, needsQuiet, wrongArity } from './door-commands.ts';
import { isWord } from './commands/arguments.ts';
import * as table from './commands/table.ts';
import { commands, isSingleKeyed, lookup, treatments } from './commands/table.ts';
import { errorText } from './error-text.ts';
import { Input } from './input.ts';
import type { Credentials, Identity, RedisLink } from './link.ts';
import type { LinkSet } from './link-set.ts';
import { makeRequest } from './make-request.ts';
import { NodeChoice } from './node-choice.ts';
import { OwnState } from './own-state.ts';
import { refusal } from './refusal.ts';
import { RedisReply, RedisRequest } from './request.ts';
import { encodeRequest, errorLine } from './resp/encode.ts';
import { splitInline } from './resp/inline.ts';
import { BROKEN, found } from './resp/scan-request.ts';
import { Run } from './run.ts';
import { Standing } from './standing.ts';
import { StreamedRequest } from './streamed-request.ts';

const EMPTY: Buffer = Buffer.alloc(0);
/** Shown to hooks for each request that none of them wanted yet. */
let spare: RedisRequest | null = null;

export class RedisSession extends Session {
  database = 0;
  resp: 2 | 3 = 2;
  credentials: Credentials | null = null;
  clientName = '';
  libraryName = '';
  libraryVersion = '';
  noEvict = false;
  noTouch = false;
  /** CLIENT REPLY: which answers the client does not want to see. */
  silence: 'none' | 'next' | 'all' = 'none';
  quitting = false;
  readonly own: OwnState;
  readonly nodes: NodeChoice;
  readonly standing: Standing;

  readonly #input = new Input();
  readonly #run = new Run();
  #stream: StreamedRequest | null = null;
  #backend: RedisBackend | null = null;
  /** Its nodes behind subordinate routes. */
  #choices: Map<RedisBackend, NodeChoice> | null = null;
  #link: RedisLink | null = null;
  #congested = false;
  /** Number of the command that was framed last. */
  #lastId = table.UNKNOWN;
  /** It waits until everything before it was answered, because it changes the link. */
  #wanted: RedisRequest | null = null;

  constructor(connection: Connection, route: Route, engine: Engine) {
    super(connection, route, engine);
    this.own = new OwnState(this);
    this.nodes = new NodeChoice(this);
    this.standing = new Standing(this);
  }

  override get node(): Node | null { return this.nodes.node; }
  get db(): number { return this.database; }
  get backend(): RedisBackend | null { return this.#backend; }
  override get user(): string | null { return this.credentials === null ? null : (this.credentials.user ?? 'default'); }

  override get lastOperation(): string { return this.#lastId === table.UNKNOWN ? '' : commands[this.#lastId]!.name; }

  override variable(name: string): string | undefined {
    return name === 'redis_client_name' ? this.clientName : super.variable(name);
  }

  // Bytes in.

  read(bytes: Buffer, length: number): void {
    this.received += length;
    if (this.closed || this.ending || this.quitting) return;
    const input = this.#input;
    input.receive(bytes, length);
    if (input.end - input.at >= input.needed) this.pump();
    input.keepRest();
    flushOutboxes();
  }

  protected override get unread(): number { return this.#input.held; }
  protected override get unfinishedSince(): number { return this.#input.since; }
  protected override hasInput(): boolean { return this.#input.ready; }

  // Framing.

  protected override room(): number {
    return this.#congested ? 0 : super.room();
  }

  protected override get unsentPause(): number { return this.standing.unsentPause(super.unsentPause); }
  protected override get patience(): number { return this.standing.patience(super.patience); }

  override sweep(now: number): void {
    // Who was here before it was known that the server wants a password.
    if (this.standing.refusedBy === null && this.outbox.pending > this.engine.limits.unauthenticatedUnsent) this.standing.look();
    super.sweep(now);
  }

  protected override get sharing(): boolean { return !this.own.active; }
  /** Of a request that was begun the rest must come, however much is under way. */
  protected override get most(): number { return this.#stream === null ? super.most : Infinity; }

  protected override blocked(): boolean { return this.#congested || this.#wanted !== null; }

  protected override next(): Request | null {
    const plan = this.plan();
    if (plan === null) {
      this.end('ROUTE_REMOVED');
      return null;
    }
    if (this.#wanted !== null || this.quitting) return null;
    if (this.#stream !== null && !this.#feed()) return null;
    if (this.own.active && this.own.releasable && this.idle) {
      this.own.release();
      this.#link = null;
    }
    const bound = plan.backendOf(this) as RedisBackend;
    if (bound !== this.#backend && !this.#rebind(bound)) return null;
    const backend = this.#backend!;
    const { standing } = this;
    // Whether what comes next is still part of the transaction decides to whom it goes.
    if (backend.subordinates !== null && this.own.active && !this.idle) return null;
    const unseen = plan.request === null && plan.observers === null && this.engine.tails === null;
    const swift = (unseen || plan.transient) && this.silence === 'none' && standing.refusedBy === null
      && backend.subordinates === null;
    const input = this.#input;
    const { bytes, end } = input;
    let most = this.room();
    let from = input.at;
    let at = from;
    let count = 0;
    let tag = 0;
    let request: Request | null = null;
    while (at < end && most > 0) {
      const next = input.scan(bytes, at, end, standing.limits);
      if (next < 0) {
        if (count > 0) this.#forward(bytes, from, at, count, tag);
        count = 0;
        input.at = from = at;
        request = next === BROKEN ? this.#broken(plan) : this.#incomplete(plan);
        break;
      }
      if (found.count === 0 || found.inline) {
        if (count > 0) this.#forward(bytes, from, at, count, tag);
        count = 0;
        const line = found.inline ? bytes.subarray(found.nameStart, found.nameEnd) : null;
        input.at = at = from = next;
        if (line === null) continue;
        request = this.#inline(plan, line);
        if (request !== null || this.closed) break;
        continue;
      }
      const id = lookup(bytes, found.nameStart, found.nameEnd);
      this.#lastId = id;
      const treatment = treatments[id]!;
      if (id === table.UNKNOWN && speaksHttp(bytes.toString('latin1', found.nameStart, Math.min(found.nameEnd, found.nameStart + 6)))) {
        this.destroy('SECURITY_ABORT');
        return null;
      }
      if (swift && treatment === table.SHARED && this.own.allowsRun) {
        const mark = backend.perOperation ? id : 0;
        if (count > 0 && mark !== tag) {
          this.#forward(bytes, from, at, count, tag);
          input.at = from = at;
          count = 0;
        }
        if (count === 0 && !this.#linked(plan)) {
          // No link to take it: waits (null), or is answered with an error of its own.
          request = this.#link === null && this.idleLink ? this.#make(plan, bytes, at, next, id, treatment) : null;
          if (request !== null) input.at = next;
          break;
        }
        if (!unseen) {
          request = this.#ask(plan, bytes, at, next, id);
          if (this.closed) return null;
          if (request !== null) {
            if (count > 0) this.#forward(bytes, from, at, count, tag);
            count = 0;
            input.at = next;
            break;
          }
        }
        tag = mark;
        count++;
        most--;
        backend.count(id, 1);
        at = next;
        continue;
      }
      if (count > 0) this.#forward(bytes, from, at, count, tag);
      count = 0;
      if (!this.own.mayStart(treatment)) {
        input.at = at;
        break;
      }
      request = this.#make(plan, bytes, at, next, id, treatment);
      input.at = next;
      break;
    }
    if (count > 0) {
      this.#forward(bytes, from, at, count, tag);
      input.at = at;
    }
    // It does not keep a buffer that was made for one large request.
    if (spare !== null) spare.bytes = EMPTY;
    return request;
  }

  /** Waits for the rest of a request, or begins to pass it on if it is a giant. */
  #incomplete(plan: Plan): Request | null {
    const input = this.#input;
    input.remember(this.engine.clock.now());
    const { limits } = this.engine;
    if (found.bulk < limits.streamFrom || found.elements === 0 || found.inline) return null;
    const id = lookup(input.bytes, found.nameStart, found.nameEnd);
    // Hooks that look at keys must see all of them, unless that would take too much memory.
    if (plan.request !== null && !isSingleKeyed(id) && input.needed < limits.assembly) return null;
    if (treatments[id] !== table.SHARED && !this.own.active) return null;
    // To whom it goes is known by all of its keys.
    if (this.#backend!.subordinates !== null && input.needed < limits.assembly) return null;
    return this.#beginStream(plan, id);
  }

  #beginStream(plan: Plan, id: number): Request {
    const input = this.#input;
    const request = this.#make(plan, input.bytes, input.at, input.end, id, table.STATEFUL);
    request.streamed = true;
    request.keep();
    this.#stream = new StreamedRequest(request, input.needed - (input.end - input.at), found.count - found.elements - 1);
    input.at = input.end;
    input.forget();
    return request;
  }

  /** Passes bytes of a giant request on. True when all of it was. */
  #feed(): boolean {
    const stream = this.#stream!;
    // Only where its beginning went: of a request that a plugin answered, nothing may reach the link.
    const link = this.own.streaming ? this.own.link : null;
    const input = this.#input;
    input.at = stream.feed(input.bytes, input.at, input.end, link, this.standing.limits.bulk);
    if (stream.broken) {
      this.destroy('PROTOCOL_ERROR');
      return false;
    }
    if (link !== null && link.congested) this.#waitForRoom(link);
    if (!stream.done) return false;
    this.#stream = null;
    input.since = 0;
    this.own.streaming = false;
    return true;
  }

  #broken(plan: Plan): Request | null {
    const text = found.problem;
    const stranger = text.startsWith('unauthenticated');
    const { standing } = this;
    if (stranger && standing.unasked === null && standing.learns()) return null;
    this.#input.at = this.#input.end;
    if (stranger && standing.unasked !== null) {
      // What is over the limit is not read from somebody who may be a stranger.
      const { code, message } = standing.unasked;
      return this.#refusal(plan, new ProxyError(code, message, { cause: standing.unasked, close: true }));
    }
    if (text === '') {
      this.destroy('SECURITY_ABORT');
      return null;
    }
    return this.#refusal(plan, new ProxyError('PROTOCOL_ERROR', `Protocol error: ${text}`, { close: true }));
  }

  /** An answer of ours in its place among the others; no hook sees it. */
  #refusal(plan: Plan, error: ProxyError): RedisRequest {
    const request = new RedisRequest(this, plan, this.engine.clock.now(), EMPTY, 0, 0, 0, 0, 0, table.UNKNOWN);
    request.skipped = -1;
    request.settle(error);
    return request;
  }

  /** Null: an empty line, or the connection is closed. */
  #inline(plan: Plan, line: Buffer): Request | null {
    const words = splitInline(line);
    if (words === null) {
      this.#input.at = this.#input.end;
      return this.#refusal(plan, new ProxyError(
        'PROTOCOL_ERROR', 'Protocol error: unbalanced quotes in request', { close: true }));
    }
    if (words.length === 0) return null;
    if (speaksHttp(words[0]!.toString('latin1', 0, 8))) {
      this.destroy('SECURITY_ABORT');
      return null;
    }
    const bytes = encodeRequest(words);
    const [name] = words;
    const id = lookup(name!, 0, name!.length);
    found.count = words.length;
    found.nameStart = bytes.indexOf(10, bytes.indexOf(10) + 1) + 1;
    found.nameEnd = found.nameStart + name!.length;
    const request = this.#make(plan, bytes, 0, bytes.length, id, treatments[id]!);
    request.kept = true;
    return request;
  }

  /** Asks the hooks about a command that any link takes. Null: it may go with others, unseen. */
  #ask(plan: Plan, bytes: Buffer, start: number, end: number, id: number): RedisRequest | null {
    // Taken while hooks look at it: what they do may make another session ask.
    const request = spare ?? new RedisRequest(this, plan, 0, EMPTY, 0, 0, 0, 0, 0, id);
    spare = null;
    request.reuse(
      this, plan, this.engine.clock.now(), bytes, start, end, found.count, found.nameStart, found.nameEnd, id);
    if (this.passes(request)) {
      spare = request;
      return null;
    }
    this.#backend!.count(id, 1);
    return request;
  }

  #make(plan: Plan, bytes: Buffer, start: number, end: number, id: number, treatment: number): RedisRequest {
    const request = makeRequest(this, plan, bytes, start, end, id, treatment);
    this.#backend!.count(request.id, 1);
    if (this.silence !== 'none') {
      request.silent = true;
      if (this.silence === 'next') this.silence = 'none';
    } else {
      // Replies of several servers come in any order: each must be able to wait for its turn.
      request.plain = request.treatment === table.SHARED && !this.#backend!.perOperation
        && this.#backend!.subordinates === null;
    }
    return request;
  }

  // Where requests go.

  /** Whether nothing is under way on any link. */
  get idleLink(): boolean { return this.owed === 0; }

  get identity(): Identity {
    return {
      database: this.database,
      resp: this.resp,
      credentials: this.credentials ?? this.nodes.linkSet?.credentials ?? null,
    };
  }

  /** The link that a run may take now, in `#link`. False: there is none, or it must wait. */
  #linked(_plan: Plan): boolean {
    if (this.own.active) {
      this.#link = this.own.link;
      return this.#link !== null;
    }
    const link = this.#link;
    if (link !== null && link.state !== 'closed' && !link.detached) return true;
    // A link that another client blocks, or that is being replaced: what it owes us comes first.
    if (this.owed > 0) return false;
    this.#link = this.nodes.sharedLink();
    this.standing.look();
    return this.#link !== null;
  }

  #forward(bytes: Buffer, from: number, to: number, count: number, tag: number): void {
    const link = this.#link!;
    if (this.#run.count > 0) this.flushRun();
    this.ran(count);
    link.send(this, bytes, from, to, count, tag);
    if (link.congested) this.#waitForRoom(link);
  }

  /** Sends a request that nobody wants to see. Neighbours in the buffer leave as one piece: see `flushRun`. */
  run(link: Link, request: RedisRequest): void {
    this.ran(1);
    const run = this.#run;
    if (run.count > 0) {
      if (run.extend(link, request)) return;
      this.flushRun();
    }
    run.begin(link, request);
    // Outside of the pump nobody would flush it.
    if (!this.pumping) this.flushRun();
  }

  /** Hands the requests of a run to its link. Before anything else of this session is sent, and when the pump rests. */
  override flushRun(): void {
    if (this.#run.count === 0) return;
    const link = this.#run.send(this);
    if (link.congested) this.#waitForRoom(link);
  }

  #waitForRoom(link: Link): void {
    if (this.#congested) return;
    this.#congested = true;
    link.whenRoom(() => {
      this.#congested = false;
      if (!this.closed) this.pump();
    });
  }

  /** The link failed before anything was written, and another one took over what waited. */
  moved(from: Link, to: Link): void {
    if (this.#link === from) {
      this.#link = to as RedisLink;
      this.nodes.node = to.node;
    }
  }

  /** Another backend (a reload): what the old one owes comes first; then nothing of it is used any more. */
  #rebind(backend: RedisBackend): boolean {
    if (this.#backend !== null && (!this.idle || this.own.active)) {
      if (!this.own.active) return false;
      // State on an own link outlives a reload: it ends with the transaction or the subscription.
      if (!this.own.releasable || !this.idle) return this.own.active;
      this.own.release();
    }
    this.#backend = backend;
    this.#choices = null;
    this.#link = null;
    this.nodes.node = null;
    this.standing.forget();
    return true;
  }

  /** Sends one request whose hooks are done. It is queued unless it may travel in a run. */
  dispatch(request: RedisRequest): void {
    if (this.#backend === null) this.#rebind(request.plan.backendOf(this) as RedisBackend);
    const refused = request.treatment === table.SHARED ? null : refusal(request, this.#backend!);
    if (refused !== null) {
      request.settle(refused);
      return;
    }
    if (request.streamed && this.#backend!.subordinates !== null) {
      const most = this.engine.limits.assembly;
      request.settle(new ProxyError('PROTOCOL_ERROR', `a route with subordinates takes commands of at most ${most} bytes`, { close: true }));
      return;
    }
    if (this.#backend!.dedicated && !this.own.active && request.treatment !== table.SESSION) {
      return this.#want(request);
    }
    if (this.own.active) return this.#dispatchOwn(request);
    switch (request.treatment) {
      case table.SHARED:
        return this.#dispatchShared(request);
      case table.SESSION:
        return this.#dispatchDoor(request);
      case table.TRANSACTION:
        // Without MULTI or WATCH before them they change nothing: the server says so on any link.
        if (changesNothing(request)) return this.#dispatchShared(request);
        return this.#want(request);
      default:
        return this.#want(request);
    }
  }

  #dispatchShared(request: RedisRequest): void {
    const { refusedBy } = this.standing;
    if (refusedBy !== null) return this.#turnAway(request, refusedBy);
    const other = this.#backend!.subordinates?.choose(request) ?? null;
    if (other !== null) return this.#dispatchTo(other, request);
    if (!this.#linked(request.plan)) {
      if (this.owed === 0 && this.#link === null) request.settle(this.nodes.nobody());
      else this.#want(request);
      return;
    }
    const link = this.#link!;
    request.sent(link.node.address);
    if (!request.queued) return this.run(link, request);
    this.flushRun();
    link.send(request, request.bytes, request.start, request.end, 1, 0);
    if (link.congested) this.#waitForRoom(link);
  }

  #turnAway(request: RedisRequest, by: LinkSet): void {
    const answer = this.standing.refusal(request, by);
    if (answer === null) this.#want(request);
    else request.settle(answer);
  }

  /** The same, when the server was last asked too long ago. */
  async #askAndTurnAway(request: RedisRequest): Promise<void> {
    const failed = this.credentials === null ? await this.nodes.learnAuth() : null;
    this.#link = null;
    this.standing.look();
    if (failed !== null) request.settle(failed);
    else this.#dispatchShared(request);
  }

  /** To the upstream of a subordinate route: its answer is waited for in its own place among the others. */
  #dispatchTo(backend: RedisBackend, request: RedisRequest): void {
    const choices = (this.#choices ??= new Map<RedisBackend, NodeChoice>());
    let choice = choices.get(backend);
    if (choice === undefined) choices.set(backend, choice = new NodeChoice(this, backend));
    const link = choice.sharedLink();
    if (link === null) {
      request.settle(choice.nobody());
      return;
    }
    request.sent(link.node.address);
    if (!request.queued) this.enqueue(request);
    this.flushRun();
    link.send(request, request.bytes, request.start, request.end, 1, 0);
    if (link.congested) this.#waitForRoom(link);
  }

  #dispatchDoor(request: RedisRequest): void {
    if (needsQuiet(request) || this.#mustAsk(request)) return this.#want(request);
    const answer = answerAtDoor(this, request);
    if (answer !== null) request.settle(answer);
    else this.#want(request);
  }

  /** Whether the node must say first if this client may say anything. Wrong arguments are told before, QUIT is for all. */
  #mustAsk(request: RedisRequest): boolean {
    return request.name === 'client' && this.standing.stranger && wrongArity(request) === null;
  }

  #dispatchOwn(request: RedisRequest): void {
    if (request.treatment === table.SESSION) {
      if (this.own.unsure(request)) return this.#want(request);
      if (!this.own.keeps(request)) {
        if (needsQuiet(request) || this.#mustAsk(request)) return this.#want(request);
        const answer = answerAtDoor(this, request);
        if (answer !== null) {
          request.settle(answer);
          return;
        }
      }
    }
    this.own.send(request);
    if (this.own.link?.congested === true) this.#waitForRoom(this.own.link);
  }

  /** Lets it wait until everything before it was answered. */
  #want(request: RedisRequest): void {
    this.flushRun();
    if (!request.queued) this.enqueue(request);
    request.keep();
    this.#wanted = request;
    this.progressed();
  }

  protected override progressed(): void {
    const request = this.#wanted;
    if (request !== null) {
      if (this.owed > 0 || (request.queued && this.queue.first !== request)) return;
      this.#wanted = null;
      if (!request.settled) this.hold(this.#serve(request));
      return;
    }
    if (this.own.active && this.idle && this.own.releasable) {
      this.own.release();
      this.#link = null;
    }
  }

  async #serve(request: RedisRequest): Promise<void> {
    if (request.treatment === table.SESSION) {
      if (this.own.active && this.own.keeps(request)) return this.own.send(request);
      const answer = needsQuiet(request) ? await introduce(this, request) : await this.#admit(request);
      this.#link = null;
      this.standing.look();
      request.settle(answer);
      return;
    }
    if ((request.treatment === table.SHARED || changesNothing(request)) && !this.#backend!.dedicated) {
      if (this.standing.refusedBy !== null) await this.#askAndTurnAway(request);
      else this.#dispatchShared(request);
      return;
    }
    await this.own.acquire(request, this.#backend!.dedicated);
  }

  /** A command about the client itself, of a client of whom it is not known whether it may say anything. */
  async #admit(request: RedisRequest): Promise<RedisReply | ProxyError> {
    const refused = await this.standing.admission();
    if (refused === null) return answerAtDoor(this, request)!;
    // Who switches answers on again waits for this one; hidden, it would wait for ever.
    if (request.command.name === 'client|reply' && isWord(request.argument(2), 'on')) request.silent = false;
    return refused;
  }

  // Answers out.

  protected override write(request: Request): void {
    if (isHidden(request as RedisRequest)) return;
    const { outcome } = request;
    if (outcome instanceof ProxyError) {
      const line = errorLine(errorText(outcome));
      this.connection.outbox.append(line, 0, line.length);
    } else if (outcome !== null && (outcome as RedisReply).raw.length > 0) {
      const { raw } = outcome as RedisReply;
      this.connection.outbox.append(raw, 0, raw.length);
    }
  }

  protected override relayed(request: Request, bytes: Buffer, start: number, end: number): void {
    if (!isHidden(request as RedisRequest)) super.relayed(request, bytes, start, end);
  }

  protected override writeError(error: ProxyError, count: number): void {
    const line = errorLine(errorText(error));
    for (let i = 0; i < count; i++) this.connection.outbox.append(line, 0, line.length);
  }

  /** A message that answers no request, from the own link. */
  pushed(bytes: Buffer, start: number, end: number, complete: boolean): void {
    if (this.closed) return;
    this.passAside(bytes, start, end, complete);
    // The server has limits of its own for a subscriber that does not keep up, and applies them when we wait.
    if (this.outbox.pending > this.engine.limits.unsentPause) this.own.link?.pauseFor(this.outbox);
  }

  protected override observe(request: Request): void {
    const { command, outcome, startedAt, endedAt } = request as RedisRequest;
    this.#backend?.observe(command.id, endedAt - startedAt, 1);
    if (outcome !== null && (outcome instanceof ProxyError || outcome.isError)) this.#backend?.erred(command.id, 1);
    if (this.quitting && command.name === 'quit' && outcome !== null) this.end('CLIENT_QUIT');
  }

  protected override observeRun(tag: number, count: number, since: number): void {
    if (tag > 0) this.#backend?.observe(tag, this.engine.clock.now() - since, count);
  }

  erred(tag: number): void {
    if (tag > 0) this.#backend?.erred(tag, 1);
  }

  protected override runFailed(tag: number, count: number): void {
    if (tag === 0) return;
    this.#backend?.answered(tag, count);
    this.#backend?.erred(tag, count);
  }

  protected override get waiting(): boolean { return this.own.waiting; }
  protected override get inLine(): boolean { return this.own.inLine; }
  override get engaged(): boolean { return this.own.waiting || this.own.inTransaction || this.own.watching; }

  protected override dispose(): void {
    this.own.drop();
    this.#wanted = null;
    this.#stream = null;
    this.#input.drop();
  }
}

/** EXEC, DISCARD and UNWATCH on a connection that has no transaction. */
function changesNothing({ treatment, name }: RedisRequest): boolean {
  return treatment === table.TRANSACTION && name !== 'multi' && name !== 'watch';
}

/** CLIENT REPLY OFF and SKIP do not concern push messages, and confirmations of subscriptions are such. */
function isHidden({ silent, head, treatment }: RedisRequest): boolean {
  return silent && !(treatment === table.SUBSCRIPTION && (head[0] === 0x3e || head[0] === 0x2a));
}

/** A browser, or a request forged in one: what follows could be commands in its body. Redis closes without a word. */
function speaksHttp(name: string): boolean {
  return /^(post|host:)$/i.test(name);
}
