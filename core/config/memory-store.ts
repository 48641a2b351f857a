import { keptRecords, type AuditPage, type AuditRecord, type KeptRecord } from './audit.ts';
import type { Kind } from './resource.ts';
import { emptyConfig, type History, type HistoryPage, type Version } from './source.ts';
import { LocalStore, unixTime, versionOf, type Change, type UnixTime } from './store.ts';

/** A store that forgets at exit: for tests, and for running from a file alone. */
export class MemoryStore extends LocalStore {
  readonly #versions: Version[] = [];
  readonly #records: KeptRecord[] = [];
  readonly #kept: number;

  constructor(options: { readonly time?: UnixTime; readonly keptVersions?: number } = {}) {
    super(emptyConfig(), options.time ?? unixTime);
    this.#kept = options.keptVersions ?? 1000;
  }

  protected persist(revision: number, changes: readonly Change[], record: AuditRecord | undefined): void {
    for (const change of changes) this.#versions.unshift(versionOf(change));
    while (this.#versions.length > 0 && this.#versions.at(-1)!.revision <= revision - this.#kept) this.#versions.pop();
    if (record !== undefined) this.keepRecord(record);
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

  protected keepRecord(record: AuditRecord): void {
    const at = this.#records.findIndex(({ id }) => id === record.id);
    const number = at >= 0 ? this.#records[at]!.number : (this.#records[0]?.number ?? 0) + 1;
    if (at >= 0) this.#records[at] = { ...record, number };
    else this.#records.unshift({ ...record, number });
    if (this.#records.length > keptRecords) this.#records.pop();
  }

  protected records({ before = Infinity, limit }: AuditPage): readonly KeptRecord[] {
    return this.#records.filter(({ number }) => number < before).slice(0, limit);
  }

  async close(): Promise<void> {
    // Nothing is held.
  }
}
