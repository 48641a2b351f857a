// The embedded store: one SQLite file. An acknowledged write is on the disk (WAL, every commit synchronised);
// a write that fails leaves file and memory as they were.
import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { ProxyError } from '../errors.ts';
import { keptRecords, type AuditLog, type AuditPage, type AuditRecord, type KeptRecord } from './audit.ts';
import { readableCopy, removeCopy } from './readable-copy.ts';
import { isKind, type Kind, type Resource, type Value } from './resource.ts';
import { Sealing, unsealed } from './sealing.ts';
import { emptyResources, frozenResource, type Config, type History, type HistoryPage, type Version } from './source.ts';
import { LocalStore, unixTime, type Change, type UnixTime } from './store.ts';

export interface SqliteStoreOptions {
  readonly path: string;
  readonly time?: UnixTime;
  /** Past versions kept over all resources; default 1000. */
  readonly keptVersions?: number;
  /** The file grows no further; default 1 GiB. */
  readonly maxBytes?: number;
  /** Values are sealed with the key in it, which is made where there is none. Absent: they are not. */
  readonly keyFile?: string;
}

type Seals = Pick<Sealing, 'seal' | 'open' | 'isCurrent'>;

const schemaVersion = 3;
const pageBytes = 4096;

// Added by format 3.
const auditTable = `
  CREATE TABLE audit (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, record TEXT NOT NULL) STRICT;
`;

const tables = `
  CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO state VALUES ('revision', 0);
  CREATE TABLE resources (
    kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL,
    created_index INTEGER NOT NULL, modified_index INTEGER NOT NULL,
    create_time INTEGER NOT NULL, update_time INTEGER NOT NULL, expires_at INTEGER,
    PRIMARY KEY (kind, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE history (
    revision INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT, before TEXT, time INTEGER NOT NULL,
    expires_at INTEGER, before_expires_at INTEGER,
    PRIMARY KEY (revision, kind, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX history_of ON history (kind, id, revision);
  ${auditTable}
`;

/** What brings a file from a format to the next one. */
const steps: Readonly<Record<number, string>> = {
  0: tables,
  // What was before a change was not kept in format 1: history begins anew.
  1: `
    ALTER TABLE resources ADD COLUMN expires_at INTEGER;
    DROP TABLE history;
    CREATE TABLE history (
      revision INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT, before TEXT, time INTEGER NOT NULL,
      PRIMARY KEY (revision, kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX history_of ON history (kind, id, revision);
    INSERT INTO state SELECT 'history_since', value FROM state WHERE name = 'revision';
  `,
  2: `
    ALTER TABLE history ADD COLUMN expires_at INTEGER;
    ALTER TABLE history ADD COLUMN before_expires_at INTEGER;
    ${auditTable}
  `,
};

export class SqliteStore extends LocalStore {
  readonly #db: DatabaseSync;
  readonly #kept: number;
  readonly #statements: Statements;
  /** Where the file was copied to, because it may only be read; null: it is written. */
  readonly #copy: string | null;
  readonly #seals: Seals;
  #open = true;
  readonly audit: AuditLog = {
    keep: async (record) => this.#transaction(() => this.#keep(record)),
    list: async (page) => this.#records(page),
  };

  private constructor(db: DatabaseSync, config: Config, options: SqliteStoreOptions, copy: string | null, seals: Seals) {
    super(config, options.time ?? unixTime);
    this.#db = db;
    this.#kept = options.keptVersions ?? 1000;
    this.#statements = prepare(db);
    this.#copy = copy;
    this.#seals = seals;
  }

  /**
   * Opens or creates the file. One that may only be read is served, and every write refused. Throws STORE_FAILED with
   * the path when it is unusable or in use by another process.
   */
  static open(options: SqliteStoreOptions): SqliteStore {
    let copy: string | null = null;
    try {
      copy = readableCopy(options.path);
      if (copy === null) createPrivately(options.path);
      const db = new DatabaseSync(copy ?? options.path, { timeout: 2000 });
      try {
        configure(db, options.maxBytes ?? 1024 ** 3);
        const seals = sealsFor(db, options.keyFile, copy !== null);
        reseal(db, seals);
        return new SqliteStore(db, readConfig(db, seals), options, copy, seals);
      } catch (error) {
        db.close();
        throw error;
      }
    } catch (error) {
      if (copy !== null) removeCopy(copy);
      throw failure(error, `${options.path}: `);
    }
  }

  get readOnly(): boolean {
    return this.#copy !== null;
  }

  protected persist(revision: number, changes: readonly Change[], record: AuditRecord | undefined): void {
    this.#transaction(() => {
      for (const change of changes) this.#write(change);
      this.#statements.forget.run(revision - this.#kept);
      this.#statements.count.run(revision);
      if (record !== undefined) this.#keep(record);
    });
  }

  #records({ before = Number.MAX_SAFE_INTEGER, limit }: AuditPage): readonly KeptRecord[] {
    try {
      return this.#statements.records.all(before, limit).map((row) => (
        { ...JSON.parse(String(row['record'])) as AuditRecord, number: Number(row['number']) }));
    } catch (error) {
      throw failure(error, '');
    }
  }

  #keep(record: AuditRecord): void {
    this.#statements.keep.run(record.id, JSON.stringify(record));
    this.#statements.forgetRecords.run(keptRecords);
  }

  #transaction(work: () => void): void {
    if (!this.#open) throw new ProxyError('STORE_FAILED', 'the configuration store is closed');
    if (this.readOnly) throw new ProxyError('STORE_FAILED', 'the configuration store failed: it is read-only');
    try {
      this.#try(work);
    } catch (error) {
      // The past must not stand in the way of the present.
      if (!isFull(error) || !this.#forgetHalf()) throw failure(error, '');
      this.#transaction(work);
    }
  }

  #try(work: () => void): void {
    try {
      this.#db.exec('BEGIN IMMEDIATE');
      work();
      this.#db.exec('COMMIT');
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  /** The older half of history; false when it is not what fills the file up to its limit. */
  #forgetHalf(): boolean {
    const { page_count: pages } = this.#db.prepare('PRAGMA page_count').get() as { page_count: number };
    const { max_page_count: most } = this.#db.prepare('PRAGMA max_page_count').get() as { max_page_count: number };
    const { middle } = this.#statements.middle.get() as { middle: number | null };
    // Else it is the disk that is full: room for others, not for us.
    if (middle === null || pages < most / 2) return false;
    try {
      this.#try(() => {
        this.#statements.forget.run(middle);
        this.#statements.begin.run(middle);
      });
      return true;
    } catch {
      return false;
    }
  }

  #write({ revision, kind, id, resource, text, before, time }: Change): void {
    const { put, remove, remember } = this.#statements;
    if (resource === null || text === null) {
      remove.run(kind, id);
    } else {
      const { createdIndex, modifiedIndex, createTime = time, expiresAt = null } = resource;
      put.run(kind, id, this.#seals.seal(text, `${kind}/${id}`), createdIndex, modifiedIndex, createTime, time, expiresAt);
    }
    const seal = (value: string): string => this.#seals.seal(value, `${kind}/${id}`);
    remember.run(
      revision, kind, id, text === null ? null : seal(text), before === undefined ? null : seal(JSON.stringify(before.value)), time,
      resource?.expiresAt ?? null, before?.expiresAt ?? null);
  }

  // A full disk may have ended the transaction already; a second ROLLBACK would hide the reason.
  #rollBack(): void {
    try {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
    } catch {
      // The next write reports what is wrong with the file.
    }
  }

  protected past(of: Of | undefined, { before = Number.MAX_SAFE_INTEGER, after = 0, limit }: HistoryPage): History {
    try {
      const { past, pastOf, cut, cutOf, since } = this.#statements;
      const last = limit === undefined ? undefined
        : of === undefined ? cut.get(before, limit - 1) : cutOf.get(before, of.kind, of.id, limit - 1);
      const from = Math.max(after, Number(last?.['revision'] ?? 0) - 1);
      const rows = of === undefined ? past.all(before, from) : pastOf.all(before, from, of.kind, of.id);
      const began = Number(since.get()?.['value'] ?? 0);
      return { since: Math.max(began, this.config.revision - this.#kept), versions: rows.map((row) => versionOf(row, this.#seals)) };
    } catch (error) {
      throw failure(error, '');
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#db.close();
    if (this.#copy !== null) removeCopy(this.#copy);
  }
}

type Of = { readonly kind: Kind; readonly id: string };
type Statements = Readonly<Record<
  | 'put' | 'remove' | 'remember' | 'forget' | 'count' | 'past' | 'pastOf' | 'cut' | 'cutOf' | 'since'
  | 'middle' | 'begin' | 'keep' | 'forgetRecords' | 'records', StatementSync>>;

function prepare(db: DatabaseSync): Statements {
  const changes = 'FROM history WHERE revision < ?';
  const newest = 'ORDER BY revision DESC, kind, id';
  return {
    put: db.prepare('INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?, ?, ?, ?)'),
    remove: db.prepare('DELETE FROM resources WHERE kind = ? AND id = ?'),
    remember: db.prepare('INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)'),
    forget: db.prepare('DELETE FROM history WHERE revision <= ?'),
    count: db.prepare("UPDATE state SET value = ? WHERE name = 'revision'"),
    past: db.prepare(`SELECT * ${changes} AND revision > ? ${newest}`),
    pastOf: db.prepare(`SELECT * ${changes} AND revision > ? AND kind = ? AND id = ? ${newest}`),
    cut: db.prepare(`SELECT revision ${changes} ${newest} LIMIT 1 OFFSET ?`),
    cutOf: db.prepare(`SELECT revision ${changes} AND kind = ? AND id = ? ${newest} LIMIT 1 OFFSET ?`),
    since: db.prepare("SELECT value FROM state WHERE name = 'history_since'"),
    middle: db.prepare('SELECT (min(revision) + max(revision)) / 2 AS middle FROM history'),
    begin: db.prepare("INSERT OR REPLACE INTO state VALUES ('history_since', ?)"),
    keep: db.prepare(
      'INSERT INTO audit (id, record) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record'),
    forgetRecords: db.prepare('DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?'),
    records: db.prepare('SELECT number, record FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?'),
  };
}

function versionOf(row: Readonly<Record<string, unknown>>, seals: Seals): Version {
  const valueOf = (text: unknown): Value | null =>
    (typeof text === 'string' ? JSON.parse(seals.open(text, placeOf(row))) as Value : null);
  const { expires_at: end, before_expires_at: beforeEnd } = row;
  return {
    revision: Number(row['revision']), kind: String(row['kind']) as Kind, id: String(row['id']), time: Number(row['time']),
    value: valueOf(row['value']), before: valueOf(row['before']),
    ...(end === null ? {} : { expiresAt: Number(end) }),
    ...(beforeEnd === null ? {} : { beforeExpiresAt: Number(beforeEnd) }),
  };
}

function placeOf(row: Readonly<Record<string, unknown>>): string {
  return `${String(row['kind'])}/${String(row['id'])}`;
}

/** A new key is made only where nothing was sealed yet: a lost one must not be replaced by one that opens nothing. */
function sealsFor(db: DatabaseSync, keyFile: string | undefined, readOnly: boolean): Seals {
  if (keyFile === undefined) return unsealed;
  const [{ sealed }] = db.prepare("SELECT count(*) AS sealed FROM resources WHERE value LIKE 'sealed:%'").all() as [{ sealed: number }];
  if (readOnly && sealed === 0) return unsealed;
  return Sealing.open(keyFile, sealed === 0);
}

/** After the first key changed, or where values were never sealed: what they were is overwritten. */
function reseal(db: DatabaseSync, seals: Seals): void {
  db.exec('PRAGMA secure_delete = ON');
  try {
    resealAll(db, seals);
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    // Sealed values are larger. What is there stays readable, and is sealed when it is written next.
    if (!isFull(error)) throw error;
  }
}

function resealAll(db: DatabaseSync, seals: Seals): void {
  let changed = false;
  for (const [table, columns] of [['resources', ['value']], ['history', ['value', 'before']]] as const) {
    for (const column of columns) {
      const key = table === 'history' ? 'revision = ? AND kind = ? AND id = ?' : 'kind = ? AND id = ?';
      const update = db.prepare(`UPDATE ${table} SET ${column} = ? WHERE ${key}`);
      for (const row of db.prepare(`SELECT * FROM ${table} WHERE ${column} IS NOT NULL`).all()) {
        const text = String(row[column]);
        if (seals.isCurrent(text)) continue;
        if (!changed) db.exec('BEGIN IMMEDIATE');
        changed = true;
        const names = [String(row['kind']), String(row['id'])];
        const sealed = seals.seal(seals.open(text, placeOf(row)), placeOf(row));
        update.run(sealed, ...(table === 'history' ? [Number(row['revision'])] : []), ...names);
      }
    }
  }
  if (changed) db.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE);');
}

// The file holds passwords of upstreams: nobody but the owner reads it. SQLite gives its side files the same
// mode.
function createPrivately(path: string): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  closeSync(openSync(path, 'a', 0o600));
  chmodSync(path, 0o600);
  const handle = openSync(folder, 'r');
  fsyncSync(handle);
  closeSync(handle);
}

function configure(db: DatabaseSync, maxBytes: number): void {
  // Exclusive: a second process on the same file would serve a configuration that it never hears changes of.
  db.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA locking_mode = EXCLUSIVE;`);
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
  db.exec(`PRAGMA max_page_count = ${Math.max(16, Math.floor(maxBytes / pageBytes))}`);
  db.exec('BEGIN IMMEDIATE; COMMIT');
  const check = Object.values(db.prepare('PRAGMA quick_check(1)').get() ?? {})[0];
  if (check !== 'ok') {
    throw new ProxyError('STORE_FAILED', `the configuration store is damaged: ${String(check)}`);
  }
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > schemaVersion) {
    throw new ProxyError('STORE_FAILED', 'the configuration store was written by a newer Millrace '
      + `(format ${version}, this one reads up to ${schemaVersion})`);
  }
  migrate(db, version);
}

function migrate(db: DatabaseSync, from: number): void {
  if (from === schemaVersion) return;
  db.exec('BEGIN IMMEDIATE');
  // A new file gets everything at once.
  for (let version = from; version < schemaVersion; version = version === 0 ? schemaVersion : version + 1) {
    db.exec(steps[version]!);
  }
  db.exec(`PRAGMA user_version = ${schemaVersion}; COMMIT`);
}

function readConfig(db: DatabaseSync, seals: Seals): Config {
  const resources = emptyResources() as Record<Kind, Map<string, Resource>>;
  for (const row of db.prepare('SELECT * FROM resources ORDER BY created_index').all()) {
    const kind = String(row['kind']);
    // A kind of a newer version stays in the file and is not shown.
    if (!isKind(kind)) continue;
    const id = String(row['id']);
    resources[kind].set(id, frozenResource({
      kind, id, origin: 'store', value: JSON.parse(seals.open(String(row['value']), placeOf(row))) as Value,
      createdIndex: Number(row['created_index']), modifiedIndex: Number(row['modified_index']),
      createTime: Number(row['create_time']), updateTime: Number(row['update_time']),
      ...(row['expires_at'] === null ? {} : { expiresAt: Number(row['expires_at']) }),
    }));
  }
  const state = db.prepare("SELECT value FROM state WHERE name = 'revision'").get();
  return { revision: Number(state?.['value'] ?? 0), resources };
}

// SQLite's primary result codes that an operator can act on.
const reasons: Readonly<Record<number, string>> = {
  5: 'it is in use by another process',
  8: 'it is read-only',
  10: 'reading or writing failed',
  11: 'it is damaged',
  13: 'the disk is full, or the size limit of the store is reached',
  14: 'it could not be opened',
  26: 'it is not a database',
};

function isFull(error: unknown): boolean {
  return ((error as { errcode?: number }).errcode ?? 0) % 256 === 13;
}

function failure(error: unknown, place: string): ProxyError {
  if (error instanceof ProxyError) {
    return new ProxyError(error.code, `${place}${error.message}`, { cause: error });
  }
  const { errcode, code, message } = error as { errcode?: number; code?: string; message?: string };
  const known = errcode === undefined ? undefined : reasons[errcode & 0xff];
  const reason = known ?? `${code ?? 'error'}: ${message ?? 'unknown'}`;
  const text = `${place}the configuration store failed: ${reason}`;
  return new ProxyError('STORE_FAILED', text, { cause: error });
}
