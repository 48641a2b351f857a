// What became of the things that a place sends elsewhere: counted always, losses said at most once a minute.
import type { Counter, PluginContext } from '../../core/plugin.ts';

const minute = 60_000;

export interface TallyOptions {
  readonly context: PluginContext;
  /** Where they go, as the log and the status call it. */
  readonly sink: string;
  /** What they are, in the plural. */
  readonly things: string;
  readonly sentTotal: Counter;
  readonly droppedTotal: Counter;
}

export class Tally {
  readonly #options: TallyOptions;
  sent = 0;
  dropped = 0;
  #unsaid = 0;
  #saidAt = -Infinity;

  constructor(options: TallyOptions) {
    this.#options = options;
  }

  took(count: number): void {
    this.sent += count;
    this.#options.sentTotal.add(count);
  }

  lost(count: number, cause: unknown): void {
    this.dropped += count;
    this.#unsaid += count;
    this.#options.droppedTotal.add(count);
    const now = performance.now();
    if (now - this.#saidAt < minute) return;
    this.#saidAt = now;
    const { context: { log, plugin, routeId: route }, sink, things } = this.#options;
    const reason = cause instanceof Error ? cause.message : String(cause);
    log.warn({ code: 'LOG_DROPPED', route, sink, count: this.#unsaid }, `${plugin}: ${things} were dropped: ${reason}`);
    this.#unsaid = 0;
  }
}
