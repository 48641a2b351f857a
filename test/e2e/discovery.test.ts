// Nodes that are found by name, on a running proxy.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import type { Discovery } from '../../core/discovery/discovery.ts';
import { startApp } from '../../core/app.ts';
import { silentLogger } from '../../core/log.ts';
import { loadSettings } from '../../core/settings.ts';
import { REGISTRY } from '../../core/tokens.ts';
import { startDns } from '../support/dns-server.ts';
import { startNamed } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
import { sleep } from '../support/sleep.ts';
import { TextClient } from '../support/text-client.ts';

vi.setConfig({ testTimeout: 30_000 });

async function greeting(port: number): Promise<string> {
  await using client = await TextClient.connect(port);
  return (await client.read(1))[0]!;
}

async function nodesOf(proxy: Proxy): Promise<string[]> {
  const { body } = await proxy.call('GET', '/apisix/admin/upstreams/status');
  return body.list[0].nodes.map(({ ip, port }: { ip: string; port: number }) => `${ip}:${port}`).toSorted();
}

const dnsSettings = (address: string): object => ({ servers: [address], min_ttl_s: 0.1, negative_ttl_s: 0.1, timeout_s: 0.5 });

test('DNS: the first client is served, nodes follow the answers, and the last good ones stay when there is none', async () => {
  await using first = await startNamed('first', '127.0.0.2');
  await using dns = await startDns({ 'cache.test': { a: ['127.0.0.2'], ttl: 0 } });
  const upstream = { service_name: `cache.test:${first.port}`, discovery_type: 'dns' };
  await using proxy = await startProxy({ settings: { dns: dnsSettings(dns.address) }, route: { protocol: undefined, upstream } });
  expect(await greeting(proxy.port)).toBe('first');
  dns.names.set('cache.test', { a: ['127.0.0.2', '127.0.0.3'], ttl: 0 });
  await expect.poll(() => nodesOf(proxy)).toEqual([`127.0.0.2:${first.port}`, `127.0.0.3:${first.port}`]);
  dns.names.set('cache.test', { a: ['127.0.0.2'], ttl: 0 });
  await expect.poll(() => nodesOf(proxy)).toEqual([`127.0.0.2:${first.port}`]);
  dns.trouble = 'servfail';
  await expect.poll(() => proxy.records.some(({ code, kept }) => code === 'SERVICE_FAILED' && kept === 1)).toBe(true);
  expect(await greeting(proxy.port)).toBe('first');
  const { body } = await proxy.call('GET', '/v1/discovery/dns/dump');
  expect(body.services).toMatchObject([{ type: 'dns', name: `cache.test:${first.port}`, nodes: [{ host: '127.0.0.2' }], last_error: expect.stringContaining('ESERVFAIL') }]);
  dns.names.delete('cache.test');
  dns.trouble = 'none';
  expect(await greeting(proxy.port)).toBe('first');
});

test('DNS: SRV records say port, weight and priority, and their targets are looked up', async () => {
  await using high = await startNamed('high');
  await using low = await startNamed('low');
  await using dns = await startDns({
    '_cache._tcp.test': { srv: [{ host: 'b.test', port: low.port, priority: 20 }, { host: 'a.test', port: high.port, priority: 10 }], ttl: 1 },
    'a.test': { a: ['127.0.0.1'] }, 'b.test': { a: ['127.0.0.1'] },
  });
  await using proxy = await startProxy({
    settings: { dns: dnsSettings(dns.address) },
    route: { protocol: undefined, upstream: { service_name: '_cache._tcp.test', discovery_type: 'dns' } },
  });
  for (let n = 0; n < 3; n++) expect(await greeting(proxy.port)).toBe('high');
  await high.stop();
  expect(await greeting(proxy.port)).toBe('low');
});

test('a node that is gone from the answers gets no new requests, and clients of it go on elsewhere', async () => {
  await using one = await startRedis();
  await using two = await startRedis();
  const at = (port: number): object => ({ srv: [{ host: 'node.test', port }] });
  await using dns = await startDns({ '_cache.test': at(one.port), 'node.test': { a: ['127.0.0.1'], ttl: 0 } });
  await using proxy = await startProxy({
    settings: { dns: dnsSettings(dns.address) },
    route: { upstream: { service_name: '_cache.test', discovery_type: 'dns' } },
  });
  const client = await proxy.connect();
  expect(await client.command('SET', 'where', 'one')).toBe('OK');
  dns.names.set('_cache.test', at(two.port));
  await expect.poll(() => nodesOf(proxy)).toEqual([`127.0.0.1:${two.port}`]);
  expect(await client.command('GET', 'where')).toBeNull();
  expect(await client.command('SET', 'where', 'two')).toBe('OK');
});

test('SR-43 a node that is a name is looked up at the configured server again and again; one that does not exist is told', async () => {
  await using server = await startNamed('a', '127.0.0.2');
  await using moved = await startNamed('b', '127.0.0.3');
  await using dns = await startDns({ 'node.test': { a: ['127.0.0.2'], ttl: 0 } });
  const node = (host: string, port: number): object => ({ upstream: { nodes: [{ host, port, weight: 1 }] } });
  await using proxy = await startProxy({ settings: { dns: dnsSettings(dns.address) }, route: { protocol: undefined, ...node('node.test', server.port) } });
  expect(await greeting(proxy.port)).toBe('a');
  await proxy.put('/apisix/admin/stream_routes/1', node('node.test', moved.port));
  dns.names.set('node.test', { a: ['127.0.0.3'], ttl: 0 });
  await expect.poll(() => nodesOf(proxy)).toEqual([`127.0.0.3:${moved.port}`]);
  expect(await greeting(proxy.port)).toBe('b');
  await proxy.put('/apisix/admin/stream_routes/1', node('nowhere.test', moved.port));
  await using refused = await TextClient.connect(proxy.port);
  await expect.poll(() => refused.ended).not.toBeNull();
  expect(refused.lines).toEqual([]);
  expect(proxy.records.find(({ code }) => code === 'NODE_DOWN')).toMatchObject({ reason: expect.stringContaining('ENOTFOUND') });
});

test('a name that leads elsewhere takes its clients along: on shared links at once, on one of their own when they have given it back', async () => {
  await using one = await startRedis(['--bind', '127.0.0.1', '127.0.0.2']);
  await using two = await startRedis(['--bind', '127.0.0.3'], one.port);
  for (const [host, name] of [['127.0.0.2', 'one'], ['127.0.0.3', 'two']] as const) {
    // That something answers on the port was the first one's doing.
    await expect.poll(async () => {
      await using direct = await RespClient.connect(one.port, { host });
      return await direct.command('SET', 'who', name);
    }).toBe('OK');
  }
  await using dns = await startDns({ 'primary.test': { a: ['127.0.0.2'], ttl: 0 } });
  await using proxy = await startProxy({
    settings: { dns: dnsSettings(dns.address) }, route: { upstream: { nodes: { [`primary.test:${two.port}`]: 1 } } },
  });
  const [client, inTransaction] = [await proxy.connect(), await proxy.connect()];
  expect(await client.command('GET', 'who')).toBe('one');
  expect(await inTransaction.pipeline([['MULTI'], ['GET', 'who']])).toEqual(['OK', 'QUEUED']);
  dns.names.set('primary.test', { a: ['127.0.0.3'], ttl: 0 });
  await expect.poll(() => client.command('GET', 'who')).toBe('two');
  // What has begun ends where it began.
  expect(await inTransaction.command('EXEC')).toEqual(['one']);
  expect(await inTransaction.pipeline([['MULTI'], ['GET', 'who'], ['EXEC']])).toEqual(['OK', 'QUEUED', ['two']]);
  expect(await inTransaction.command('GET', 'who')).toBe('two');
  // An answer with one address more moves nobody.
  const links = async (): Promise<string> => /links_closed_total\{node="primary.test:\d+",reason="DRAINED"\} (\d+)/.exec(await proxy.metrics())?.[1] ?? '0';
  const before = await links();
  dns.names.set('primary.test', { a: ['127.0.0.2', '127.0.0.3'], ttl: 0 });
  await sleep(600);
  expect([await client.command('GET', 'who'), await links()]).toEqual(['two', before]);
});

test('file: nodes follow the file, half a file changes nothing, and a service that is not in it is told', async () => {
  await using one = await startNamed('one');
  await using two = await startNamed('two');
  await using proxy = await startProxy({ settings: { discovery: { file: 'services.yaml' } }, route: null });
  const path = join(proxy.folder, 'services.yaml');
  const write = (text: string): void => {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  };
  write(`cache: { "127.0.0.1:${one.port}": 1 }\n`);
  await proxy.put('/apisix/admin/stream_routes/1', { upstream: { service_name: 'cache', discovery_type: 'file' } });
  expect(await greeting(proxy.port)).toBe('one');
  write(`cache:\n  - { host: 127.0.0.1, port: ${two.port}, weight: 1 }\n`);
  await expect.poll(() => greeting(proxy.port), { timeout: 5000 }).toBe('two');
  const failures = (): unknown[] => proxy.records.filter(({ code }) => code === 'SERVICE_FAILED').map(({ reason }) => reason);
  write('cache: { "127.0.0.1:');
  await expect.poll(failures, { timeout: 5000 }).toHaveLength(1);
  expect(await greeting(proxy.port)).toBe('two');
  write('cache: { "127.0.0.1:99999": 1 }\n');
  await expect.poll(failures, { timeout: 5000 }).toEqual([expect.any(String), expect.stringContaining('1..65535')]);
  write('other: {}\n');
  await expect.poll(failures, { timeout: 5000 }).toEqual([expect.any(String), expect.any(String), expect.stringContaining('expected a service "cache"')]);
  expect(await greeting(proxy.port)).toBe('two');
});

test('a service that nobody answers for holds a change up once, for a second at most, and no later one', async () => {
  await using dns = await startDns();
  dns.trouble = 'silent';
  await using proxy = await startProxy({ settings: { dns: { servers: [dns.address], timeout_s: 0.5 } }, route: null });
  const timed = async (path: string, body: object): Promise<number> => {
    const begun = performance.now();
    await proxy.put(path, body);
    return performance.now() - begun;
  };
  expect(await timed('/apisix/admin/upstreams/1', { service_name: 'silent.test', discovery_type: 'dns' })).toBeLessThan(3000);
  expect(await timed('/apisix/admin/upstreams/2', { type: 'memory' })).toBeLessThan(3000);
  await expect.poll(() => proxy.records.filter(({ code }) => code === 'SERVICE_FAILED').length, { timeout: 20_000 }).toBe(1);
  expect(await timed('/apisix/admin/upstreams/2', { type: 'memory', desc: 'again' })).toBeLessThan(800);
});

test('a discovery of one\'s own is registered by name', async () => {
  await using server = await startNamed('mine');
  let tell: (nodes: unknown) => void = () => undefined;
  const mine: Discovery = {
    watch: ({ name, args }, told) => {
      tell = told;
      told(name === 'there' && args['zone'] === 'a' ? { [server.address]: 1 } : {});
      return { close: () => undefined };
    },
  };
  await using stack = new AsyncDisposableStack();
  await using helper = await startProxy({ route: null });
  const port = await freePort();
  const file = join(helper.folder, 'mine.json');
  writeFileSync(file, JSON.stringify({
    listeners: [{ port, protocol: 'redis' }], workers: 1, store: { path: 'mine.db' }, admin: { port: await freePort(), key: helper.key },
  }));
  const { settings } = loadSettings(file, {}, helper.folder);
  const app = await startApp({
    settings: settings!, environment: {}, log: silentLogger, prepare: (container) => container.resolve(REGISTRY).addDiscovery('mine', () => mine),
  });
  stack.defer(() => app.drain(0));
  const put = async (type: string): Promise<Response> => fetch(`http://127.0.0.1:${app.admin.port}/apisix/admin/stream_routes/1`, {
    method: 'PUT', headers: { 'x-api-key': helper.key },
    body: JSON.stringify({ upstream: { service_name: 'there', discovery_type: type, discovery_args: { zone: 'a' } } }),
  });
  const unknown = await put('yours');
  expect([unknown.status, ((await unknown.json()) as { error_msg: string }).error_msg]).toEqual(
    [400, 'upstream.discovery_type: expected one of dns, file, mine, got "yours"']);
  expect((await put('mine')).status).toBe(201);
  expect(await greeting(port)).toBe('mine');
  tell({});
  await using refused = await TextClient.connect(port);
  await expect.poll(() => refused.ended).not.toBeNull();
});

test.each([
  [{ service_name: 'a', discovery_type: 'dns', nodes: {} }, 'nodes: expected nodes, or service_name with discovery_type, got both'],
  [{ service_name: 'a' }, 'discovery_type: expected one of dns, file, got nothing'],
  [{ discovery_type: 'dns' }, 'service_name: expected a name, because discovery_type is given, got nothing'],
  [{ service_name: 'a', discovery_type: 'consul' }, 'discovery_type: expected one of dns, file, got "consul"'],
])('an upstream %j is refused: %s', async (upstream, text) => {
  await using proxy = await startProxy({ route: null });
  const { status, body } = await proxy.call('PUT', '/apisix/admin/upstreams/1', upstream);
  expect([status, body.error_msg]).toEqual([400, text]);
});
