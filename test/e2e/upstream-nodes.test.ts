// Which node a client gets, and how nodes are reached: rows of the reference, on a running proxy.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createTls } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { makeAuthority } from '../support/certificates.ts';
import { startDns } from '../support/dns-server.ts';
import { freePort } from '../support/ports.ts';
import { startNamed, type NamedServer } from '../support/named-server.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import type { RespClient } from '../support/resp-client.ts';
import { sleep } from '../support/sleep.ts';
import { TextClient } from '../support/text-client.ts';
import { startToxicMiddle } from '../support/toxic-middle.ts';

vi.setConfig({ testTimeout: 30_000 });

const plain = { protocol: undefined };

async function greeting(proxy: Proxy, from = '127.0.0.1'): Promise<string> {
  await using client = await TextClient.connect(proxy.port, '127.0.0.1', from);
  return (await client.read(1))[0]!;
}

const at = (port: number, more: object = {}): object => ({ host: '127.0.0.1', port, weight: 1, ...more });

test('SR-44 nodes of priority 1, 0 and -1 are tried in that order, and the last one answers', async () => {
  await using last = await startNamed('last');
  const nodes = [at(last.port, { priority: -1 }), at(await freePort(), { priority: 1 }), at(await freePort(), { priority: 0 })];
  await using proxy = await startProxy({ route: { ...plain, upstream: { nodes } } });
  expect(await greeting(proxy)).toBe('last');
  const order = proxy.records.filter(({ code }) => code === 'NODE_DOWN').map(({ node }) => node);
  expect(order).toEqual(nodes.slice(1).map((node) => `127.0.0.1:${(node as { port: number }).port}`));
});

test('SR-45 nodes without priority, and those of the map form, have priority 0', async () => {
  await using one = await startNamed('one');
  await using two = await startNamed('two');
  const used = async (upstream: object): Promise<Set<string>> => {
    await using proxy = await startProxy({ route: { ...plain, upstream } });
    const seen = new Set<string>();
    for (let n = 0; n < 8; n++) seen.add(await greeting(proxy));
    return seen;
  };
  expect(await used({ nodes: [at(one.port), at(two.port, { priority: 0 })] })).toEqual(new Set(['one', 'two']));
  expect(await used({ nodes: { [one.address]: 1, [two.address]: 1 } })).toEqual(new Set(['one', 'two']));
  expect(await used({ nodes: [at(one.port), at(two.port, { priority: -1 })] })).toEqual(new Set(['one']));
});

test('SR-46 least_conn: connections that ended are released, and open ones count across changes of the nodes', async () => {
  await using one = await startNamed('one');
  await using two = await startNamed('two');
  await using three = await startNamed('three');
  const upstream = (...servers: NamedServer[]): object => ({ upstream: { type: 'least_conn', nodes: servers.map(({ port }) => at(port)) } });
  await using proxy = await startProxy({ route: { ...plain, ...upstream(one, two) } });
  const clients: TextClient[] = [];
  const names: string[] = [];
  for (let n = 0; n < 4; n++) {
    clients.push(await TextClient.connect(proxy.port));
    names.push((await clients.at(-1)!.read(1))[0]!);
  }
  expect(names.filter((name) => name === 'one')).toHaveLength(2);
  // Both clients of `one` go: the next two belong there.
  for (const [index, name] of names.entries()) if (name === 'one') await clients[index]![Symbol.asyncDispose]();
  await expect.poll(() => one.open).toBe(0);
  const next: TextClient[] = [];
  for (let n = 0; n < 2; n++) {
    next.push(await TextClient.connect(proxy.port));
    expect(await next.at(-1)!.read(1)).toEqual(['one']);
  }
  await proxy.put('/apisix/admin/stream_routes/1', upstream(one, two, three));
  await using late = await TextClient.connect(proxy.port);
  expect(await late.read(1)).toEqual(['three']);
  for (const client of [...clients, ...next]) client.socket.destroy();
});

test('chash keeps a client on its node, and goes by what hash_on says', async () => {
  await using one = await startNamed('one');
  await using two = await startNamed('two');
  await using three = await startNamed('three');
  const nodes = [one, two, three].map(({ port }) => at(port));
  const addresses = Array.from({ length: 12 }, (_, n) => `127.0.1.${n + 1}`);
  const spread = async (upstream: object): Promise<Map<string, Set<string>>> => {
    await using proxy = await startProxy({ route: { ...plain, upstream: { type: 'chash', nodes, ...upstream } } });
    const seen = new Map<string, Set<string>>();
    for (const address of [...addresses, ...addresses]) {
      const names = seen.get(address) ?? new Set();
      seen.set(address, names.add(await greeting(proxy, address)));
    }
    return seen;
  };
  const byAddress = await spread({ key: 'remote_addr' });
  expect([...byAddress.values()].every((names) => names.size === 1)).toBe(true);
  expect(new Set([...byAddress.values()].flatMap((names) => [...names]))).toEqual(new Set(['one', 'two', 'three']));
  // All clients have these in common.
  const byServer = await spread({ key: '$server_addr/$server_port', hash_on: 'vars_combinations' });
  expect(new Set([...byServer.values()].flatMap((names) => [...names])).size).toBe(1);
  // Nobody is anybody yet: the address is what is left.
  expect(await spread({ hash_on: 'consumer' })).toEqual(byAddress);
});

test('chash with a key that is empty falls back to the address, and the log says so once per route and version of it', async () => {
  await using one = await startRedis();
  const upstream = { type: 'chash', key: 'mqtt_client_id', nodes: [at(one.port)] };
  await using proxy = await startProxy({ route: { upstream } });
  const told = (): unknown[] => proxy.records.filter(({ code }) => code === 'HASH_KEY_EMPTY').map(({ route, hash_on, key, level }) => [route, hash_on, key, level]);
  const visit = async (): Promise<void> => { for (let n = 0; n < 5; n++) expect(await (await proxy.connect()).command('PING')).toBe('PONG'); };
  await visit();
  expect(told()).toEqual([['1', 'vars', 'mqtt_client_id', 40]]);
  await proxy.put('/apisix/admin/stream_routes/1', { upstream: { ...upstream, key: 'x', hash_on: 'cookie' }, protocol: { name: 'redis' } });
  await visit();
  expect(told().slice(1)).toEqual([['1', 'cookie', 'x', 40]]);
  await proxy.put('/apisix/admin/stream_routes/1', { upstream: { ...upstream, key: 'remote_addr' }, protocol: { name: 'redis' } });
  await visit();
  expect(told()).toHaveLength(2);
});

test('ewma: on a route with a protocol, clients go to the node that answers faster', async () => {
  await using near = await startRedis();
  await using far = await startRedis();
  await using road = await startToxicMiddle({ to: far.port });
  road.set('down', { latencyMs: 30 });
  await using proxy = await startProxy({ route: { upstream: { type: 'ewma', nodes: [at(road.port), at(near.port)] } } });
  const [nearby, afar] = [await proxy.connect(near.port), await proxy.connect(far.port)];
  const count = async (direct: RespClient): Promise<number> => Number(await direct.command('GET', 'clients'));
  const visit = async (): Promise<unknown> => (await proxy.connect()).command('INCR', 'clients');
  // Until each has answered once, one is as good as the other.
  while (await count(nearby) === 0 || await count(afar) === 0) await visit();
  const before = await count(afar);
  for (let n = 0; n < 24; n++) await visit();
  expect(await count(afar)).toBe(before);
});

test.each(['roundrobin', 'least_conn', 'ewma', 'chash'])('%s: a node of weight 0 gets nobody, on a route with a protocol too', async (type) => {
  await using one = await startRedis();
  await using never = await startRedis();
  await using proxy = await startProxy({ route: { upstream: { type, key: 'remote_addr', nodes: [at(one.port), at(never.port, { weight: 0 })] } } });
  for (let n = 0; n < 6; n++) await (await proxy.connect()).command('INCR', 'seen');
  const direct = await proxy.connect(never.port);
  expect(await direct.command('GET', 'seen')).toBeNull();
});

test.each(['map', 'list'])('a Unix socket is a node, given as a %s, and is checked', async (form) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-unix-'));
  const path = join(folder, 'redis.sock');
  await using redis = await startRedis(['--unixsocket', path]);
  const nodes = form === 'map' ? { [`unix:${path}`]: 1 } : [{ host: `unix:${path}`, weight: 1 }];
  await using proxy = await startProxy({ route: { upstream: { nodes, checks: { active: { type: 'redis', unhealthy: { tcp_failures: 1 } } } } } });
  const client = await proxy.connect();
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  const shown = async (): Promise<any> => (await proxy.call('GET', '/v1/healthcheck/stream_routes/1')).body.nodes[0];
  await expect.poll(shown).toMatchObject({ hostname: `unix:${path}`, port: 0, status: 'healthy', checked_at: expect.any(Number) });
  await redis.stop();
  await expect.poll(shown, { timeout: 5000 }).toMatchObject({ status: 'unhealthy', last_error: expect.stringMatching(/ECONNREFUSED|ENOENT/) });
  rmSync(folder, { recursive: true });
});

test('a Unix socket speaks TLS when the upstream does, and its certificate is checked by server_name', async () => {
  using authority = makeAuthority();
  const { cert, key } = authority.issue('node.test', ['DNS:node.test']);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-unix-'));
  const path = join(folder, 'tls.sock');
  await using server = createTls({ cert: readFileSync(cert), key: readFileSync(key) }, (socket) => {
    socket.on('error', () => undefined);
    socket.resume();
    socket.end('secret\n');
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const upstream = (name: string): object => ({ upstream: { nodes: { [`unix:${path}`]: 1 }, scheme: 'tls', tls: { ca: authority.text, server_name: name } } });
  await using proxy = await startProxy({ route: { ...plain, ...upstream('node.test') } });
  expect(await greeting(proxy)).toBe('secret');
  await proxy.put('/apisix/admin/stream_routes/1', upstream('other.test'));
  await using refused = await TextClient.connect(proxy.port);
  await expect.poll(() => refused.ended).not.toBeNull();
  expect(refused.lines).toEqual([]);
  rmSync(folder, { recursive: true });
});

test('words of HTTP gateways are accepted in an upstream, and streams stay plain', async () => {
  await using server = await startNamed('plain');
  const words = { scheme: 'https', pass_host: 'rewrite', upstream_host: 'a.test', hash_on: 'vars', labels: { a: 'b' } };
  await using proxy = await startProxy({ route: { ...plain, upstream: { nodes: { [server.address]: 1 }, ...words } } });
  expect(await greeting(proxy)).toBe('plain');
});

test('SR-44 on a route with a protocol: priorities are tried in order, and a client comes back when the first is there again', async () => {
  await using last = await startRedis();
  const first = await freePort();
  const nodes = [at(last.port, { priority: -1 }), at(first, { priority: 1 }), at(await freePort(), { priority: 0 })];
  await using proxy = await startProxy({ route: { upstream: { nodes } } });
  const client = await proxy.connect();
  expect(await client.command('SET', 'where', 'last')).toBe('OK');
  await using again = await startRedis([], first);
  await expect.poll(async () => (await proxy.connect()).command('GET', 'where'), { timeout: 10_000 }).toBeNull();
  expect(again.port).toBe(first);
});

test('nodes that come and go, and reloads in between, fail no request and exchange no replies', async () => {
  await using one = await startRedis();
  await using two = await startRedis();
  await using dns = await startDns({ '_cache.test': { srv: [{ host: 'node.test', port: one.port }] }, 'node.test': { a: ['127.0.0.1'], ttl: 0 } });
  await using proxy = await startProxy({
    settings: { dns: { servers: [dns.address], min_ttl_s: 0.02, refresh_s: 0.05 } },
    route: { upstream: { service_name: '_cache.test', discovery_type: 'dns', checks: { active: { type: 'redis' } } } },
  });
  let running = true;
  let answered = 0;
  const work = async (worker: number): Promise<void> => {
    const client = await proxy.connect();
    for (let n = 0; running; n++) {
      const words = Array.from({ length: 5 }, (_, index) => `${worker} ${n} ${index}`);
      expect(await client.pipeline(words.map((word) => ['ECHO', word]))).toEqual(words);
      answered += words.length;
    }
  };
  const workers = Promise.all(Array.from({ length: 8 }, (_, worker) => work(worker)));
  const ports = [[one.port], [two.port], [one.port, two.port]];
  for (let turn = 0; turn < 40; turn++) {
    dns.names.set('_cache.test', { srv: ports[turn % 3]!.map((port) => ({ host: 'node.test', port })) });
    await sleep(50);
    if (turn % 10 === 9) {
      await proxy.put('/apisix/admin/stream_routes/1', { protocol: { name: 'redis' }, desc: String(turn), upstream: {
        service_name: '_cache.test', discovery_type: 'dns', type: turn % 20 === 9 ? 'ewma' : 'least_conn', checks: { active: { type: 'redis' } },
      } });
    }
  }
  running = false;
  await workers;
  expect(answered).toBeGreaterThan(500);
  expect(proxy.records.filter(({ code }) => code === 'SERVICE_CHANGED').length).toBeGreaterThan(10);
});
