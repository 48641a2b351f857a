// A store that several Millrace nodes share: etcd. What is there is followed by a watch; a write is answered when the
// watch has shown it. While etcd is away, the last configuration that was seen goes on, also after a restart (it lies
// in a file), and writes are refused.
import { isDeepStrictEqual } from 'node:util';
import { ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { isForbiddenName } from '../schema.ts';
import { EtcdClient, encode, type Batch, type EtcdOptions, type KeyValue, type Watching } from './etcd/client.ts';
import { readSnapshot, writeSnapshot } from './etcd/snapshot.ts';
import { isKind, type Kind, type Resource, type Value } from './resource.ts';
import {
  emptyResources, frozenResource, type Committed, type Config, type History, type HistoryPage, type Store, type Version, type Write,
} from './source.ts';
import { WritableConfig } from './writable.ts';

export interface EtcdStoreOptions extends EtcdOptions {
  /** Before all keys: `/millrace`. */
  readonly prefix: string;
  /** File with the last configuration that was seen. */
  readonly snapshot: string;
  readonly log: Logger;
}

const keptVersions = 1000;
const shortestWait = 200;
const longestWait = 5000;
/** How long a write waits for the watch to show it. */
const seenWithin = 5000;

export class EtcdStore extends WritableConfig implements Store {
  readonly #options: EtcdStoreOptions;
  readonly #client: EtcdClient;
  readonly #versions: Version[] = [];
  #config: Config;
  #since: number;
  #watching: Watching | null = null;
  #timer: NodeJS.Timeout | undefined;
  #wait = shortestWait;
  #closed = false;
  /** Why etcd is not followed now; null: it is. */
  #away: string | null = null;
  #waiting: { readonly shown: () => boolean; readonly resolve: () => void }[] = [];
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: EtcdStoreOptions, client: EtcdClient, config: Config) {
    super();
    this.#options = options;
    this.#client = client;
    this.#config = config;
    this.#since = config.revision;
  }

  /** Rejects with STORE_FAILED when etcd does not answer and was never seen before. */
  static async open(options: EtcdStoreOptions): Promise<EtcdStore> {
    const client = new EtcdClient(options);
    const last = readSnapshot(options.snapshot);
    try {
      const config = await readAll(client, options, last);
      const store = new EtcdStore(options, client, config);
      store.#remember();
      store.#follow();
      return store;
    } catch (cause) {
      if (last === null) {
        client.close();
        throw new ProxyError('STORE_FAILED', `${where(options)} does not answer (${textOf(cause)}), and there is no snapshot of an earlier run`, { cause });
      }
      const store = new EtcdStore(options, client, last);
      store.#lost(cause);
      return store;
    }
  }

  get config(): Config {
    return this.#config;
  }

  /** Why writes are refused; null: they are not. */
  get away(): string | null {
    return this.#away;
  }

  async write(writes: readonly Write[]): Promise<Committed> {
    if (this.#away !== null) throw this.#refusal();
    const changes = writes.filter(({ kind, id, value }) => value !== null || this.get(kind, id) !== undefined);
    if (changes.length === 0) return { outcome: 'written', revision: this.#config.revision };
    for (const { id } of changes) {
      if (id.split('/').some(isForbiddenName)) throw new ProxyError('STORE_FAILED', `the id ${id} cannot be stored`);
    }
    const compare = writes.filter(({ revision }) => revision !== undefined).map(({ kind, id, revision }) => ({
      key: encode(this.#key(kind, id)), result: 'EQUAL', target: 'MOD', mod_revision: String(revision),
    }));
    let done: { readonly succeeded: boolean; readonly revision: number };
    try {
      const success = await Promise.all(changes.map((write) => this.#operation(write)));
      done = await this.#client.transaction(compare, success);
    } catch (cause) {
      throw new ProxyError('STORE_FAILED', `${where(this.#options)} did not confirm the change: ${textOf(cause)}; read it again to see whether it was made`, { cause });
    }
    const { succeeded, revision } = done;
    if (succeeded) {
      if (!await this.#seen(() => this.#config.revision >= revision)) throw this.#refusal();
      return { outcome: 'written', revision };
    }
    const other = (): number => writes.findIndex(({ kind, id, revision: expected }) =>
      expected !== undefined && expected !== (this.get(kind, id)?.modifiedIndex ?? 0));
    await this.#seen(() => other() >= 0);
    const index = Math.max(0, other());
    return { outcome: 'conflict', index, resource: this.get(writes[index]!.kind, writes[index]!.id) };
  }

  /** What was seen since this process started: etcd keeps no more than that for ever. */
  async history(
    of?: { readonly kind: Kind; readonly id: string }, { before = Infinity, after = 0, limit = Infinity }: HistoryPage = {},
  ): Promise<History> {
    const mine = this.#versions.filter(({ kind, id, revision }) => revision < before && revision > after
      && (of === undefined || (of.kind === kind && of.id === id)));
    const last = mine[limit - 1]?.revision ?? 0;
    return { since: this.#since, versions: mine.filter(({ revision }) => revision >= last) };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#watching?.close();
    await this.#writing;
    this.#client.close();
  }

  async #operation({ kind, id, value, expiresAt }: Write): Promise<object> {
    const key = encode(this.#key(kind, id));
    if (value === null) return { request_delete_range: { key } };
    const now = Math.floor(Date.now() / 1000);
    const stored = {
      ...value, create_time: this.get(kind, id)?.createTime ?? now, update_time: now,
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
    };
    // etcd takes it away by itself, too, should no Millrace be there then.
    const lease = expiresAt === undefined ? {} : { lease: await this.#client.lease(Math.max(1, expiresAt - now + 60)) };
    return { request_put: { key, value: encode(JSON.stringify(stored)), ...lease } };
  }

  #key(kind: Kind, id: string): string {
    return `${this.#options.prefix}/${kind}/${id}`;
  }

  #refusal(): ProxyError {
    return new ProxyError('STORE_FAILED', `${where(this.#options)} is away (${this.#away}); the last configuration is used, and nothing can be changed`);
  }

  // Following.

  #follow(): void {
    this.#watching = this.#client.watch(`${this.#options.prefix}/`, this.#config.revision + 1, {
      onBatch: (batch) => this.#apply(batch),
      onCompacted: () => void this.#readAgain(),
      onEnd: (cause) => this.#lost(cause),
    });
  }

  #apply({ events, revision }: Batch): void {
    if (this.#closed) return;
    this.#found();
    const resources = { ...this.#config.resources };
    const copies = new Map<Kind, Map<string, Resource>>();
    for (const event of events) {
      const place = placeOf(event.key, this.#options.prefix);
      if (place === null) continue;
      const { kind, id } = place;
      const old = (copies.get(kind) ?? resources[kind]).get(id);
      const resource = event.deleted ? null : resourceOf(event, kind, id, this.#options.log);
      // What cannot be read leaves what was there.
      if (resource === undefined) continue;
      const map = copies.get(kind) ?? new Map(resources[kind]);
      copies.set(kind, map);
      resources[kind] = map;
      if (resource === null) map.delete(id);
      else map.set(id, resource);
      this.#versions.unshift({
        revision: event.modRevision, kind, id, value: resource?.value ?? null, before: old?.value ?? null, time: Math.floor(Date.now() / 1000),
        ...(resource?.expiresAt === undefined ? {} : { expiresAt: resource.expiresAt }),
        ...(old?.expiresAt === undefined ? {} : { beforeExpiresAt: old.expiresAt }),
      });
    }
    this.#versions.length = Math.min(this.#versions.length, keptVersions);
    if (this.#versions.length === keptVersions) this.#since = Math.max(this.#since, this.#versions.at(-1)!.revision);
    const next = Math.max(revision, this.#config.revision);
    if (copies.size > 0) {
      this.#config = { revision: next, resources };
      this.#remember();
      this.listeners.tell(this.#config);
    } else if (next > this.#config.revision) {
      this.#config = { ...this.#config, revision: next };
    }
    this.#waiting = this.#waiting.filter(({ shown, resolve }) => {
      if (!shown()) return true;
      resolve();
      return false;
    });
  }

  /** Everything anew: what was missed in between cannot be asked for any more. */
  async #readAgain(): Promise<void> {
    this.#watching?.close();
    try {
      const config = await readAll(this.#client, this.#options, this.#config);
      if (this.#closed) return;
      this.#found();
      this.#since = config.revision;
      this.#versions.length = 0;
      this.#config = keepingUnchanged(this.#config, config);
      this.#remember();
      this.listeners.tell(this.#config);
      for (const { resolve } of this.#waiting.splice(0)) resolve();
      this.#follow();
    } catch (cause) {
      this.#lost(cause);
    }
  }

  #found(): void {
    this.#wait = shortestWait;
    if (this.#away === null) return;
    this.#away = null;
    this.#options.log.info({ code: 'STORE_BACK', revision: this.#config.revision }, `${where(this.#options)} answers again`);
  }

  #lost(cause: unknown): void {
    if (this.#closed) return;
    const text = textOf(cause);
    if (this.#away === null) {
      this.#options.log.error({ code: 'STORE_AWAY', reason: text, revision: this.#config.revision },
        `${where(this.#options)} is away; the last configuration is used, and nothing can be changed`);
    }
    this.#away = text;
    this.#watching?.close();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#readAgain(), this.#wait * (0.5 + Math.random()));
    this.#wait = Math.min(longestWait, this.#wait * 2);
  }

  /** Waits until the watch has shown it; if that takes too long, everything is read anew. Whether it was seen then. */
  async #seen(shown: () => boolean): Promise<boolean> {
    if (shown()) return true;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => void this.#readAgain().then(resolve), seenWithin);
      this.#waiting.push({ shown, resolve: () => { clearTimeout(timer); resolve(); } });
    });
    return shown();
  }

  // The snapshot.

  #remember(): void {
    const { snapshot, log } = this.#options;
    const config = this.#config;
    this.#writing = this.#writing.then(() => {
      // Of several changes in a row the last one is enough. A higher revision alone is none.
      if (config.resources !== this.#config.resources) return;
      try {
        writeSnapshot(snapshot, config);
      } catch (error) {
        log.error({ code: 'STORE_FAILED', err: error }, 'the snapshot of the configuration could not be written');
      }
    });
  }
}

function where({ endpoints }: EtcdOptions): string {
  return `etcd at ${endpoints.map((each) => each.replace(/\/\/[^@/]*@/, '//')).join(', ')}`;
}

function textOf(cause: unknown): string {
  const { message = '', code } = cause as { message?: string; code?: string };
  return message === '' ? code ?? String(cause) : message;
}

/** Throws for an etcd that lost everything: nobody asked for all routes to be taken away. */
async function readAll(client: EtcdClient, { prefix, log }: EtcdStoreOptions, last: Config | null): Promise<Config> {
  const { revision, list } = await client.range(`${prefix}/`);
  // A revision never goes back in one etcd. One with any key under the prefix was filled by somebody.
  if (last !== null && list.length === 0 && revision < last.revision && !isEmpty(last)) {
    throw new Error(`it is another one than before: its revision went back from ${last.revision} to ${revision}, and it has no key under `
      + `${prefix}/; put one there, ${prefix}/empty for instance, if everything is to be taken away`);
  }
  const resources = emptyResources() as Record<Kind, Map<string, Resource>>;
  for (const each of list) {
    const place = placeOf(each.key, prefix);
    const resource = place === null ? undefined : resourceOf(each, place.kind, place.id, log);
    if (resource !== undefined) resources[resource.kind].set(resource.id, resource);
  }
  return { revision, resources };
}

function isEmpty({ resources }: Config): boolean {
  return Object.values(resources).every((map) => map.size === 0);
}

function placeOf(key: string, prefix: string): { readonly kind: Kind; readonly id: string } | null {
  const [kind = '', ...rest] = key.slice(prefix.length + 1).split('/');
  const id = rest.join('/');
  return isKind(kind) && id !== '' ? { kind, id } : null;
}

/** Undefined: it cannot be read. */
function resourceOf({ key, value: text, createRevision, modRevision }: KeyValue, kind: Kind, id: string, log: Logger): Resource | undefined {
  try {
    const { id: _id, create_time: created, update_time: updated, expires_at: expires, ...value } = JSON.parse(text) as Value;
    return frozenResource({
      kind, id, value, origin: 'store', createdIndex: createRevision, modifiedIndex: modRevision,
      ...(typeof created === 'number' ? { createTime: created } : {}), ...(typeof updated === 'number' ? { updateTime: updated } : {}),
      ...(typeof expires === 'number' ? { expiresAt: expires } : {}),
    });
  } catch {
    log.error({ code: 'CONFIG_INVALID', kind, id, key }, 'a value in etcd is no JSON object; what was there before stays');
    return undefined;
  }
}

/** The new configuration with the old objects for what is the same: nothing is built again for it. */
function keepingUnchanged(old: Config, next: Config): Config {
  const entries = Object.entries(next.resources).map(([kind, map]) => {
    const before = old.resources[kind as Kind];
    const merged = new Map([...map].map(([id, resource]) => {
      const known = before.get(id);
      // Another etcd may have used the same revision for another value.
      const same = known?.modifiedIndex === resource.modifiedIndex && isDeepStrictEqual(known, resource);
      return [id, same ? known : resource] as const;
    }));
    const same = merged.size === before.size && [...merged].every(([id, resource]) => before.get(id) === resource);
    return [kind, same ? before : merged] as const;
  });
  return { revision: next.revision, resources: Object.fromEntries(entries) as unknown as Config['resources'] };
}
