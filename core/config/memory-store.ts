import type { Kind } from './resource.ts';
import { emptyConfig, type History, type Version } from './source.ts';
import { LocalStore, unixTime, type Change, type UnixTime } from './store.ts';

/** A store that forgets at exit: for tests, and for running from a file alone. */
export class MemoryStore extends LocalStore {
  readonly #versions: Version[] = [];
  readonly #kept: number;

  constructor(options: { readonly time?: UnixTime; readonly keptVersions?: number } = {}) {
    super(emptyConfig(), options.time ?? unixTime);
    this.#kept = options.keptVersions ?? 1000;
  }

  protected persist(revision: number, changes: readonly Change[]): void {
    for (const { kind, id, resource, before, time } of changes) {
      this.#versions.unshift({ revision, kind, id, value: resource?.value ?? null, before: before?.value ?? null, time });
    }
    while (this.#versions.length > 0 && this.#versions.at(-1)!.revision <= revision - this.#kept) this.#versions.pop();
  }

  protected past(of?: { readonly kind: Kind; readonly id: string }): History {
    const mine = this.#versions.filter(({ kind, id }) => of === undefined || (of.kind === kind && of.id === id));
    return { since: Math.max(0, this.config.revision - this.#kept), versions: mine };
  }

  async close(): Promise<void> {
    // Nothing is held.
  }
}
