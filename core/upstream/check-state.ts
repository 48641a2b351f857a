// What a node's checks have found so far.
//
//   healthy ──failure──► mostly_healthy ──one kind at its limit──► unhealthy ──success──► mostly_unhealthy
//      ▲                       │                                       ▲                      │      │
//      └─────successes─────────┘                                       └──────failure─────────┘      │
//      └────────────────────────────────────────successes────────────────────────────────────────────┘
//
// Failures count until a success, successes until a failure.
import type { FailureKind } from './probe.ts';

export type CheckStatus = 'healthy' | 'mostly_healthy' | 'mostly_unhealthy' | 'unhealthy';

export interface CheckCounter {
  readonly success: number;
  readonly http_failure: number;
  readonly tcp_failure: number;
  readonly timeout_failure: number;
  readonly protocol_failure: number;
}

/** Plain data: travels between threads. */
export interface CheckSnapshot {
  readonly status: CheckStatus;
  readonly counter: CheckCounter;
  readonly lastError: string | null;
}

const none: CheckCounter = { success: 0, http_failure: 0, tcp_failure: 0, timeout_failure: 0, protocol_failure: 0 };

export class CheckState {
  #snapshot: CheckSnapshot = { status: 'healthy', counter: none, lastError: null };

  get snapshot(): CheckSnapshot {
    return this.#snapshot;
  }

  get up(): boolean {
    const { status } = this.#snapshot;
    return status === 'healthy' || status === 'mostly_healthy';
  }

  /** What another worker found. */
  adopt(snapshot: CheckSnapshot): void {
    this.#snapshot = snapshot;
  }

  /** `limit`: so many make it wholly well; 0: it does not count. False: nothing changed. */
  succeeded(limit: number): boolean {
    const { status, counter, lastError } = this.#snapshot;
    if (limit === 0 || status === 'healthy') return false;
    const success = counter.success + 1;
    const next = this.up ? 'mostly_healthy' : 'mostly_unhealthy';
    this.#snapshot = { status: success >= limit ? 'healthy' : next, counter: { ...none, success }, lastError };
    return true;
  }

  /** Likewise for a failure. */
  failed(kind: FailureKind, limit: number, text: string): boolean {
    if (limit === 0) return false;
    const { status, counter } = this.#snapshot;
    if (status === 'unhealthy') {
      this.#snapshot = { status, counter, lastError: text };
      return false;
    }
    const failures = counter[`${kind}_failure`] + 1;
    const next = this.up ? 'mostly_healthy' : 'unhealthy';
    this.#snapshot = {
      status: failures >= limit ? 'unhealthy' : next,
      counter: { ...counter, success: 0, [`${kind}_failure`]: failures },
      lastError: text,
    };
    return true;
  }
}
