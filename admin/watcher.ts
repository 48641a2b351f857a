// One who watches over server-sent events. What he gets is bounded, and nothing is written after the end: that would be
// an error that nobody listens to.
import type { ServerResponse } from 'node:http';

/** A watcher that does not read is cut off before it costs more memory than this. */
const mostUnsent = 4 * 1024 * 1024;
const alive = 15_000;
/** ms for what was written before the end. */
const lastWords = 2000;

export interface Batch { readonly records: readonly unknown[]; readonly dropped: number }

export class Watcher {
  readonly #raw: ServerResponse;
  #left: number;
  #begun = false;
  #over = false;
  /** Came before the answer was begun, when not every worker had been told yet. */
  #early: Batch[] = [];
  #beat: NodeJS.Timeout | undefined;
  #onGone: () => void = () => undefined;

  /** `limit` records at most. */
  constructor(raw: ServerResponse, limit: number) {
    this.#raw = raw;
    this.#left = limit;
    raw.once('close', () => {
      this.#over = true;
      clearInterval(this.#beat);
      this.#onGone();
    });
  }

  /** Calls back when he is gone, in whatever way; at once if he is by now. */
  onGone(then: () => void): void {
    if (this.#raw.destroyed) then();
    else this.#onGone = then;
  }

  begin(headers: Record<string, string>): void {
    if (this.#over || this.#raw.destroyed) return;
    this.#raw.writeHead(200, { ...headers, 'content-type': 'text/event-stream' });
    this.#begun = true;
    this.#write(': what is answered from now on\n\n');
    this.#beat = setInterval(() => this.#write(': alive\n\n'), alive);
    for (const batch of this.#early.splice(0)) this.show(batch);
  }

  show(batch: Batch): void {
    if (this.#over) return;
    if (!this.#begun) return void this.#early.push(batch);
    const { records, dropped } = batch;
    const shown = records.slice(0, this.#left);
    this.#left -= shown.length;
    const lines = shown.map((record) => `data: ${JSON.stringify(record)}\n\n`);
    if (dropped > 0) lines.push(`event: dropped\ndata: ${dropped}\n\n`);
    this.#write(lines.join(''));
    if (this.#left <= 0) this.end();
  }

  /** What was written before still goes out. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#beat);
    this.#raw.end();
    // One who does not read it must keep nothing and nobody waiting.
    setTimeout(() => this.#raw.destroy(), lastWords).unref();
  }

  #write(text: string): void {
    if (this.#over || text === '') return;
    // He does not read, so he would never see an end either.
    if (this.#raw.writableLength > mostUnsent) this.#raw.destroy();
    else this.#raw.write(text);
  }
}
