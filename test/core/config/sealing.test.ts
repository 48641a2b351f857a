// Values at rest, as they lie in the store's file.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SqliteStore } from '../../../core/config/sqlite-store.ts';
import { testStore } from '../../contract/stores.ts';

let folder = '';
let path = '';
let keyFile = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-sealed-'));
  [path, keyFile] = [join(folder, 'a.db'), join(folder, 'keys', 'a.key')];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

testStore({
  name: 'sealed SQLite',
  open: async (time) => SqliteStore.open({ path: join(folder, `${Math.random()}.db`), keyFile, time, keptVersions: 10 }),
});

const secret = 'correct-horse-battery-staple';
const upstream = { nodes: { 'a:1': 1 }, auth: { password: secret } };
const key = (): string => randomBytes(32).toString('base64');
const inFiles = (text: string): string[] =>
  readdirSync(folder).filter((name) => name.startsWith('a.db')).filter((name) => readFileSync(join(folder, name)).includes(text));
async function filled(options: { keyFile?: string } = {}): Promise<void> {
  const store = SqliteStore.open({ path, ...options });
  await store.put('upstreams', 'u', { ...upstream, desc: 'before' });
  await store.put('upstreams', 'u', upstream);
  expect(inFiles(secret)).toHaveLength(options.keyFile === undefined ? 1 : 0);
  await store.close();
}
async function found(options: { keyFile?: string }): Promise<unknown> {
  const store = SqliteStore.open({ path, ...options });
  try {
    const { versions } = await store.history();
    return [store.get('upstreams', 'u')?.value, versions.map(({ before }) => before)];
  } finally {
    await store.close();
  }
}
const all = [upstream, [{ ...upstream, desc: 'before' }, null]];

test('SR-13: neither values nor their history can be read in the file; the key is private to its owner', async () => {
  await filled({ keyFile });
  expect(inFiles(secret)).toEqual([]);
  expect(statSync(keyFile).mode & 0o777).toBe(0o600);
  expect(await found({ keyFile })).toEqual(all);
});

test('a store that was never sealed is sealed when it is opened, and nothing readable is left', async () => {
  await filled();
  expect(inFiles(secret)).toHaveLength(1);
  expect(await found({ keyFile })).toEqual(all);
  expect(inFiles(secret)).toEqual([]);
  expect(await found({ keyFile })).toEqual(all);
});

test('a new key in front of the old one takes over; then the old one is not needed any more', async () => {
  await filled({ keyFile });
  const [old, next] = [readFileSync(keyFile, 'utf8').trim(), key()];
  writeFileSync(keyFile, `# new\n${next}\n${old}\n`);
  expect(await found({ keyFile })).toEqual(all);
  writeFileSync(keyFile, `${next}\n`);
  expect(await found({ keyFile })).toEqual(all);
});

test('without its key a sealed store is refused with a text, and no new key is made', async () => {
  await filled({ keyFile });
  rmSync(keyFile);
  await expect(found({ keyFile })).rejects.toThrow(/a\.key: expected the file with the key that the store was written with, got none/);
  expect(existsSync(keyFile)).toBe(false);
  writeFileSync(keyFile, key());
  await expect(found({ keyFile })).rejects.toThrow(/expected the key that the store was written with, got others/);
  await expect(found({})).rejects.toThrow(/sealed, and there is no key file/);
  writeFileSync(keyFile, 'c2hvcnQ=\n');
  await expect(found({ keyFile })).rejects.toThrow(/expected key 1 of 32 bytes in base64, got 5 bytes/);
});

test('a value that was moved to another resource, or changed, is refused', async () => {
  await filled({ keyFile });
  const change = (sql: string): void => {
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
  };
  change("UPDATE resources SET id = 'v'");
  await expect(found({ keyFile })).rejects.toThrow(/upstreams\/v: the value was damaged or exchanged/);
  change("UPDATE resources SET id = 'u', value = substr(value, 1, 60) || 'AAAA' || substr(value, 65)");
  await expect(found({ keyFile })).rejects.toThrow(/upstreams\/u: the value was damaged or exchanged/);
});
