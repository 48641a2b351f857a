import type { Kind } from './resource.ts';
import { emptyConfig, type Version } from './source.ts';
import { LocalStore, unixTime, type Change, type UnixTime } from './store.ts';

/** A store that forgets at exit: for tests, and for running from a file alone. */
export class MemoryStore extends LocalStore {
  readonly #versions: Version[] = [];
  readonly #kept: number;

  constructor(options: { readonly time?: UnixTime; readonly keptVersions?: number } = {}) {
    super(emptyConfig(), options.time ?? unixTime);
    this.#kept = options.keptVersions ?? 1000;
  }

  protected persist({ revision, kind, id, resource, time }: Change): void {
    this.#versions.unshift({ revision, kind, id, value: resource?.value ?? null, time });
    this.#versions.length = Math.min(this.#versions.length, this.#kept);
  }

  protected past(kind: Kind, id: string): readonly Version[] {
    return this.#versions.filter((version) => version.kind === kind && version.id === id);
  }

  async close(): Promise<void> {
    // Nothing is held.
  }
}
