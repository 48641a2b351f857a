import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SqliteStore } from '../../../core/config/sqlite-store.ts';
import { ProxyError } from '../../../core/errors.ts';
import { testStore } from '../../contract/stores.ts';

let folder = '';
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'millrace-store-')); });
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const writer = new URL('sqlite-writer.ts', import.meta.url).pathname;
const node = process.execPath;

testStore({
  name: 'SQLite',
  open: async (time) => SqliteStore.open({ path: join(folder, `${Math.random()}.db`), time,
    keptVersions: 10 }),
});

test('a store that is opened again shows everything, with its revision', async () => {
  const path = join(folder, 'a.db');
  const first = SqliteStore.open({ path });
  await first.put('upstreams', 'a', { type: 'memory' });
  await first.put('stream_routes', 'r', { upstream_id: 'a' });
  await first.delete('stream_routes', 'r');
  const before = first.config;
  await first.close();
  const second = SqliteStore.open({ path });
  expect(second.config).toEqual(before);
  expect((await second.put('upstreams', 'b', {})).resource?.modifiedIndex).toBe(4);
  await second.close();
});

test('file and folder are the owner\'s alone, also when the file was open to others before', async () => {
  const path = join(folder, 'deep', 'er', 'a.db');
  const store = SqliteStore.open({ path });
  await store.put('upstreams', 'a', {});
  expect([path, `${path}-wal`].map((file) => statSync(file).mode & 0o777)).toEqual([0o600, 0o600]);
  expect(statSync(join(folder, 'deep', 'er')).mode & 0o777).toBe(0o700);
  await store.close();
  const other = join(folder, 'b.db');
  writeFileSync(other, '', { mode: 0o644 });
  await SqliteStore.open({ path: other }).close();
  expect(statSync(other).mode & 0o777).toBe(0o600);
});

test('a second process cannot open a store that is in use', async () => {
  const path = join(folder, 'a.db');
  const store = SqliteStore.open({ path });
  expect(() => SqliteStore.open({ path })).toThrow(/a\.db: .*in use by another process/);
  await store.close();
  await SqliteStore.open({ path }).close();
});

test.each([
  ['is no database', Buffer.from('this is not a database, and it is longer than a header is'.repeat(20)),
    /not a database/],
])('a file that %s is refused with its path and stays as it was', (_what, bytes, reason) => {
  const path = join(folder, 'bad.db');
  writeFileSync(path, bytes);
  expect(() => SqliteStore.open({ path })).toThrow(reason);
  expect(() => SqliteStore.open({ path })).toThrow(ProxyError);
  expect(readFileSync(path).equals(bytes)).toBe(true);
});

test('a store at its size limit refuses the write, keeps what it had and goes on', async () => {
  const path = join(folder, 'full.db');
  const store = SqliteStore.open({ path, maxBytes: 256 * 1024, keptVersions: 1 });
  await store.put('upstreams', 'a', { n: 1 });
  const before = store.config;
  const failure = await store.put('upstreams', 'big', { text: 'x'.repeat(400_000) }).catch((error: unknown) =>
    error);
  expect(failure).toMatchObject({ code: 'STORE_FAILED', message: expect.stringContaining('disk is full') });
  expect(store.config).toBe(before);
  expect((await store.put('upstreams', 'a', { n: 2 })).outcome).toBe('replaced');
  await store.close();
  const again = SqliteStore.open({ path });
  expect([again.get('upstreams', 'a')?.value, again.get('upstreams', 'big')]).toEqual([{ n: 2 }, undefined]);
  await again.close();
});

test('history makes room when the store reaches its size limit, and says since when it is known', async () => {
  const path = join(folder, 'small.db');
  const store = SqliteStore.open({ path, maxBytes: 1024 * 1024 });
  for (let n = 1; n <= 60; n++) await store.put('upstreams', 'a', { n, text: 'x'.repeat(50_000) });
  const { since, versions } = await store.history();
  expect(since).toBeGreaterThan(30);
  expect(versions.map(({ revision }) => revision)).toEqual(Array.from({ length: 60 - since }, (_, n) => 60 - n));
  expect(statSync(path).size).toBeLessThanOrEqual(1024 * 1024);
  await store.close();
  const again = SqliteStore.open({ path });
  expect([again.get('upstreams', 'a')?.value['n'], (await again.history()).since]).toEqual([60, since]);
  await again.close();
});

test('a write that the system refuses is STORE_FAILED, and everything acknowledged before is there',
  async () => {
  const path = join(folder, 'limited.db');
  // 300 blocks of 1 KiB: the write-ahead log cannot grow beyond.
  const child = spawn('bash', ['-c', `ulimit -f 300; trap '' XFSZ; exec "${node}" "${writer}" "${path}"`]);
  const out = await output(child);
  const failed = /failed (\S+) (\d+) (.*)/.exec(out);
  expect(failed?.[1]).toBe('STORE_FAILED');
  const acknowledged = out.split('\n').filter((line) => /^\d+$/.test(line)).map(Number);
  const store = SqliteStore.open({ path });
  expect(store.config.revision).toBe(acknowledged.length);
  expect(Number(failed?.[2])).toBe(acknowledged.length);
  await expectAll(store, acknowledged.length - 1);
  await store.close();
});

test('a closed store refuses to write', async () => {
  const store = SqliteStore.open({ path: join(folder, 'a.db') });
  await store.close();
  await expect(store.put('upstreams', 'a', {})).rejects.toMatchObject({ code: 'STORE_FAILED' });
});

test('a store of a newer format is refused', async () => {
  const path = join(folder, 'new.db');
  const { DatabaseSync } = await import('node:sqlite');
  const db = new DatabaseSync(path);
  db.exec('PRAGMA user_version = 99');
  db.close();
  expect(() => SqliteStore.open({ path })).toThrow(/newer Millrace \(format 99/);
});

test('after kill -9 at any moment the store opens and holds every acknowledged write', { timeout: 120_000 },
  async () => {
  const path = join(folder, 'crash.db');
  let next = 0;
  for (let round = 0; round < 30; round++) {
    const child = spawn(node, [writer, path, String(next)]);
    const ended = output(child);
    await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    child.kill('SIGKILL');
    const last = (await ended).split('\n').filter((line) =>
      /^\d+$/.test(line)).map(Number).at(-1) ?? next - 1;
    const store = SqliteStore.open({ path });
    // One write may have been durable and its acknowledgement lost with the process.
    const revision = store.config.revision;
    expect([last + 1, last + 2]).toContain(revision);
    await expectAll(store, revision - 1);
    next = revision;
    await store.close();
  }
  expect(next).toBeGreaterThan(30);
});

/** The store holds exactly what the writer's first writes 0…last left. */
async function expectAll(store: SqliteStore, last: number): Promise<void> {
  for (let n = Math.max(0, last - 19); n <= last; n++) {
    expect(store.get('upstreams', `u${n % 20}`)?.value).toEqual({ n, filler: 'x'.repeat(n % 3000) });
  }
  // Never a part of one change: all of the last one, and its record.
  if (last < 0) return;
  expect(store.get('services', 'last')).toMatchObject({ value: { n: last }, expiresAt: 4_000_000_000 + last });
  expect(store.list('stream_routes').map(({ id }) => id)).toEqual([`r${last}`]);
  expect(await store.audit.list({ limit: 1 })).toMatchObject([{ id: `a${last}`, revision: last + 1 }]);
}

async function output(child: ReturnType<typeof spawn>): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => { text += chunk.toString(); });
  await new Promise<void>((resolve) => child.once('close', () => resolve()));
  return text;
}

test('a store of the format before is taken over', async () => {
  const path = join(folder, 'old.db');
  const db = new DatabaseSync(path);
  db.exec(`
    CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO state VALUES ('revision', 5);
    CREATE TABLE resources (
      kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, created_index INTEGER NOT NULL,
      modified_index INTEGER NOT NULL, create_time INTEGER NOT NULL, update_time INTEGER NOT NULL, PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO resources VALUES ('upstreams', 'a', '{"type":"memory"}', 2, 5, 100, 200);
    CREATE TABLE history (
      revision INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT, time INTEGER NOT NULL
    ) STRICT;
    INSERT INTO history VALUES (5, 'upstreams', 'a', '{"type":"memory"}', 200);
    PRAGMA user_version = 1;
  `);
  db.close();
  for (const revision of [6, 7]) {
    const store = SqliteStore.open({ path });
    expect(store.get('upstreams', 'a')).toMatchObject({ value: { type: 'memory' }, createdIndex: 2, modifiedIndex: 5, createTime: 100 });
    expect(await store.write([{ kind: 'upstreams', id: 'b', value: { revision }, expiresAt: revision }])).toEqual({ outcome: 'written', revision });
    expect((await store.history()).since).toBe(5);
    await store.close();
  }
});
