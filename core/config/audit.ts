// Who changed what, or tried to: one record for each request that was meant to change something.
import type { Kind } from './resource.ts';

/** Older ones are forgotten. */
export const keptRecords = 10_000;

export interface AuditedChange {
  readonly kind: Kind;
  readonly id: string;
  readonly outcome: 'created' | 'replaced' | 'deleted';
  /** Paths of what is different; never a value. */
  readonly changed: readonly string[];
}

/** Plain data without values, so without secrets. */
export interface AuditRecord {
  /** Of the request: a second record with it replaces the first. */
  readonly id: string;
  /** Unix milliseconds at which the request came. */
  readonly time: number;
  /** Name of the key. */
  readonly who: string;
  readonly address: string;
  readonly method: string;
  /** Without the query, which may hold the key. */
  readonly path: string;
  readonly outcome: 'done' | 'refused' | 'failed' | 'taken back';
  /** The store's, of the change. */
  readonly revision?: number;
  readonly changes: readonly AuditedChange[];
  /** How many changes there were, if they are not all listed. */
  readonly more?: number;
  /** What was answered. */
  readonly status?: number;
  readonly error?: string;
}

export interface KeptRecord extends AuditRecord {
  /** Grows with each record; pages go by it. */
  readonly number: number;
}

export interface AuditPage {
  /** Below this number. */
  readonly before?: number;
  readonly limit: number;
}

export interface AuditLog {
  /** Durable when it resolves. Rejects with STORE_FAILED. */
  keep(record: AuditRecord): Promise<void>;
  /** Newest first. */
  list(page: AuditPage): Promise<readonly KeptRecord[]>;
}

/** Forgets at exit. */
export class MemoryAudit implements AuditLog {
  readonly #records: KeptRecord[] = [];
  #number = 0;

  async keep(record: AuditRecord): Promise<void> {
    const at = this.#records.findIndex(({ id }) => id === record.id);
    if (at >= 0) {
      this.#records[at] = { ...record, number: this.#records[at]!.number };
      return;
    }
    this.#records.unshift({ ...record, number: ++this.#number });
    if (this.#records.length > keptRecords) this.#records.pop();
  }

  async list({ before = Infinity, limit }: AuditPage): Promise<readonly KeptRecord[]> {
    return this.#records.filter(({ number }) => number < before).slice(0, limit);
  }
}
