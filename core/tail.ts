// Requests as they are answered, for somebody who watches. Nobody watching costs one question per request.
import { endpoint } from './endpoint.ts';
import type { Engine } from './engine.ts';
import { ProxyError } from './errors.ts';
import { compileExpression } from './expression.ts';
import { readKeys } from './variables.ts';
import type { Request } from './request.ts';

export interface TailRecord {
  readonly time: string;
  readonly worker: number;
  readonly session: number;
  readonly client: string;
  readonly route: string;
  readonly command: string;
  readonly keys: readonly string[];
  /** The command as it was sent, secrets masked; of protocols that have one. */
  readonly line: string;
  readonly outcome: string;
  /** Milliseconds from being read to being answered. */
  readonly took: number;
  readonly upstream: string;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

export interface TailBatch {
  /** Of the tail that asked for it. */
  readonly id: number;
  readonly records: readonly TailRecord[];
  /** Records that were left out, because there were too many. */
  readonly dropped: number;
}

export interface TailOptions {
  readonly id: number;
  /** As everywhere (`[["command", "==", "get"]]`); empty: every request. */
  readonly filter: readonly unknown[];
  /** Records per second and worker; more are counted and left out. */
  readonly rate: number;
}

const period = 100;
const longestLine = 512;

/** Whoever is asked about each request while at least one tail is open. */
export class Tails {
  readonly #engine: Engine;
  readonly #worker: number;
  readonly #send: (batch: TailBatch) => void;
  readonly #open = new Map<number, Tail>();

  constructor(engine: Engine, worker: number, send: (batch: TailBatch) => void) {
    this.#engine = engine;
    this.#worker = worker;
    this.#send = send;
  }

  /** Throws CONFIG_INVALID for a filter that is none. */
  open(options: TailOptions): void {
    this.#open.set(options.id, new Tail(options, this.#worker, this.#send));
    this.#engine.tails = this;
  }

  close(id: number): void {
    this.#open.get(id)?.close();
    this.#open.delete(id);
    if (this.#open.size === 0) this.#engine.tails = null;
  }

  closeAll(): void {
    for (const tail of this.#open.values()) tail.close();
    this.#open.clear();
    this.#engine.tails = null;
  }

  wants(request: Request): boolean {
    for (const tail of this.#open.values()) if (tail.wants(request)) return true;
    return false;
  }

  answered(request: Request): void {
    for (const tail of this.#open.values()) tail.take(request);
  }
}

class Tail {
  readonly #options: TailOptions;
  readonly #worker: number;
  readonly #send: (batch: TailBatch) => void;
  readonly #fits: ((request: Request) => boolean) | null;
  readonly #early: boolean;
  readonly #timer: NodeJS.Timeout;
  #records: TailRecord[] = [];
  #dropped = 0;
  /** Records that may still be made in this second. */
  #left: number;
  #periods = 0;

  constructor(options: TailOptions, worker: number, send: (batch: TailBatch) => void) {
    const filter = options.filter.length === 0 ? null : compileExpression(options.filter);
    this.#options = options;
    this.#worker = worker;
    this.#send = send;
    this.#fits = filter;
    this.#early = filter?.requestTimeOnly ?? true;
    this.#left = options.rate;
    this.#timer = setInterval(() => this.#flush(), period);
    this.#timer.unref();
  }

  wants(request: Request): boolean {
    return !this.#early || this.#fits === null || this.#fits(request);
  }

  take(request: Request): void {
    if (this.#fits !== null && !this.#fits(request)) return;
    if (this.#left <= 0) {
      this.#dropped++;
      return;
    }
    this.#left--;
    this.#records.push(recordOf(request, this.#worker));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #flush(): void {
    if (++this.#periods % (1000 / period) === 0) this.#left = this.#options.rate;
    if (this.#records.length === 0 && this.#dropped === 0) return;
    this.#send({ id: this.#options.id, records: this.#records, dropped: this.#dropped });
    this.#records = [];
    this.#dropped = 0;
  }
}

function recordOf(request: Request, worker: number): TailRecord {
  const { session, outcome, startedAt, endedAt } = request;
  return {
    time: new Date().toISOString(), worker, session: session.id,
    client: endpoint(session.remoteAddress, session.remotePort), route: session.route.id,
    command: request.name, keys: readKeys(request, 256), line: (request.variable('redis_cmd_line') ?? '').slice(0, longestLine),
    outcome: outcome === null ? 'unfinished' : outcome instanceof ProxyError ? outcome.code.toLowerCase() : outcome.isError ? 'error' : 'ok',
    took: Math.round((endedAt - startedAt) * 1000) / 1000, upstream: request.upstreamAddress,
    bytes_in: request.bytesIn, bytes_out: request.bytesOut,
  };
}
