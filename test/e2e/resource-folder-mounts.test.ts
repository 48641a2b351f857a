// A folder as others leave it: mounted, swapped, away, full of what editors write.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ids, ping, ready, ResourceFolder, routes, settled, until, upstreams } from '../support/resource-folder.ts';

let folder: ResourceFolder;
beforeEach(() => { folder = new ResourceFolder(); });
afterEach(() => folder[Symbol.dispose]());

test('a folder that is away, even for long, changes nothing; empty again it means nothing', async () => {
  writeFileSync(folder.file('a.json'), routes('kept'));
  await using proxy = await folder.start();
  renameSync(folder.path, join(folder.root, 'away'));
  await expect.poll(() => folder.wrong(proxy), { timeout: 8000 }).toEqual(expect.arrayContaining([expect.stringContaining('no such file')]));
  await settled();
  expect([await ping(proxy), await ready(proxy)]).toEqual(['kept', 200]);
  mkdirSync(folder.path);
  await until(proxy, 'PONG');
  rmSync(folder.path, { recursive: true });
  renameSync(join(folder.root, 'away'), folder.path);
  await until(proxy, 'kept');
});

test('a ConfigMap: links over a link that is swapped; keys come, change and go in one swap each', async () => {
  let version = 0;
  const mount = (keys: Record<string, string>): void => {
    const name = `..2026_${++version}`;
    mkdirSync(folder.file(name));
    for (const [key, text] of Object.entries(keys)) writeFileSync(folder.file(`${name}/${key}`), text);
    symlinkSync(name, folder.file('..data_tmp'));
    renameSync(folder.file('..data_tmp'), folder.file('..data'));
    const shown = readdirSync(folder.path).filter((each) => !each.startsWith('..'));
    for (const key of Object.keys(keys)) if (!shown.includes(key)) symlinkSync(`..data/${key}`, folder.file(key));
    for (const key of shown) if (!Object.hasOwn(keys, key)) unlinkSync(folder.file(key));
    if (version > 1) rmSync(folder.file(`..2026_${version - 1}`), { recursive: true });
  };
  mount({ 'routes.json': routes('v1'), 'upstreams.yaml': 'upstreams: [{ id: u, type: memory }]\n#END\n' });
  await using proxy = await folder.start();
  expect([await ping(proxy), await ids(proxy)]).toEqual(['v1', ['u']]);
  mount({ 'routes.json': routes('v2'), 'upstreams.yaml': 'upstreams: [{ id: v, type: memory }]\n#END\n' });
  await until(proxy, 'v2');
  await expect.poll(() => ids(proxy), { timeout: 8000 }).toEqual(['v']);
  mount({ 'routes.json': routes('v3'), 'more.json': upstreams('w') });
  await until(proxy, 'v3');
  await expect.poll(() => ids(proxy), { timeout: 8000 }).toEqual(['w']);
  expect(folder.wrong(proxy)).toEqual([]);
  // The key is gone, its link is not: that is a mistake, and what stood there stays.
  unlinkSync(folder.file('..data/more.json'));
  await expect.poll(() => folder.wrong(proxy), { timeout: 8000 }).toEqual([expect.stringContaining('more.json: ENOENT')]);
  await settled();
  expect(await ids(proxy)).toEqual(['w']);
});

test('a folder that is a link is followed to wherever it leads next, as releases are switched', async () => {
  const release = (name: string, files: Record<string, string>): void => {
    mkdirSync(join(folder.root, name));
    for (const [key, text] of Object.entries(files)) writeFileSync(join(folder.root, name, key), text);
    symlinkSync(name, join(folder.root, 'next'));
    renameSync(join(folder.root, 'next'), folder.path);
  };
  rmSync(folder.path, { recursive: true });
  release('v1', { 'a.json': routes('v1'), 'b.json': upstreams('u') });
  await using proxy = await folder.start();
  expect([await ping(proxy), await ids(proxy)]).toEqual(['v1', ['u']]);
  release('v2', { 'a.json': routes('v2'), 'c.json': upstreams('v', 'w') });
  await until(proxy, 'v2');
  await expect.poll(() => ids(proxy), { timeout: 8000 }).toEqual(['v', 'w']);
  // Back: the same files as before.
  symlinkSync('v1', join(folder.root, 'next'));
  renameSync(join(folder.root, 'next'), folder.path);
  await until(proxy, 'v1');
  await expect.poll(() => ids(proxy), { timeout: 8000 }).toEqual(['u']);
  expect(folder.wrong(proxy)).toEqual([]);
});

test('what editors leave, what is no file and what has another ending is not read', async () => {
  const nonsense = 'nonsense: [';
  const leave = (): void => {
    for (const name of ['.a.json.swp', '.#a.json', '#a.json#', 'a.json~', 'a.json.tmp', 'a.json___jb_tmp___', '4913', 'sedQx3', 'a.json.bak', 'README.md']) {
      writeFileSync(folder.file(name), nonsense);
    }
  };
  writeFileSync(folder.file('a.json'), routes('one'));
  leave();
  mkdirSync(folder.file('more.yaml'));
  execFileSync('mkfifo', [folder.file('pipe.yaml')]);
  await using proxy = await folder.start();
  expect([await ping(proxy), await ready(proxy)]).toEqual(['one', 200]);
  // As vim saves: the old one is moved away, the new one written under the name.
  renameSync(folder.file('a.json'), folder.file('a.json~'));
  writeFileSync(folder.file('a.json'), routes('two'));
  leave();
  await until(proxy, 'two');
  await settled();
  expect([await ping(proxy), folder.wrong(proxy)]).toEqual(['two', []]);
});

test('more files than may be watched are refused as a whole', async () => {
  for (let n = 0; n <= 1000; n++) writeFileSync(folder.file(`${n}.json`), '{}');
  await using proxy = await folder.start();
  expect([await ready(proxy), folder.wrong(proxy)]).toEqual([503, ['conf.d: expected at most 1000 resources files, got 1001; the last good configuration stays']]);
});
