import type { Engine } from '../engine.ts';
import { ProxyError } from '../errors.ts';
import type { EntryRing } from './entry-ring.ts';
import type { Receiver } from './receiver.ts';

/**
 * Answers nobody: takes the place of receivers that were answered already, on one link. What comes for them is dropped
 * there, and cannot reach anybody else.
 */
export class Spent implements Receiver {
  endsWhole = true;
  readonly outbox = null;
  /** Requests whose places it has. */
  slots = 0;
  /**
   * The first timeout since a request was answered in time; 0: none. A server that left one answer out seems to be
   * late for ever: each answer falls into the place of the request before it.
   */
  since = 0;
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  receive(_bytes: Buffer, _start: number, _end: number, complete: number): void {
    this.slots -= complete;
    if (complete > 0) this.#engine.metrics.add(this.#engine.lateReplies, complete);
  }

  failed(): void {}

  /** Answers requests that waited too long. Their replies keep their places in the ring and are dropped there. */
  expire(ring: EntryRing, now: number, timeout: number, started: boolean): void {
    for (let i = 0; i < ring.length; i++) {
      if (now - ring.since(i) < timeout) break;
      if (ring.owner(i) === this) continue;
      if (this.since === 0) this.since = now;
      this.#engine.metrics.add(this.#engine.timeouts, ring.count(i));
      this.giveUp(ring, i, new ProxyError('UPSTREAM_TIMEOUT'), i === 0 && started);
    }
  }

  /** Answers the entry at `index` with an error, and takes its place. `started`: a part of its reply left already. */
  giveUp(ring: EntryRing, index: number, error: ProxyError, started: boolean): void {
    const owner = ring.owner(index);
    const count = ring.count(index);
    const tag = ring.tag(index);
    ring.replace(index, this);
    this.slots += count;
    owner.failed(error, count, started, tag);
  }

  /** Whether too many replies are late, or one for too long: the link is not worth waiting for. */
  hopeless(now: number, timeout: number): boolean {
    return this.slots > this.#engine.limits.spentSlots || (this.since > 0 && this.slots > 0 && now - this.since > timeout);
  }
}
