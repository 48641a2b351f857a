// One configured logger: chooses requests, makes records, and gives them to its sinks.
import { connectionRequest } from '../../core/connection-request.ts';
import { compileExpression } from '../../core/expression.ts';
import type { Counter, Hooks, PluginContext } from '../../core/plugin.ts';
import type { Request } from '../../core/request.ts';
import type { Session } from '../../core/session.ts';
import { Batch } from './batch.ts';
import { compileFormat, connectionFormat, requestFormat } from './format.ts';
import type { Sink } from './sink.ts';
import { Tally } from './tally.ts';

/** Options that all loggers have, as they are configured: times in seconds. */
export interface BatchConf {
  readonly batch_max_size: number;
  readonly inactive_timeout: number;
  readonly buffer_duration: number;
  readonly max_retry_count: number;
  readonly retry_delay: number;
  readonly max_pending_entries?: number;
}

export interface PlaceOptions {
  readonly context: PluginContext;
  readonly per: 'request' | 'connection';
  readonly format: Readonly<Record<string, unknown>> | undefined;
  /** Fields beside those of the format. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined;
  readonly filter: unknown;
  /** 0 to 1. */
  readonly sample: number;
  readonly batch: BatchConf;
  /** Characters that may wait; default 32 Mi. */
  readonly maxPendingSize?: number;
  readonly sinks: readonly NamedSink[];
}

export interface NamedSink {
  readonly name: string;
  readonly sink: Sink;
  /** Put around each record. */
  readonly frame?: (record: string) => string;
}

const defaultPending = 8192;
const defaultPendingSize = 32 * 1024 * 1024;

export function logPlace(options: PlaceOptions): Hooks {
  const place = new Place(options);
  const closing = { status: () => place.status(), waiting: () => place.waiting, close: () => place.close() };
  if (perConnection(options)) {
    return { disconnect: (session, reason) => place.ended(session, reason), ...closing };
  }
  const { select } = place;
  return {
    log: (request) => place.answered(request), transient: true, ...(select === null ? {} : { select }), ...closing,
  };
}

/** Bytes that pass as they are make no requests: what there is to log is the connection. */
function perConnection({ per, context }: PlaceOptions): boolean {
  return per === 'connection' || context.protocol === 'tcp' || context.protocol === 'udp';
}

class Place {
  readonly #context: PluginContext;
  readonly #record: (request: Request) => string;
  readonly #filter: ((request: Request) => boolean) | null;
  readonly #chosen: () => boolean;
  /** Says no before the request is sent, so that it may travel with others; null: everything is wanted. */
  readonly select: ((request: Request) => boolean) | null;
  /** What `select` could not know yet. */
  readonly #late: ((request: Request) => boolean) | null;
  readonly #outlets: readonly Outlet[];

  constructor(options: PlaceOptions) {
    const { context, sample } = options;
    this.#context = context;
    const format = options.format ?? formatOf(context.metadata['log_format'])
      ?? (perConnection(options) ? connectionFormat : requestFormat);
    this.#record = compileFormat({ ...format, ...options.extra });
    const rules = Array.isArray(options.filter) ? options.filter : [];
    const filter = rules.length === 0 ? null : compileExpression(rules);
    this.#filter = filter;
    const chosen = sampler(sample);
    this.#chosen = chosen;
    const early = filter?.requestTimeOnly === true ? filter : null;
    this.#late = early === null ? filter : null;
    this.select = early === null && sample >= 1
      ? null : (request) => chosen() && (early === null || early(request));
    const { metadata } = context;
    const shared = metadata['max_pending_entries'] ?? defaultPending;
    const pending = Number(options.batch.max_pending_entries ?? shared);
    this.#outlets = options.sinks.map((each) => new Outlet(each, options, pending));
  }

  answered(request: Request): void {
    if (this.#late === null || this.#late(request)) this.#write(request);
  }

  ended(session: Session, reason: string): void {
    const connection = connectionRequest(session, reason, this.#context.now());
    if (this.#chosen() && (this.#filter === null || this.#filter(connection))) this.#write(connection);
  }

  #write(request: Request): void {
    const record = this.#record(request);
    for (const outlet of this.#outlets) outlet.push(record);
  }

  status(): Record<string, unknown> {
    return Object.fromEntries(this.#outlets.map((outlet) => [outlet.name, outlet.status()]));
  }

  get waiting(): number {
    return this.#outlets.reduce((sum, outlet) => sum + outlet.waiting, 0);
  }

  async close(): Promise<void> {
    await Promise.all(this.#outlets.map((outlet) => outlet.close()));
  }
}

/** Chooses each time with the given probability. It draws how many are passed over, not once for each of them. */
export function sampler(probability: number): () => boolean {
  if (probability >= 1 || probability <= 0) return () => probability >= 1;
  const perMiss = Math.log1p(-probability);
  const draw = (): number => Math.floor(Math.log(1 - Math.random()) / perMiss);
  let left = draw();
  return () => {
    if (left > 0) {
      left--;
      return false;
    }
    left = draw();
    return true;
  };
}

function formatOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? { ...value } : undefined;
}

/** A sink with its batch, and what became of the records. */
class Outlet {
  readonly name: string;
  readonly #sink: Sink;
  readonly #frame: ((record: string) => string) | null;
  readonly #batch: Batch;
  readonly #tally: Tally;
  readonly #total: Counter;

  constructor(outlet: NamedSink, options: PlaceOptions, maxPending: number) {
    const { context, batch } = options;
    this.name = outlet.name;
    this.#sink = outlet.sink;
    this.#frame = outlet.frame ?? null;
    // What waits is the difference, and right over all workers.
    this.#total = context.counter('log_records_total', 'Log records made.');
    this.#tally = new Tally({
      context, sink: outlet.name, things: 'records',
      sentTotal: context.counter('log_records_sent_total', 'Log records that a sink took.'),
      droppedTotal: context.counter('log_records_dropped_total', 'Log records that were dropped.'),
    });
    this.#batch = new Batch({
      maxSize: batch.batch_max_size,
      inactiveTimeout: batch.inactive_timeout * 1000,
      bufferDuration: batch.buffer_duration * 1000,
      maxRetryCount: batch.max_retry_count,
      retryDelay: batch.retry_delay * 1000,
      maxPending,
      maxPendingSize: options.maxPendingSize ?? defaultPendingSize,
      send: (records) => this.#sink.send(records),
      onSent: (count) => this.#tally.took(count),
      onDropped: (count, cause) => this.#tally.lost(count, cause),
    });
  }

  push(record: string): void {
    this.#total.add(1);
    this.#batch.push(this.#frame === null ? record : this.#frame(record));
  }

  get waiting(): number { return this.#batch.pending; }

  status(): Record<string, number> {
    const { sent, dropped } = this.#tally;
    return { sent, dropped, pending: this.waiting };
  }

  async close(): Promise<void> {
    await this.#batch.close();
    await this.#sink.close();
  }
}
