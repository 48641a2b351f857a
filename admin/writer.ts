// Changes of resources, one after another: checked, made durable, run by every worker, then answered. What
// the workers cannot run although it passed the checks is taken back.
import { checkResource, checkUnused, type References } from '../core/config/check.ts';
import type { Kind, Resource, Value } from '../core/config/resource.ts';
import type { Config, Store } from '../core/config/source.ts';
import type { Plane, Rejection } from '../core/plane.ts';
import { ProxyError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { notFound, refusalOf, refusalText, refuse } from './refusal.ts';
import type { Registry } from './registry.ts';
import type { ResourceRow } from './resources.ts';
import { withSecretsKept } from './secrets.ts';

export interface WriterOptions {
  readonly store: Store;
  readonly config: { readonly config: Config };
  readonly references: References;
  readonly plane: Pick<Plane, 'apply'>;
  readonly registry: Registry;
  readonly log: Logger;
}

export interface Put { readonly created: boolean; readonly resource: Resource }

interface Known { readonly config: Config | null; readonly rejections: readonly Rejection[] }

export class Writer {
  readonly #options: WriterOptions;
  #last: Promise<unknown> = Promise.resolve();
  /** What the workers refused, and of which configuration. */
  #known: Known = { config: null, rejections: [] };

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Rejects with a Refusal, or STORE_FAILED. Nothing is changed then. */
  put(row: ResourceRow, id: string, sent: unknown): Promise<Put> {
    return this.#inTurn(() => this.#put(row, id, sent));
  }

  /** Under an id of its own. */
  post(row: ResourceRow, sent: unknown): Promise<Put> {
    return this.#inTurn(() => this.#put(row, this.#freeId(row.kind), sent));
  }

  delete(row: ResourceRow, id: string, force: boolean): Promise<void> {
    return this.#inTurn(() => this.#delete(row, id, force));
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#last;
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #put(row: ResourceRow, id: string, sent: unknown): Promise<Put> {
    const { store, registry } = this.#options;
    this.#refuseFile(row, id);
    const old = store.get(row.kind, id)?.value;
    const value = this.#checked(row, id, sent, old, registry);
    await this.#learnRejections();
    const written = await store.put(row.kind, id, value);
    if (written.outcome === 'conflict') throw refuse(409, 'the resource changed at the same time');
    const refused = await this.#apply(row, id);
    if (refused === undefined) {
      this.#tell(written.outcome, row.kind, id);
      return { created: written.outcome === 'created', resource: written.resource };
    }
    await this.#takeBack(row.kind, id, old);
    throw refusalText(refused.text, [], '');
  }

  #checked(row: ResourceRow, id: string, sent: unknown, old: Value | undefined, registry: Registry): Value {
    const early = row.checkId?.(id, registry) ?? null;
    if (early !== null) throw early;
    const isObject = typeof sent === 'object' && sent !== null && !Array.isArray(sent);
    const whole = isObject ? withSecretsKept(row.kind, id, sent as Value, old, registry) : sent;
    const refusal = refusalOf(checkResource(row.kind, id, whole, this.#references()));
    if (refusal !== null) throw refusal;
    const { id: _id, ...value } = whole as Value;
    return value;
  }

  async #delete({ kind, ...row }: ResourceRow, id: string, force: boolean): Promise<void> {
    this.#refuseFile({ kind, ...row }, id);
    const old = this.#options.store.get(kind, id);
    if (old === undefined) throw notFound;
    const routes = this.#options.config.config.resources.stream_routes;
    const users = [...routes].map(([routeId, { value }]) => [routeId, value] as const);
    const used = force ? null : refusalOf(checkUnused(kind, id, users));
    if (used !== null) throw used;
    await this.#options.store.delete(kind, id);
    await this.#apply({ kind, ...row }, id);
    this.#tell('deleted', kind, id);
  }

  #tell(outcome: string, kind: Kind, id: string): void {
    const { log, store } = this.#options;
    log.info({ kind, id, revision: store.config.revision }, `${outcome} by the Admin API`);
  }

  #refuseFile({ kind, singular }: ResourceRow, id: string): void {
    if (this.#options.config.config.resources[kind].get(id)?.origin !== 'file') return;
    const why = 'stands in the resources file; it is read-only here, change it there';
    throw refuse(409, `${singular} ${id} ${why}`);
  }

  // Two resources that were wrong before are no reason to refuse a third one.
  async #learnRejections(): Promise<void> {
    const { config } = this.#options.config;
    if (this.#known.config === config) return;
    const rejections = await this.#run(config, 'nothing was changed, because not every worker answers');
    this.#known = { config, rejections };
  }

  /** Returns what the write broke. */
  async #apply({ kind }: ResourceRow, id: string): Promise<Rejection | undefined> {
    const before = this.#known.rejections;
    const { config } = this.#options.config;
    const rejections = await this.#run(config);
    this.#known = { config, rejections };
    const known = new Set(before.map(nameOf));
    return rejections.find((each) => each.kind === kind && each.id === id)
      ?? rejections.find((each) => !known.has(nameOf(each)));
  }

  async #run(
    config: Config, failure = 'the change is stored, but not every worker could be told',
  ): Promise<readonly Rejection[]> {
    try {
      return await this.#options.plane.apply(config);
    } catch (error) {
      throw new ProxyError('WORKER_LOST', failure, { cause: error });
    }
  }

  async #takeBack(kind: Kind, id: string, old: Value | undefined): Promise<void> {
    const { store, log, config } = this.#options;
    if (old === undefined) await store.delete(kind, id);
    else await store.put(kind, id, old);
    const rejections = await this.#run(config.config);
    this.#known = { config: config.config, rejections };
    log.warn({ code: 'CONFIG_INVALID', kind, id }, 'a change that the workers refused was taken back');
  }

  // The form of the reference: the revision that the write makes, in 20 digits.
  #freeId(kind: Kind): string {
    const { store, config } = this.#options;
    for (let number = store.config.revision + 1; ; number++) {
      const id = String(number).padStart(20, '0');
      if (!config.config.resources[kind].has(id)) return id;
    }
  }

  #references(): References {
    const { references, config } = this.#options;
    return {
      ...references,
      resource: (kind, id) => config.config.resources[kind].get(id)?.value,
    };
  }
}

function nameOf({ kind, id, text }: Rejection): string {
  return `${kind} ${id} ${text}`;
}
