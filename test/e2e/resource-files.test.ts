// The `resources` setting as a folder or a list: several watched files, one configuration.
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { RespError } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-files-'));
  mkdirSync(join(folder, 'conf.d'));
});
afterEach(() => { rmSync(folder, { recursive: true, force: true }); });

const write = (name: string, value: object | string): void =>
  writeFileSync(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value));
const start = (resources: string | readonly string[]): Promise<Proxy> => startProxy({
  route: null, settings: { resources: typeof resources === 'string' ? join(folder, resources) : resources.map((path) => join(folder, path)) },
});
const route = (id: string, text: string, address = '127.0.0.1'): object => ({
  id, remote_addr: address, upstream: { type: 'memory' }, protocol: { name: 'redis', conf: { faults: [{ commands: ['ping'], error: text }] } },
});
async function ping(proxy: Proxy): Promise<string> {
  const client = await proxy.connect();
  const reply = await client.command('PING');
  await client.close();
  return reply instanceof RespError ? reply.text.replace('ERR ', '') : String(reply);
}
async function until(proxy: Proxy, text: string): Promise<void> {
  await expect.poll(() => ping(proxy), { timeout: 8000, interval: 30 }).toBe(text);
}
const ids = async (proxy: Proxy, kind: string): Promise<string[]> => {
  const { body } = await proxy.call('GET', '/apisix/admin/configs');
  return body[kind].map(({ id }: { id: string }) => id).toSorted();
};
const said = (proxy: Proxy, level = 40): string =>
  proxy.records.filter((each) => Number(each['level']) >= level).map((each) => String(each['msg'])).join('\n');

test('a folder is one configuration: files come, change and go, and each may name what stands in another', async () => {
  write('conf.d/10-routes.json', { stream_routes: [{ ...route('r', 'one'), upstream: undefined, upstream_id: 'u' }] });
  write('conf.d/20-upstreams.yaml', 'upstreams: [{ id: u, type: memory }]\n#END\n');
  write('conf.d/.hidden.yaml', 'nonsense: []\n');
  write('conf.d/notes.txt', 'not for us');
  await using proxy = await start('conf.d');
  expect([await ping(proxy), await ids(proxy, 'upstreams'), said(proxy)]).toEqual(['one', ['u'], '']);
  write('conf.d/10-routes.json', { stream_routes: [route('r', 'two')] });
  await until(proxy, 'two');
  write('conf.d/05-first.json', { upstreams: [{ id: 'v', type: 'memory' }] });
  await expect.poll(() => ids(proxy, 'upstreams'), { timeout: 8000 }).toEqual(['u', 'v']);
  rmSync(join(folder, 'conf.d/20-upstreams.yaml'));
  await expect.poll(() => ids(proxy, 'upstreams'), { timeout: 8000 }).toEqual(['v']);
  expect([await ping(proxy), said(proxy)]).toEqual(['two', '']);
});

test('each file keeps its own last good version, and a folder that is away changes nothing', async () => {
  write('conf.d/a.json', { stream_routes: [route('r', 'good')] });
  write('conf.d/b.json', { upstreams: [{ id: 'u', type: 'memory' }] });
  await using proxy = await start('conf.d');
  write('conf.d/a.json', '{ half');
  write('conf.d/b.json', { upstreams: [{ id: 'u2', type: 'memory' }] });
  await expect.poll(() => ids(proxy, 'upstreams'), { timeout: 8000 }).toEqual(['u2']);
  await expect.poll(() => said(proxy), { timeout: 8000 }).toContain('a.json:1:');
  expect(await ping(proxy)).toBe('good');
  renameSync(join(folder, 'conf.d'), join(folder, 'away'));
  await expect.poll(() => said(proxy), { timeout: 8000 }).toContain('no such file');
  await sleep(1300);
  expect([await ping(proxy), await ids(proxy, 'upstreams')]).toEqual(['good', ['u2']]);
  renameSync(join(folder, 'away'), join(folder, 'conf.d'));
  write('conf.d/a.json', { stream_routes: [route('r', 'back')] });
  await until(proxy, 'back');
});

test('a list of files is merged in the order of names, the first of two with one id counts, and it is reported', async () => {
  write('b.json', { stream_routes: [route('r', 'of b'), route('only', 'x', '127.0.0.9')] });
  write('a.json', { stream_routes: [route('r', 'of a')] });
  await using proxy = await start(['b.json', 'a.json']);
  expect([await ping(proxy), await ids(proxy, 'stream_routes')]).toEqual(['of a', ['only', 'r']]);
  const text = `${join(folder, 'b.json')}: found duplicate id r in stream_routes, which stands in ${join(folder, 'a.json')}, too; the one there counts`;
  expect(said(proxy).split('\n')).toEqual([text]);
  write('a.json', { stream_routes: [] });
  await until(proxy, 'of b');
  expect((await proxy.call('GET', '/status/ready')).status).toBe(200);
});

test('a listed file that is missing is reported, and it is not ready before the file has come', async () => {
  write('a.json', { stream_routes: [route('r', 'here')] });
  await using proxy = await start(['a.json', 'later.json']);
  expect([await ping(proxy), (await proxy.call('GET', '/status/ready')).status]).toEqual(['here', 503]);
  expect(said(proxy)).toContain('later.json');
  write('later.json', { upstreams: [{ id: 'u', type: 'memory' }] });
  await expect.poll(() => ids(proxy, 'upstreams'), { timeout: 8000 }).toEqual(['u']);
  expect((await proxy.call('GET', '/status/ready')).status).toBe(200);
});
