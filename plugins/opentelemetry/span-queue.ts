// Spans that wait to be sent: bounded, one group after the other. What does not fit, or cannot be sent, is dropped.
import type { SpanFacts } from './span-facts.ts';

export interface SpanQueueOptions {
  readonly batchSize: number;
  /** Milliseconds that a span waits at most for others. */
  readonly delay: number;
  /** Spans, those under way included. */
  readonly maxPending: number;
  readonly send: (spans: readonly SpanFacts[]) => Promise<void>;
  readonly onSent: (count: number) => void;
  readonly onDropped: (count: number, cause: unknown) => void;
}

// How long a place that goes may still try to get rid of what it has.
const closeTime = 5000;

export class SpanQueue {
  readonly #options: SpanQueueOptions;
  #waiting: SpanFacts[] = [];
  #underWay = 0;
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;
  readonly #gaveUp = Promise.withResolvers<never>();

  constructor(options: SpanQueueOptions) {
    this.#options = options;
    this.#gaveUp.promise.catch(() => {});
  }

  get pending(): number {
    return this.#waiting.length + this.#underWay;
  }

  push(span: SpanFacts): void {
    const { batchSize, delay, maxPending } = this.#options;
    if (this.pending >= maxPending) {
      this.#options.onDropped(1, 'too many spans wait');
      return;
    }
    this.#waiting.push(span);
    if (this.#waiting.length >= batchSize) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), delay).unref();
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#sending ??= this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    const { batchSize, send, onSent, onDropped } = this.#options;
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, batchSize);
      this.#underWay = group.length;
      try {
        await Promise.race([send(group), this.#gaveUp.promise]);
        onSent(group.length);
      } catch (cause) {
        onDropped(group.length, cause);
      }
      this.#underWay = 0;
    }
    this.#sending = null;
  }

  /** Resolves when everything is sent, or dropped after 5 s. */
  async close(): Promise<void> {
    this.#flush();
    const timer = setTimeout(() => this.#gaveUp.reject(new Error('closed before it could be sent')), closeTime);
    await this.#sending;
    clearTimeout(timer);
  }
}
