// The services that upstreams ask for: one watch for each, however many upstreams have it, and its last good nodes.
import type { Metrics } from '../metrics.ts';
import type { Logger } from '../log.ts';
import type { Discovery, Service } from './discovery.ts';
import { parseNodes, type NodeSpec } from '../upstream/nodes.ts';

export interface ServiceOf extends Service {
  /** `discovery_type`. */
  readonly type: string;
}

export interface ServicesOptions {
  /** Made when a service first asks for it. */
  readonly discovery: (type: string) => Discovery | undefined;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export interface ServiceStatus {
  readonly type: string;
  readonly name: string;
  /** Null: never told. */
  readonly nodes: readonly NodeSpec[] | null;
  readonly last_error: string | null;
  /** Unix seconds. */
  readonly updated_at: number | null;
}

interface Entry {
  readonly service: ServiceOf;
  readonly listeners: Set<(nodes: readonly NodeSpec[]) => void>;
  /** Last good ones. */
  nodes: readonly NodeSpec[] | null;
  shown: string;
  error: string | null;
  updatedAt: number | null;
  readonly settled: PromiseWithResolvers<void>;
  close: () => void;
}

export class Services {
  readonly #options: ServicesOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #discoveries = new Map<string, Discovery>();
  readonly #series = new Map<string, number>();

  constructor(options: ServicesOptions) {
    this.#options = options;
  }

  get status(): ServiceStatus[] {
    return [...this.#entries.values()].map(({ service, nodes, error, updatedAt }) => (
      { type: service.type, name: service.name, nodes, last_error: error, updated_at: updatedAt }));
  }

  /** What each way to find nodes knows, by its type. */
  get dumps(): Record<string, unknown> {
    return Object.fromEntries([...this.#discoveries].map(([type, discovery]) => [type, discovery.dump?.() ?? null]));
  }

  /** Calls back at once if nodes are known, and whenever they change. */
  watch(service: ServiceOf, changed: (nodes: readonly NodeSpec[]) => void): { close(): void } {
    const key = keyOf(service);
    const entry = this.#entries.get(key) ?? this.#begin(key, service);
    // Of this watch only: the same function may watch twice.
    const listener = (nodes: readonly NodeSpec[]): void => changed(nodes);
    entry.listeners.add(listener);
    if (entry.nodes !== null) listener(entry.nodes);
    return {
      close: () => {
        entry.listeners.delete(listener);
        if (entry.listeners.size > 0 || this.#entries.get(key) !== entry) return;
        this.#entries.delete(key);
        entry.close();
      },
    };
  }

  /**
   * Asks for services before somebody uses them: `ready` when each was told or failed, at the latest after `wait` ms.
   * They are kept until `close`.
   */
  prepare(services: readonly ServiceOf[], wait: number): { readonly ready: Promise<unknown>; close(): void } {
    const watches = services.map((service) => this.watch(service, () => {}));
    const settled = services.map((service) => this.#entries.get(keyOf(service))!.settled.promise);
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, wait);
    timer.unref();
    const ready = Promise.race([Promise.all(settled), late.promise]).finally(() => clearTimeout(timer));
    return { ready, close: () => { for (const each of watches) each.close(); } };
  }

  close(): void {
    for (const entry of this.#entries.values()) entry.close();
    this.#entries.clear();
    for (const discovery of this.#discoveries.values()) discovery.close?.();
    this.#discoveries.clear();
  }

  #begin(key: string, service: ServiceOf): Entry {
    const entry: Entry = {
      service, listeners: new Set(), nodes: null, shown: '', error: null, updatedAt: null,
      settled: Promise.withResolvers<void>(), close: () => {},
    };
    this.#entries.set(key, entry);
    const discovery = this.#discovery(service.type);
    if (discovery === undefined) {
      this.#failed(entry, new Error(`discovery_type: expected a known one, got "${service.type}"`));
      return entry;
    }
    try {
      const watch = discovery.watch(service, (nodes) => this.#told(key, entry, nodes), (cause) => {
        if (this.#entries.get(key) === entry) this.#failed(entry, cause);
      });
      entry.close = () => watch.close();
    } catch (cause) {
      this.#failed(entry, cause);
    }
    return entry;
  }

  #discovery(type: string): Discovery | undefined {
    const known = this.#discoveries.get(type) ?? this.#options.discovery(type);
    if (known !== undefined) this.#discoveries.set(type, known);
    return known;
  }

  #told(key: string, entry: Entry, nodes: unknown): void {
    if (this.#entries.get(key) !== entry) return;
    let specs: readonly NodeSpec[];
    try {
      specs = parseNodes(nodes, { defaultPort: entry.service.defaultPort });
    } catch (cause) {
      this.#failed(entry, cause);
      return;
    }
    this.#counted(entry, 'success');
    entry.error = null;
    entry.updatedAt = Math.round(Date.now() / 1000);
    entry.nodes ??= [];
    // The order in which a name server lists them means nothing.
    const shown = JSON.stringify(specs.map((spec) => JSON.stringify(spec)).toSorted());
    if (shown !== entry.shown) {
      entry.shown = shown;
      entry.nodes = specs;
      const { type, name } = entry.service;
      const list = specs.map(({ host, port }) => (port === 0 ? host : `${host}:${port}`)).slice(0, 16);
      this.#options.log.info({ code: 'SERVICE_CHANGED', type, service: name, count: specs.length, nodes: list }, 'nodes of a service');
      for (const listener of entry.listeners) listener(specs);
    }
    entry.settled.resolve();
  }

  /** What was good stays in use. */
  #failed(entry: Entry, cause: unknown): void {
    const text = (cause instanceof Error ? cause.message : String(cause)).slice(0, 300);
    this.#counted(entry, 'failure');
    const { type, name } = entry.service;
    // The same trouble again and again is said once.
    if (text !== entry.error) {
      this.#options.log.warn({ code: 'SERVICE_FAILED', type, service: name, kept: entry.nodes?.length ?? 0, reason: text }, 'a service could not be found');
    }
    entry.error = text;
    entry.settled.resolve();
  }

  #counted({ service }: Entry, result: 'success' | 'failure'): void {
    const { metrics } = this.#options;
    const key = `${service.type} ${result}`;
    let index = this.#series.get(key);
    if (index === undefined) {
      index = metrics.counter('millrace_discovery_answers_total', 'Answers about the nodes of services.', { type: service.type, result });
      this.#series.set(key, index);
    }
    metrics.add(index, 1);
  }
}

function keyOf({ type, name, args, defaultPort }: ServiceOf): string {
  return JSON.stringify([type, name, args, defaultPort]);
}
