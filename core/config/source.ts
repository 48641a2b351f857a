// What configuration sources have in common: the store behind the admin API, the watched file, and both
// joined.
import type { AuditLog, AuditRecord } from './audit.ts';
import type { Kind, Resource, Value } from './resource.ts';
import { kindNames } from './resource.ts';

/**
 * The whole configuration at one moment. Plain data (structured clone keeps it), never changed afterwards.
 */
export interface Config {
  /** Grows with every change of this source. */
  readonly revision: number;
  readonly resources: Readonly<Record<Kind, ReadonlyMap<string, Resource>>>;
  /** Names of the plugins that may run; absent: all that are loaded. */
  readonly plugins?: ReadonlySet<string>;
}

export interface ConfigSource {
  /** The last good configuration. */
  readonly config: Config;
  /** Calls the listener with the whole after each change until the returned function is called. */
  onChange(listener: (config: Config) => void): () => void;
  close(): Promise<void>;
}

export type Written =
  | { readonly outcome: 'created' | 'replaced'; readonly resource: Resource }
  | { readonly outcome: 'conflict'; readonly resource: Resource | undefined };

/** One resource of a change of several. */
export interface Write {
  readonly kind: Kind;
  readonly id: string;
  /** Null: it is deleted. */
  readonly value: Value | null;
  /** Only if the resource's modifiedIndex is that one; 0: only if it does not exist. */
  readonly revision?: number;
  /** Unix seconds at which it is taken away. */
  readonly expiresAt?: number;
}

export type Committed =
  | { readonly outcome: 'written'; readonly revision: number }
  /** Nothing was changed, because of the write at `index`. */
  | { readonly outcome: 'conflict'; readonly index: number; readonly resource: Resource | undefined };

/** One change of one resource. Changes that were made together have the same revision. */
export interface Version {
  readonly revision: number;
  readonly kind: Kind;
  readonly id: string;
  /** Null: it was deleted. */
  readonly value: Value | null;
  /** What it was before; null: nothing. */
  readonly before: Value | null;
  /** Unix seconds. */
  readonly time: number;
  /** Unix seconds at which it is taken away, and at which what was before would have been. */
  readonly expiresAt?: number;
  readonly beforeExpiresAt?: number;
}

/** Past changes, newest first. */
export interface History {
  /** Changes after this revision are known: the configuration can be brought back to it. */
  readonly since: number;
  readonly versions: readonly Version[];
}

/** Which part of the past: revisions between two others, the newest of them first. */
export interface HistoryPage {
  /** Below this revision. */
  readonly before?: number;
  /** Above this revision. */
  readonly after?: number;
  /** Ends with the revision that makes it this many changes; a revision is never cut. */
  readonly limit?: number;
}

/**
 * A durable source that the admin API writes. Values were checked before. When `put` or `delete` resolves,
 * the change survives a crash and every listener was called. A write that fails rejects with STORE_FAILED and
 * changes nothing.
 */
export interface Store extends ConfigSource {
  /** Why it cannot be reached now; null or absent: it can. */
  readonly away?: string | null;
  get(kind: Kind, id: string): Resource | undefined;
  /** In the order of creation. */
  list(kind: Kind): readonly Resource[];
  /** With `revision` only if the resource's modifiedIndex is that one; 0: only if it does not exist. */
  put(kind: Kind, id: string, value: Value, revision?: number): Promise<Written>;
  delete(kind: Kind, id: string, revision?: number): Promise<'deleted' | 'absent' | 'conflict'>;
  /**
   * All of them or none, as one revision. Deleting what does not exist is no change. A store with `audit` keeps
   * the record, with the revision, together with the change; without a change it is not kept.
   */
  write(writes: readonly Write[], record?: AuditRecord): Promise<Committed>;
  /** Of one resource, or of all; the number kept is limited. */
  history(of?: { readonly kind: Kind; readonly id: string }, page?: HistoryPage): Promise<History>;
  /** Who changed what. Absent: this store does not keep it. */
  readonly audit?: AuditLog;
}

export function emptyConfig(revision = 0): Config {
  return { revision, resources: emptyResources() };
}

export function emptyResources(): Record<Kind, ReadonlyMap<string, Resource>> {
  return Object.fromEntries(kindNames.map((kind) => [kind, new Map()])) as unknown as
    Record<Kind, ReadonlyMap<string, Resource>>;
}

/** Makes a resource whose value nobody can change behind the others' backs. */
export function frozenResource(resource: Resource): Resource {
  deepFreeze(resource.value);
  return Object.freeze(resource);
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const child of Object.values(value)) deepFreeze(child);
}

/** The listeners of one source. One that throws does not keep the others from hearing. */
export class Listeners {
  readonly #listeners = new Set<(config: Config) => void>();

  add(listener: (config: Config) => void): () => void {
    // A wrapper of its own: the same function may listen twice.
    const own = (config: Config): void => listener(config);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  tell(config: Config): void {
    const failures: unknown[] = [];
    for (const listener of this.#listeners) {
      try {
        listener(config);
      } catch (error) {
        failures.push(error);
      }
    }
    // Not the writer's fault: his change is durable. It surfaces as an uncaught error, after everybody was
    // told.
    if (failures.length > 0) queueMicrotask(() => { throw failures[0]; });
  }
}
