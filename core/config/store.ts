// What the stores of one process share: the configuration in memory, revisions, compare-and-set. How a change
// is made durable is theirs.
import { ProxyError } from '../errors.ts';
import { isForbiddenName } from '../schema.ts';
import type { AuditLog, AuditRecord } from './audit.ts';
import type { Kind, Resource, Value } from './resource.ts';
import {
  frozenResource, type Committed, type Config, type History, type HistoryPage, type Store, type Version,
  type Write,
} from './source.ts';
import { WritableConfig } from './writable.ts';

/** What one write does to one resource. */
export interface Change {
  readonly revision: number;
  readonly kind: Kind;
  readonly id: string;
  /** Null: the resource is deleted. */
  readonly resource: Resource | null;
  /** The value as text; null: deleted. */
  readonly text: string | null;
  readonly before: Resource | undefined;
  readonly time: number;
}

/** A change as history remembers it. */
export function versionOf({ revision, kind, id, resource, before, time }: Change): Version {
  return {
    revision, kind, id, value: resource?.value ?? null, before: before?.value ?? null, time,
    ...(resource?.expiresAt === undefined ? {} : { expiresAt: resource.expiresAt }),
    ...(before?.expiresAt === undefined ? {} : { beforeExpiresAt: before.expiresAt }),
  };
}

/** Unix time in whole seconds. */
export type UnixTime = () => number;
export const unixTime: UnixTime = () => Math.floor(Date.now() / 1000);

// Values come from a limited request body; this keeps a caller's mistake out of the file.
const largestValue = 16 * 1024 * 1024;

export abstract class LocalStore extends WritableConfig implements Store {
  #config: Config;
  readonly #time: UnixTime;

  constructor(config: Config, time: UnixTime) {
    super();
    this.#config = config;
    this.#time = time;
  }

  /** Returns when all changes are durable; throws STORE_FAILED when none was made. */
  protected abstract persist(revision: number, changes: readonly Change[], record: AuditRecord | undefined): void;
  protected abstract past(of: { readonly kind: Kind; readonly id: string } | undefined, page: HistoryPage): History;
  abstract readonly audit: AuditLog;
  abstract close(): Promise<void>;

  get config(): Config {
    return this.#config;
  }

  // Not interrupted by anything from its first line on: what it looked at is what it changes.
  async write(writes: readonly Write[], record?: AuditRecord): Promise<Committed> {
    const index = writes.findIndex(({ kind, id, revision }) =>
      revision !== undefined && revision !== (this.get(kind, id)?.modifiedIndex ?? 0));
    if (index >= 0) return { outcome: 'conflict', index, resource: this.get(writes[index]!.kind, writes[index]!.id) };
    const revision = this.#config.revision + 1;
    const time = this.#time();
    const changes = writes
      .filter(({ kind, id, value }) => value !== null || this.get(kind, id) !== undefined)
      .map((write) => this.#change(write, revision, time));
    if (changes.length === 0) return { outcome: 'written', revision: this.#config.revision };
    this.persist(revision, changes, record === undefined ? undefined : { ...record, revision });
    this.#take(revision, changes);
    return { outcome: 'written', revision };
  }

  async history(of?: { readonly kind: Kind; readonly id: string }, page: HistoryPage = {}): Promise<History> {
    return this.past(of, page);
  }

  #change({ kind, id, value, expiresAt }: Write, revision: number, time: number): Change {
    const before = this.get(kind, id);
    if (value === null) return { revision, kind, id, resource: null, text: null, before, time };
    if (isForbiddenName(id)) throw new ProxyError('STORE_FAILED', `the id ${id} cannot be stored`);
    const text = JSON.stringify(value);
    if (text.length > largestValue) throw new ProxyError('STORE_FAILED', 'the resource is larger than 16 MiB');
    const resource = frozenResource({
      kind, id, value: JSON.parse(text) as Value, origin: 'store',
      createdIndex: before?.createdIndex ?? revision, modifiedIndex: revision,
      createTime: before?.createTime ?? time, updateTime: time,
      ...(expiresAt === undefined ? {} : { expiresAt }),
    });
    return { revision, kind, id, resource, text, before, time };
  }

  #take(revision: number, changes: readonly Change[]): void {
    const resources = { ...this.#config.resources };
    const copies = new Map<Kind, Map<string, Resource>>();
    for (const { kind, id, resource } of changes) {
      let map = copies.get(kind);
      if (map === undefined) {
        map = new Map(this.#config.resources[kind]);
        copies.set(kind, map);
        resources[kind] = map;
      }
      if (resource === null) map.delete(id);
      else map.set(id, resource);
    }
    this.#config = { revision, resources };
    this.listeners.tell(this.#config);
  }
}
