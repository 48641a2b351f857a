// What one worker's data plane shares: clock, metrics, limits, and the one timer that looks after deadlines.
import { totalmem } from 'node:os';
import type { Resource } from './config/resource.ts';
import type { Logger } from './log.ts';
import type { Limits } from './limits.ts';
import type { Metrics } from './metrics.ts';
import { SharedOccupancy } from './occupancy.ts';
import type { OccupancyTable, WindowTable } from './plugin.ts';
import type { Session } from './session.ts';
import { residentMemory } from './resident-memory.ts';
import { StreamMetrics } from './stream-metrics.ts';
import { systemClock, type Clock } from './clock.ts';
import type { Tails } from './tail.ts';
import { TurnClock } from './turn-clock.ts';

/** Whatever has deadlines; asked every `SWEEP` ms, so that no request needs a timer of its own. */
export interface Swept {
  sweep(now: number): void;
}

const SWEEP = 50;
/** Parts of the memory that the process may use. */
const REFUSE_AT = 0.8;
const CLOSE_AT = 0.9;

export interface EngineOptions {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limits: Limits;
  readonly windows: WindowTable;
  /** Absent: one of its own. */
  readonly occupancy?: OccupancyTable;
  readonly clock?: Clock;
  /** Numbers of sessions, so that those of several workers differ: the first, and the distance to the next. */
  readonly firstSession?: number;
  readonly sessionStep?: number;
}

export class Engine {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limits: Limits;
  readonly windows: WindowTable;
  readonly occupancy: OccupancyTable;
  readonly clock: TurnClock;
  readonly sessions = new Set<Session>();
  /** By user name. */
  consumers: ReadonlyMap<string, Resource> = new Map();
  /** Who watches requests; null: nobody. */
  tails: Tails | null = null;
  /** Metric indexes: requests that a node did not answer in time, and the answers that came for them later. */
  readonly timeouts: number;
  readonly lateReplies: number;
  readonly streams: StreamMetrics;
  readonly #swept = new Set<Swept>();
  readonly #timer: NodeJS.Timeout;
  readonly #closeReasons = new Map<string, number>();
  /** By node. */
  readonly #linkReasons = new Map<string, Map<string, number>>();
  readonly #memory: number;
  /** Memory is nearly used up: no new clients. */
  crowded = false;
  #nextSession: number;
  readonly #sessionStep: number;
  #turns = 0;

  constructor(options: EngineOptions) {
    this.log = options.log;
    this.metrics = options.metrics;
    this.limits = options.limits;
    this.windows = options.windows;
    this.occupancy = options.occupancy ?? new SharedOccupancy(SharedOccupancy.allocate(1, 1024), 0);
    this.clock = new TurnClock(options.clock ?? systemClock);
    // A container's limit, where there is one.
    this.#memory = options.limits.memory > 0 ? options.limits.memory : Math.min(totalmem(), process.constrainedMemory() || Infinity);
    this.#nextSession = options.firstSession ?? 1;
    this.#sessionStep = options.sessionStep ?? 1;
    this.timeouts = this.metrics.counter('millrace_upstream_timeouts_total', 'Requests that a node did not answer in time.');
    this.lateReplies = this.metrics.counter(
      'millrace_upstream_late_replies_total', 'Replies that came after their request had timed out, and were dropped.');
    this.streams = new StreamMetrics(this.metrics);
    this.#timer = setInterval(() => this.#sweep(), SWEEP);
    this.#timer.unref();
  }

  nextSessionId(): number {
    const id = this.#nextSession;
    this.#nextSession += this.#sessionStep;
    return id;
  }

  watch(swept: Swept): void {
    this.#swept.add(swept);
  }

  unwatch(swept: Swept): void {
    this.#swept.delete(swept);
  }

  get watched(): Iterable<Swept> {
    return this.#swept;
  }

  /** Counts and logs the end of a connection. */
  connectionEnded(reason: string, route: string, remote: string): void {
    let index = this.#closeReasons.get(reason);
    if (index === undefined) {
      index = this.metrics.counter('millrace_connections_closed_total', 'Connections ended, by reason.', { reason });
      this.#closeReasons.set(reason, index);
    }
    this.metrics.add(index, 1);
    this.log.debug({ code: reason, route, remote_addr: remote }, 'connection ended');
  }

  /** Counts and logs the end of an upstream connection. */
  linkEnded(reason: string, node: string, cause: unknown): void {
    let reasons = this.#linkReasons.get(node);
    if (reasons === undefined) this.#linkReasons.set(node, reasons = new Map());
    let index = reasons.get(reason);
    if (index === undefined) {
      index = this.metrics.counter('millrace_links_closed_total', 'Upstream connections ended, by reason.', { reason, node });
      reasons.set(reason, index);
    }
    this.metrics.add(index, 1);
    this.log[reason === 'UPSTREAM_PROTOCOL' ? 'warn' : 'debug']({ code: reason, node, err: cause }, 'upstream connection ended');
  }

  /** Takes away the series of nodes that are gone. */
  forgetNodes(gone: (node: string) => boolean): void {
    this.streams.forgetNodes((node) => node !== '' && gone(node));
    for (const [node, reasons] of this.#linkReasons) {
      if (!gone(node)) continue;
      for (const index of reasons.values()) this.metrics.release(index);
      this.#linkReasons.delete(node);
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sweep(): void {
    const now = this.clock.now();
    for (const swept of this.#swept) swept.sweep(now);
    // Sessions have coarse deadlines only: looking at each once a second keeps ten thousand idle ones cheap.
    if (++this.#turns % (1000 / SWEEP) === 0) {
      for (const session of this.sessions) session.sweep(now);
      this.#watchMemory();
    }
  }

  /**
   * Closes the clients that hold the most bytes: when all together hold too many, and when the process is nearly out
   * of memory, for whatever reason. Before that, new clients are refused.
   */
  #watchMemory(): void {
    const used = residentMemory() / this.#memory;
    this.crowded = used > REFUSE_AT;
    let total = 0;
    for (const session of this.sessions) total += session.held;
    const { bufferedBytes } = this.limits;
    const most = used > CLOSE_AT ? Math.min(bufferedBytes, total / 2) : bufferedBytes;
    if (total <= most) return;
    const byHeld = [...this.sessions].sort((a, b) => b.held - a.held);
    for (const session of byHeld) {
      if (total <= most * 0.8) break;
      total -= session.held;
      session.destroy('MEMORY_LIMIT');
    }
  }
}
