// What can become of the files of a folder while Millrace runs.
import { mkdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ids, ping, ready, ResourceFolder, routes, settled, until, upstreams } from '../support/resource-folder.ts';
import { sleep } from '../support/sleep.ts';

let folder: ResourceFolder;
beforeEach(() => { folder = new ResourceFolder(); });
afterEach(() => folder[Symbol.dispose]());

test('an id in two files is told with both, once, and the next one takes its place when the first lets go', async () => {
  writeFileSync(folder.file('10.json'), routes('first'));
  writeFileSync(folder.file('20.json'), routes('second'));
  await using proxy = await folder.start();
  const text = 'conf.d/20.json: found duplicate id r in stream_routes, which stands in conf.d/10.json, too; the one there counts';
  expect([await ping(proxy), folder.wrong(proxy)]).toEqual(['first', [text]]);
  const status = async (): Promise<unknown> => (await proxy.call('GET', '/apisix/admin/configs/status')).body.file.problems;
  expect(await status()).toEqual([expect.stringContaining('20.json: found duplicate id r')]);
  writeFileSync(folder.file('20.json'), routes('changed'));
  await settled();
  expect([await ping(proxy), folder.wrong(proxy)]).toEqual(['first', [text]]);
  unlinkSync(folder.file('10.json'));
  await until(proxy, 'changed');
  expect(await status()).toEqual([]);
  writeFileSync(folder.file('10.json'), routes('back'));
  await until(proxy, 'back');
  expect(folder.wrong(proxy)).toEqual([text, text]);
});

test('a file that gets another name is the same, and one that is renamed over another replaces it', async () => {
  writeFileSync(folder.file('a.json'), routes('same'));
  writeFileSync(folder.file('u.json'), upstreams('u'));
  await using proxy = await folder.start();
  const before = (await proxy.call('GET', '/apisix/admin/stream_routes/r')).body.value;
  renameSync(folder.file('a.json'), folder.file('z.json'));
  for (let n = 0; n < 30; n++) {
    expect(await ping(proxy)).toBe('same');
    await sleep(50);
  }
  expect((await proxy.call('GET', '/apisix/admin/stream_routes/r')).body.value).toEqual(before);
  writeFileSync(folder.file('u.tmp'), upstreams('v', 'w'));
  renameSync(folder.file('u.tmp'), folder.file('u.json'));
  await expect.poll(() => ids(proxy), { timeout: 8000 }).toEqual(['v', 'w']);
  renameSync(folder.file('u.json'), folder.file('z.json'));
  await until(proxy, 'PONG');
  expect([await ids(proxy), folder.wrong(proxy)]).toEqual([['v', 'w'], []]);
});

test('a file that breaks keeps its last good version, one that comes broken has none, and neither makes it unready', async () => {
  writeFileSync(folder.file('a.json'), routes('good'));
  await using proxy = await folder.start();
  await settled();
  writeFileSync(folder.file('a.json'), routes('good').slice(0, 30));
  writeFileSync(folder.file('b.yaml'), 'upstreams: [');
  await expect.poll(() => folder.wrong(proxy).length, { timeout: 8000 }).toBe(2);
  expect(folder.wrong(proxy).toSorted()).toEqual([expect.stringMatching(/^conf\.d\/a\.json:1:\d+: unexpected end/), expect.stringMatching(/^conf\.d\/b\.yaml:\d+:\d+: /)]);
  expect([await ping(proxy), await ready(proxy), await ids(proxy)]).toEqual(['good', 200, []]);
  writeFileSync(folder.file('b.yaml'), 'upstreams: [{ id: u, type: memory }]\n');
  await expect.poll(() => ids(proxy), { timeout: 8000 }).toEqual(['u']);
  // A broken file that is taken out takes its last good version along.
  unlinkSync(folder.file('a.json'));
  await until(proxy, 'PONG');
});

test('a folder that is not there at the start is waited for', async () => {
  rmSync(folder.path, { recursive: true });
  await using proxy = await folder.start();
  expect([await ping(proxy), await ready(proxy), folder.wrong(proxy)]).toEqual(['PONG', 503, [expect.stringContaining('conf.d: ENOENT')]]);
  mkdirSync(folder.path);
  writeFileSync(folder.file('a.json'), routes('arrived'));
  await until(proxy, 'arrived');
  await expect.poll(() => ready(proxy), { timeout: 8000 }).toBe(200);
  expect(folder.wrong(proxy)).toHaveLength(1);
});
