// One request of a client. It is its own continuation: whoever answers calls `settle`, its owner is told.
import type { ProxyError } from './errors.ts';
import type { Outbox } from './outbox.ts';
import type { Plan } from './plan.ts';
import type { Session } from './session.ts';
import type { Link } from './upstream/link.ts';
import type { Receiver } from './upstream/receiver.ts';

/** An answer that came from a node or from a hook; what it contains is the protocol's business. */
export interface Reply {
  readonly bytes: number;
  readonly isError: boolean;
}

/** Who waits for a request: its session, the parent of a split command, a mirror that drops the answer. */
export interface Owner {
  deliver(request: Request): void;
  /** Whether bytes of the answer may leave now: nothing older of this owner is still owed. */
  accepts(request: Request): boolean;
  /** Bytes of an answer on their way, before it is complete. Only after `accepts` said true. */
  relay(request: Request, bytes: Buffer, start: number, end: number): void;
}

export abstract class Request<R extends Reply = Reply> implements Receiver {
  readonly session: Session;
  readonly plan: Plan;
  owner: Owner;
  /** Monotonic milliseconds. */
  readonly startedAt: number;
  endedAt = 0;
  outcome: R | ProxyError | null = null;
  /** `host:port` of the node that it was sent to; empty when it never was. */
  upstreamAddress = '';
  /** Monotonic milliseconds: when it was handed to a link. 0: never, or nobody watches it. */
  sentAt = 0;
  bytesIn = 0;
  bytesOut = 0;
  /** How many replies of its session must leave before this one. Kept by the session. */
  after = 0;
  /** Bytes of the answer have left already: it cannot be replaced or taken back. */
  relayed = false;
  /** Its request hooks ran, or are running. */
  begun = false;
  /** A response or log hook wants it. */
  observed = false;
  /** Somebody watches it. */
  tailed = false;
  /** They were asked. */
  decided = false;
  /** It has an entry of its own in its session's queue. */
  queued = false;
  /** Its reply needs no attention but that of hooks: it may travel in a run. Set by the door. */
  plain = false;
  /** Set by the link before it hands over bytes. */
  endsWhole = true;
  /** Bits of the places whose response and log hooks do not want it. */
  skipped = 0;

  constructor(session: Session, plan: Plan, startedAt: number) {
    this.session = session;
    this.plan = plan;
    this.owner = session;
    this.startedAt = startedAt;
  }

  /** Makes one that passed without a trace (see `Session.passes`) another request. */
  protected again(session: Session, plan: Plan, startedAt: number): void {
    // Fixed for everybody else.
    (this as { session: Session }).session = session;
    (this as { plan: Plan }).plan = plan;
    (this as { startedAt: number }).startedAt = startedAt;
    this.owner = session;
    this.begun = false;
    this.decided = false;
    this.skipped = 0;
  }

  /** Operation, lower case. Rules, limits and metrics are keyed by it. */
  abstract get name(): string;
  abstract get keyCount(): number;
  /** A view that is valid while the request is being handled; copy it to keep it. */
  abstract key(index: number): Buffer;
  /** Whether `test` holds for one of the keys, which it sees where they lie. */
  someKey(test: (bytes: Buffer, start: number, end: number) => boolean): boolean {
    for (let i = 0; i < this.keyCount; i++) {
      const key = this.key(i);
      if (test(key, 0, key.length)) return true;
    }
    return false;
  }
  /** What only this protocol knows of a request, e.g. `redis_cmd_line`. */
  variable(_name: string): string | undefined {
    return undefined;
  }

  /** Makes it independent of the read buffer it was framed in. Called before it outlives that read. */
  abstract keep(): void;
  /** Bytes of the answer that cannot leave yet. */
  protected abstract hold(bytes: Buffer, start: number, end: number): void;
  /** The complete answer, of what `hold` got, or of what was relayed. */
  protected abstract reply(): R;
  /** Looks at the first bytes of an answer that is relayed. */
  protected abstract peek(bytes: Buffer, start: number): void;

  /** Bytes of the whole request; of one that is still coming in, as many as it announced so far. */
  get size(): number {
    return this.bytesIn;
  }

  /** Where the answer's bytes go as they come; null while they are held. */
  get outbox(): Outbox | null {
    return this.relayed && !this.session.closed ? this.session.connection.outbox : null;
  }

  /** It goes to this node now; the last one counts. */
  sent(address: string): void {
    this.upstreamAddress = address;
    if (this.observed) this.sentAt = this.session.engine.clock.now();
  }

  get settled(): boolean {
    return this.outcome !== null;
  }

  /** The first answer wins; later ones are dropped. */
  settle(outcome: R | ProxyError): void {
    if (this.outcome !== null) return;
    this.outcome = outcome;
    this.owner.deliver(this);
  }

  /** Bytes of the answer from a link. A settled request (timed out, cancelled) lets them fall. */
  receive(bytes: Buffer, start: number, end: number, complete: number): void {
    if (this.outcome !== null) return;
    this.bytesOut += end - start;
    if (this.relayed || (this.plan.response === null && this.owner.accepts(this))) {
      if (!this.relayed) {
        this.relayed = true;
        this.peek(bytes, start);
      }
      this.owner.relay(this, bytes, start, end);
    } else {
      this.hold(bytes, start, end);
    }
    if (complete > 0) this.settle(this.reply());
  }

  failed(error: ProxyError, _count: number, _started: boolean): void {
    this.settle(error);
  }

  moved(from: Link, to: Link): void {
    this.upstreamAddress = to.node.address;
    const session: Receiver = this.session;
    session.moved?.(from, to);
  }
}
