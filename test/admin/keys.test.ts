import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createAdmin } from '../../admin/server.ts';
import { AdminKeys, wellKnownKeys } from '../../admin/keys.ts';
import { MemoryStore } from '../../core/config/memory-store.ts';
import { silentLogger } from '../../core/log.ts';
import { FakePlane, registry, startAdmin, temporaryFolder } from './admin.ts';

const local = '127.0.0.1';

test('without a key one of 32 random bytes is made in a file that only the owner reads', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'data', 'deep', 'admin.key');
  const keys = AdminKeys.open({ address: local, key_file: file });
  const text = readFileSync(file, 'utf8');
  expect(text).toMatch(/^[0-9a-f]{64}\n$/);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder.path, 'data')).mode & 0o777).toBe(0o700);
  expect([keys.file, keys.generated, keys.warnings]).toEqual([file, true, []]);
  const candidates = [text.trim(), `${text.trim()}0`, ''];
  expect(candidates.map((each) => keys.find(each)?.name ?? null)).toEqual(['admin', null, null]);
  expect(JSON.stringify(keys)).not.toContain(text.trim());
});

test('the next start takes the same key, two folders have different ones', () => {
  using folder = temporaryFolder();
  const [a, b] = [join(folder.path, 'a.key'), join(folder.path, 'b.key')];
  AdminKeys.open({ address: local, key_file: a });
  const key = readFileSync(a, 'utf8').trim();
  const again = AdminKeys.open({ address: local, key_file: a });
  expect([again.find(key)?.name, again.generated]).toEqual(['admin', false]);
  AdminKeys.open({ address: local, key_file: b });
  expect(readFileSync(b, 'utf8').trim()).not.toBe(key);
});

test('a key of the settings makes no file', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'admin.key');
  const key = '0123456789abcdef';
  expect(AdminKeys.open({ address: local, key, key_file: file }).find(key)?.name).toBe('admin');
  expect(existsSync(file)).toBe(false);
});

test('an empty or short key, in settings or file, refuses to start and is not repeated', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'admin.key');
  for (const key of ['', 'S3CR3T', ' '.repeat(20)]) {
    writeFileSync(file, `${key}\n`);
    for (const settings of [{ address: local, key, key_file: 'none' }, { address: local, key_file: file }]) {
      expect(() => AdminKeys.open(settings)).toThrow(/expected a key of 16\.\.1024 visible characters, got/);
      expect(() => AdminKeys.open(settings)).not.toThrow(/S3CR3T/);
    }
  }
});

test('a key that everybody knows is refused, and only warned about on loopback', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'admin.key');
  for (const key of wellKnownKeys) {
    writeFileSync(file, key, { mode: 0o600 });
    for (const settings of [{ key, key_file: 'none' }, { key_file: file }]) {
      expect(AdminKeys.open({ address: local, ...settings }).warnings).toHaveLength(1);
      for (const address of ['0.0.0.0', '::', '10.0.0.1']) {
        expect(() => AdminKeys.open({ address, ...settings })).toThrow(/publicly known/);
      }
    }
  }
});

test('a key file that others can read is warned about', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'admin.key');
  writeFileSync(file, '0123456789abcdef');
  chmodSync(file, 0o644);
  expect(AdminKeys.open({ address: local, key_file: file }).warnings)
    .toEqual([`${file}: the admin key can be read by others (mode 644, expected 600)`]);
});

test('a key file that cannot be made says its path', () => {
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, 'data'), '');
  const file = join(folder.path, 'data', 'admin.key');
  expect(() => AdminKeys.open({ address: local, key_file: file }))
    .toThrow(`${file}: the admin key file cannot be used`);
});

test('a port in use is told with its address', async () => {
  await using first = await startAdmin();
  const store = new MemoryStore();
  const second = createAdmin({
    settings: { address: local, port: first.admin.port, body_limit_bytes: 1000 },
    keys: AdminKeys.open({ address: local, key: '0123456789abcdef', key_file: 'none' }), store, config: store, plane: new FakePlane(), registry,
    references: {
      checkPlugin: () => [], checkMetadata: () => [], checkProtocol: () => [], checkExpression: () => [],
    },
    log: silentLogger,
  });
  await expect(second).rejects.toMatchObject({
    code: 'LISTEN_FAILED', message: `admin 127.0.0.1:${first.admin.port}: could not listen: EADDRINUSE`,
  });
});
