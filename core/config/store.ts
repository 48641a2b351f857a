// What the stores of one process share: the configuration in memory, revisions, compare-and-set. How a change
// is made durable is theirs.
import { ProxyError } from '../errors.ts';
import { isForbiddenName } from '../schema.ts';
import type { Kind, Resource, Value } from './resource.ts';
import { frozenResource, Listeners, type Config, type Store, type Version, type Written } from './source.ts';

export interface Change {
  readonly revision: number;
  readonly kind: Kind;
  readonly id: string;
  /** Null: the resource is deleted. */
  readonly resource: Resource | null;
  /** The value as text; null: deleted. */
  readonly text: string | null;
  readonly time: number;
}

/** Unix time in whole seconds. */
export type UnixTime = () => number;
export const unixTime: UnixTime = () => Math.floor(Date.now() / 1000);

// Values come from a limited request body; this keeps a caller's mistake out of the file.
const largestValue = 16 * 1024 * 1024;

export abstract class LocalStore implements Store {
  #config: Config;
  readonly #listeners = new Listeners();
  readonly #time: UnixTime;

  constructor(config: Config, time: UnixTime) {
    this.#config = config;
    this.#time = time;
  }

  /** Returns when the change is durable; throws STORE_FAILED when it was not made at all. */
  protected abstract persist(change: Change): void;
  protected abstract past(kind: Kind, id: string): readonly Version[];
  abstract close(): Promise<void>;

  get config(): Config {
    return this.#config;
  }

  onChange(listener: (config: Config) => void): () => void {
    return this.#listeners.add(listener);
  }

  get(kind: Kind, id: string): Resource | undefined {
    return this.#config.resources[kind].get(id);
  }

  list(kind: Kind): readonly Resource[] {
    return [...this.#config.resources[kind].values()].toSorted((a, b) => a.createdIndex - b.createdIndex);
  }

  async put(kind: Kind, id: string, value: Value, revision?: number): Promise<Written> {
    const old = this.get(kind, id);
    if (revision !== undefined && revision !== (old?.modifiedIndex ?? 0)) {
      return { outcome: 'conflict', resource: old };
    }
    if (isForbiddenName(id)) throw new ProxyError('STORE_FAILED', `the id ${id} cannot be stored`);
    const text = JSON.stringify(value);
    if (text.length > largestValue) {
      throw new ProxyError('STORE_FAILED', 'the resource is larger than 16 MiB');
    }
    const next = this.#config.revision + 1;
    const time = this.#time();
    const resource = frozenResource({
      kind, id, value: JSON.parse(text) as Value, origin: 'store',
      createdIndex: old?.createdIndex ?? next, modifiedIndex: next,
      createTime: old?.createTime ?? time, updateTime: time,
    });
    this.#apply({ revision: next, kind, id, resource, text, time });
    return { outcome: old === undefined ? 'created' : 'replaced', resource };
  }

  async delete(kind: Kind, id: string, revision?: number): Promise<'deleted' | 'absent' | 'conflict'> {
    const old = this.get(kind, id);
    if (old === undefined) return 'absent';
    if (revision !== undefined && revision !== old.modifiedIndex) return 'conflict';
    const next = this.#config.revision + 1;
    this.#apply({ revision: next, kind, id, resource: null, text: null, time: this.#time() });
    return 'deleted';
  }

  async history(kind: Kind, id: string): Promise<readonly Version[]> {
    return this.past(kind, id);
  }

  #apply(change: Change): void {
    this.persist(change);
    const { revision, kind, id, resource } = change;
    const changed = new Map(this.#config.resources[kind]);
    if (resource === null) changed.delete(id);
    else changed.set(id, resource);
    this.#config = { revision, resources: { ...this.#config.resources, [kind]: changed } };
    this.#listeners.tell(this.#config);
  }
}
