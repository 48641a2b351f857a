// Collects records and hands them on in groups, one group at a time. Bounded: what does not fit is dropped and
// counted, requests never wait.

export interface BatchOptions {
  /** Records per group; 1: each at once. */
  readonly maxSize: number;
  /** Milliseconds without a new record, and since the oldest one, after which a group is sent as it is. */
  readonly inactiveTimeout: number;
  readonly bufferDuration: number;
  readonly maxRetryCount: number;
  readonly retryDelay: number;
  /** Records, and characters of them, that may wait, those under way included. */
  readonly maxPending: number;
  readonly maxPendingSize: number;
  /** Resolves to how many of them could not be sent and never can; rejects when it is worth trying again. */
  readonly send: (records: readonly string[]) => Promise<number>;
  readonly onSent: (count: number) => void;
  readonly onDropped: (count: number, cause: unknown) => void;
}

interface Group {
  readonly records: readonly string[];
  readonly size: number;
}

// How long a place that goes may still try to get rid of what it has.
const closeTime = 5000;

export class Batch {
  readonly #options: BatchOptions;
  #records: string[] = [];
  #size = 0;
  #firstAt = 0;
  #lastAt = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #groups: Group[] = [];
  #sending: Promise<void> | null = null;
  #closing = false;
  #giveUp: (() => void) | null = null;
  /** Records and characters that are neither sent nor dropped. */
  pending = 0;
  #pendingSize = 0;

  constructor(options: BatchOptions) {
    this.#options = options;
  }

  push(record: string): void {
    const { maxPending, maxPendingSize, maxSize } = this.#options;
    if (this.pending >= maxPending || this.#pendingSize + record.length > maxPendingSize) {
      this.#options.onDropped(1, 'too many records wait');
      return;
    }
    this.pending++;
    this.#pendingSize += record.length;
    this.#size += record.length;
    this.#lastAt = performance.now();
    if (this.#records.push(record) === 1) this.#firstAt = this.#lastAt;
    if (this.#records.length >= maxSize) this.flush();
    else if (this.#timer === null) this.#arm(this.#options.inactiveTimeout);
  }

  /** Sends what has come so far. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#records.length === 0) return;
    this.#groups.push({ records: this.#records, size: this.#size });
    this.#records = [];
    this.#size = 0;
    this.#sending ??= this.#sendAll();
  }

  /** Resolves when everything is sent, or dropped after 5 s. */
  async close(): Promise<void> {
    this.flush();
    this.#closing = true;
    const timer = setTimeout(() => this.#giveUp?.(), closeTime);
    await this.#sending;
    clearTimeout(timer);
  }

  // One timer for both limits, set anew when it fires and not at every record.
  #arm(milliseconds: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const { inactiveTimeout, bufferDuration } = this.#options;
      const now = performance.now();
      const left = Math.min(this.#lastAt + inactiveTimeout - now, this.#firstAt + bufferDuration - now);
      if (left <= 1) this.flush();
      else this.#arm(left);
    }, Math.min(milliseconds, this.#options.bufferDuration));
    this.#timer.unref();
  }

  async #sendAll(): Promise<void> {
    for (let group = this.#groups[0]; group !== undefined; group = this.#groups[0]) {
      await this.#sendOne(group);
      this.#groups.shift();
      this.pending -= group.records.length;
      this.#pendingSize -= group.size;
    }
    this.#sending = null;
  }

  async #sendOne({ records }: Group): Promise<void> {
    const { send, onSent, onDropped, maxRetryCount, retryDelay } = this.#options;
    const gaveUp = new Promise<never>((_, reject) => {
      this.#giveUp = () => reject(new Error('closed before it could be sent'));
    });
    gaveUp.catch(() => {});
    for (let retries = 0; ; retries++) {
      try {
        const lost = await Promise.race([send(records), gaveUp]);
        if (lost > 0) onDropped(lost, 'records are too long for the sink');
        if (lost < records.length) onSent(records.length - lost);
        return;
      } catch (cause) {
        if (retries >= maxRetryCount || this.#closing) {
          onDropped(records.length, cause);
          return;
        }
      }
      await Promise.race([pause(retryDelay), gaveUp]).catch(() => {});
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}
