import { MemoryAudit, type AuditRecord } from './audit.ts';
import type { Kind } from './resource.ts';
import { emptyConfig, type History, type HistoryPage, type Version } from './source.ts';
import { LocalStore, unixTime, versionOf, type Change, type UnixTime } from './store.ts';

/** A store that forgets at exit: for tests, and for running from a file alone. */
export class MemoryStore extends LocalStore {
  readonly audit = new MemoryAudit();
  readonly #versions: Version[] = [];
  readonly #kept: number;

  constructor(options: { readonly time?: UnixTime; readonly keptVersions?: number } = {}) {
    super(emptyConfig(), options.time ?? unixTime);
    this.#kept = options.keptVersions ?? 1000;
  }

  protected persist(revision: number, changes: readonly Change[], record: AuditRecord | undefined): void {
    for (const change of changes) this.#versions.unshift(versionOf(change));
    while (this.#versions.length > 0 && this.#versions.at(-1)!.revision <= revision - this.#kept) this.#versions.pop();
    if (record !== undefined) void this.audit.keep(record);
  }

  protected past(
    of: { readonly kind: Kind; readonly id: string } | undefined, { before = Infinity, after = 0, limit = Infinity }: HistoryPage,
  ): History {
    const mine = this.#versions.filter(({ kind, id, revision }) => revision < before && revision > after
      && (of === undefined || (of.kind === kind && of.id === id)));
    const last = mine[limit - 1]?.revision ?? 0;
    return {
      since: Math.max(0, this.config.revision - this.#kept), versions: mine.filter(({ revision }) => revision >= last),
    };
  }

  async close(): Promise<void> {
    // Nothing is held.
  }
}
