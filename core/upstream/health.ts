// Whether a node may be picked.
//
//            failed                     back-off over
//     up ───────────────► waiting ─────────────────────► probing
//      ▲                     ▲       probe failed: ×2       │
//      │                     └──────────────────────────────┤
//      └────────────────────────────────────────────────────┘ probe answered, or succeeded() at any time
//
// A probe takes the node back but leaves the back-off as long as it was: a server that accepts connections
// and then fails must not come and go every 20 ms. Only succeeded(), said by real traffic, makes it short
// again.
import { systemClock, type Clock } from '../clock.ts';
import { unrefTimer, type Schedule } from './schedule.ts';

/** Settles when the node was reached, rejects when it was not; gives up when the signal says so. */
export type Probe = (signal: AbortSignal) => Promise<void>;

/**
 * Another judge of a node, such as an active check: the node is available while no judge refuses it.
 * It calls `report` whenever its opinion changes (and may repeat it); before its first report it agrees.
 */
export interface HealthSource {
  start(report: (up: boolean, reason: string) => void): void;
  close(): void;
  /**
   * Where they are there, this judge is told what clients' connections met, and what follows is its decision alone: the
   * node is not left out at its first failure.
   */
  succeeded?(): void;
  failed?(cause: unknown): void;
  /** A reply that only an unwell server gives. */
  observed?(kind: 'protocol', cause: unknown): void;
}

export interface HealthOptions {
  readonly clock?: Clock;
  readonly schedule?: Schedule;
  /** 0 ≤ random() < 1 */
  readonly random?: () => number;
  /** Shortest time a node is left out, ms. */
  readonly minBackoff?: number;
  /** Longest time between two probes, ms. */
  readonly maxBackoff?: number;
  /** A probe that takes longer has failed, ms. */
  readonly probeTimeout?: number;
  readonly onChange?: (up: boolean, reason: string) => void;
  /** Every failure that counts, failed probes among them, before the change is told. */
  readonly onFailed?: (cause: unknown) => void;
}

/** A reason is one line of a log; a server's own words in it may be long. */
const maxReason = 300;

export class Health {
  readonly #options: HealthOptions;
  readonly #clock: Clock;
  readonly #schedule: Schedule;
  readonly #minBackoff: number;
  readonly #maxBackoff: number;
  readonly #refusals = new Map<HealthSource, string>();
  readonly #sources = new Set<HealthSource>();
  /** Who decides instead of this. */
  #decider: HealthSource | null = null;
  #state: 'up' | 'waiting' | 'probing' | 'closed' = 'up';
  #failure = '';
  #available = true;
  #downSince: number | null = null;
  #failures = 0;
  #probing: AbortController | null = null;
  #cancelTimer: () => void = nothing;

  /** How a node that was left out is tried. Whoever knows the node's protocol may set a better one. */
  probe: Probe;

  constructor(probe: Probe, options: HealthOptions = {}) {
    this.probe = probe;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#schedule = options.schedule ?? unrefTimer;
    this.#minBackoff = options.minBackoff ?? 20;
    this.#maxBackoff = options.maxBackoff ?? 2_000;
  }

  get available(): boolean {
    return this.#available;
  }

  /** Why the node is out; null when it is available. */
  get reason(): string | null {
    if (this.#available) return null;
    if (this.#state !== 'up') return this.#failure;
    return this.#refusals.values().next().value ?? this.#failure;
  }

  /** The clock's time at which the node went out; null when it is available. */
  get downSince(): number | null {
    return this.#downSince;
  }

  /**
   * Leaves the node out: a connect was refused or timed out, or its handshake failed. While it is out already
   * nothing more happens: ten links that fail together are one failure.
   */
  failed(cause: unknown): void {
    if (this.#decider !== null) return this.#decider.failed!(cause);
    if (this.#state !== 'up') return;
    this.#waitAfter(cause);
    this.#judge(this.#failure);
  }

  /** A connection was made and is usable: the next failure starts again with the shortest back-off. */
  succeeded(): void {
    if (this.#state === 'closed') return;
    if (this.#decider !== null) return this.#decider.succeeded?.();
    this.#failures = 0;
    if (this.#state !== 'up') this.#takeBack('connected');
  }

  /** A client got a reply that only an unwell server gives; without a judge that cares it says nothing. */
  observed(cause: unknown): void {
    this.#decider?.observed?.('protocol', cause);
  }

  /** Whether another judge decides alone. */
  get judged(): boolean {
    return this.#decider !== null;
  }

  /** Lets another judge have a say; the function returned ends that. */
  watch(source: HealthSource): () => void {
    this.#sources.add(source);
    if (source.failed !== undefined) this.#decider = source;
    source.start((up, reason) => {
      if (!this.#sources.has(source)) return;
      if (up) this.#refusals.delete(source);
      else this.#refusals.set(source, reason);
      this.#judge(reason);
    });
    return () => {
      if (!this.#sources.delete(source)) return;
      this.#refusals.delete(source);
      if (this.#decider === source) this.#decider = null;
      source.close();
      this.#judge('check removed');
    };
  }

  /** Ends timers, the probe under way and all judges. Nothing is told any more. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#stop();
    this.#state = 'closed';
    for (const source of this.#sources) source.close();
    this.#sources.clear();
    this.#decider = null;
    this.#refusals.clear();
  }

  #waitAfter(cause: unknown): void {
    this.#options.onFailed?.(cause);
    this.#failure = reasonOf(cause).slice(0, maxReason);
    this.#state = 'waiting';
    // From 20–40 ms up to 1–2 s: half fixed, half jitter, so that workers do not probe in step.
    const ceiling = Math.min(this.#maxBackoff, this.#minBackoff * 2 ** Math.min(this.#failures + 1, 30));
    this.#failures++;
    const jitter = (this.#options.random ?? Math.random)();
    this.#cancelTimer = this.#schedule((ceiling * (1 + jitter)) / 2, () => this.#startProbe());
  }

  #startProbe(): void {
    const attempt = new AbortController();
    this.#state = 'probing';
    this.#probing = attempt;
    const end = (then: () => void): void => {
      if (this.#probing !== attempt) return;
      this.#stop();
      then();
    };
    const failed = (cause: unknown): void => end(() => this.#waitAfter(cause));
    const limit = this.#options.probeTimeout ?? 1_000;
    const late = new Error(`the probe got no answer in ${limit} ms`);
    this.#cancelTimer = this.#schedule(limit, () => failed(late));
    this.#run(attempt.signal).then(() => end(() => this.#takeBack('the probe was answered')), failed);
  }

  async #run(signal: AbortSignal): Promise<void> {
    await this.probe(signal);
  }

  #takeBack(reason: string): void {
    this.#stop();
    this.#state = 'up';
    this.#judge(reason);
  }

  #stop(): void {
    this.#cancelTimer();
    this.#cancelTimer = nothing;
    const attempt = this.#probing;
    this.#probing = null;
    attempt?.abort();
  }

  #judge(reason: string): void {
    if (this.#state === 'closed') return;
    const available = this.#state === 'up' && this.#refusals.size === 0;
    if (available === this.#available) return;
    this.#available = available;
    this.#downSince = available ? null : this.#clock.now();
    this.#options.onChange?.(available, reason);
  }
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  // A host with several addresses fails with an AggregateError, whose own message is empty.
  if (cause instanceof AggregateError && cause.message === '') return cause.errors.map(reasonOf).join(', ');
  return cause.cause instanceof Error ? `${cause.message}: ${reasonOf(cause.cause)}` : cause.message;
}

function nothing(): void {}
