// A node's health as `checks` of an upstream asks for it: probes, and what clients' traffic tells. It belongs to the
// node, so it survives reloads. Workers share what they find: see `CheckExchange`.
import { ProxyError } from '../errors.ts';
import { CheckState, type CheckSnapshot } from './check-state.ts';
import type { CheckConf } from './check-conf.ts';
import type { HealthSource } from './health.ts';
import { ProbeFailure, type FailureKind } from './probe.ts';
import type { Schedule } from './schedule.ts';

/** What other workers are told, and tell. */
export interface CheckNews {
  /** Null: a probe begins. */
  readonly found: (CheckSnapshot & { readonly checkedAt: number | null }) | null;
}

export type ProbeResult = 'success' | 'neither' | FailureKind;

export interface CheckOptions {
  readonly conf: CheckConf;
  /** Rejects when the node is not well. */
  readonly probe: (signal: AbortSignal) => Promise<void | 'neither'>;
  /** Waits until a probe may run; the function given must be called when it ended. */
  readonly enter: (run: (leave: () => void) => void) => void;
  readonly schedule: Schedule;
  /** 0 ≤ random() < 1 */
  readonly random: () => number;
  /** ms that others of this process have the right of way; 0: none. */
  readonly slack: number;
  readonly tell: (news: CheckNews) => void;
  /** A probe ended. */
  readonly counted: (result: ProbeResult) => void;
  /** Unix ms. */
  readonly now: () => number;
}

export interface CheckStatusNow extends CheckSnapshot {
  /** Unix ms; null: not yet. */
  readonly checkedAt: number | null;
  readonly nextAt: number | null;
}

/** An error is one line of a status page. */
const longestError = 300;

export class Check implements HealthSource {
  readonly #options: CheckOptions;
  readonly #state = new CheckState();
  #report: (up: boolean, reason: string) => void = () => {};
  #cancel: () => void = () => {};
  #running: AbortController | null = null;
  #checkedAt: number | null = null;
  #nextAt: number | null = null;
  #queued = false;
  #closed = false;

  constructor(options: CheckOptions) {
    this.#options = options;
  }

  get status(): CheckStatusNow {
    return { ...this.#state.snapshot, checkedAt: this.#checkedAt, nextAt: this.#nextAt };
  }

  start(report: (up: boolean, reason: string) => void): void {
    this.#report = report;
    this.#wait(this.#options.slack);
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#running?.abort();
  }

  /** A client's connection was made. */
  succeeded(): void {
    const { passive } = this.#options.conf;
    if (passive !== null && this.#state.succeeded(passive.successes)) this.#found();
  }

  /** A client's connection failed, or a request was not answered in time. */
  failed(cause: unknown): void {
    this.observed(kindOf(cause), cause);
  }

  /** A client was answered as only an unwell node answers. */
  observed(kind: FailureKind, cause: unknown): void {
    const { passive } = this.#options.conf;
    if (passive !== null && this.#state.failed(kind, passive.limits[kind], textOf(cause))) this.#found();
  }

  /** From another worker of this process. */
  heard({ found }: CheckNews): void {
    const { conf, slack } = this.#options;
    if (found === null) {
      // It has the right of way, and answers within its timeout unless it ended.
      if (this.#running === null) this.#wait(conf.timeout + slack + 100);
      return;
    }
    this.#state.adopt(found);
    if (found.checkedAt !== null) {
      this.#checkedAt = found.checkedAt;
      if (this.#running === null) this.#waitInterval();
    }
    this.#judge();
  }

  #wait(ms: number): void {
    this.#cancel();
    this.#nextAt = this.#options.now() + ms;
    this.#cancel = this.#options.schedule(ms, () => this.#enter());
  }

  #enter(): void {
    if (this.#queued) return;
    this.#queued = true;
    this.#options.enter((leave) => {
      this.#queued = false;
      void this.#run().finally(leave);
    });
  }

  #waitInterval(): void {
    const { conf, random, slack } = this.#options;
    const { interval } = this.#state.up ? conf.healthy : conf.unhealthy;
    // Up to a tenth later, so that the probes of many nodes do not come in step.
    this.#wait(interval * (1 + random() / 10) + slack);
  }

  async #run(): Promise<void> {
    if (this.#closed || this.#running !== null) return;
    const { conf, probe, tell, schedule, counted, now } = this.#options;
    const attempt = new AbortController();
    this.#running = attempt;
    tell({ found: null });
    const late = schedule(conf.timeout, () => attempt.abort());
    let kind: ProbeResult = 'success';
    let text = '';
    try {
      kind = await untilAborted(probe(attempt.signal), attempt.signal) ?? 'success';
    } catch (cause) {
      kind = attempt.signal.aborted ? 'timeout' : kindOf(cause);
      text = attempt.signal.aborted ? `no answer in ${conf.timeout / 1000} s` : textOf(cause);
    }
    late();
    this.#running = null;
    if (this.#closed) return;
    this.#checkedAt = now();
    counted(kind);
    if (kind === 'success') this.#state.succeeded(conf.healthy.successes);
    else if (kind !== 'neither') this.#state.failed(kind, conf.unhealthy.limits[kind], text);
    this.#waitInterval();
    this.#found();
  }

  #found(): void {
    this.#options.tell({ found: { ...this.#state.snapshot, checkedAt: this.#checkedAt } });
    this.#judge();
  }

  #judge(): void {
    const { lastError } = this.#state.snapshot;
    this.#report(this.#state.up, this.#state.up ? 'the checks succeeded' : lastError ?? 'the checks failed');
  }
}

/** A probe that does not listen to its signal must not hold its check. */
function untilAborted<T>(probe: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    probe.then(resolve, reject);
    signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
  });
}

function kindOf(cause: unknown): FailureKind {
  if (cause instanceof ProbeFailure) return cause.kind;
  if (!(cause instanceof ProxyError)) return 'tcp';
  if (cause.code === 'CONNECT_TIMEOUT' || cause.code === 'UPSTREAM_TIMEOUT') return 'timeout';
  return cause.code === 'UPSTREAM_PROTOCOL' ? 'protocol' : 'tcp';
}

function textOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause).slice(0, longestError);
  const text = cause instanceof AggregateError && cause.message === '' ? cause.errors.map(textOf).join(', ') : cause.message;
  const why = cause instanceof ProxyError && cause.cause instanceof Error ? `: ${textOf(cause.cause)}` : '';
  return (text + why).slice(0, longestError);
}
