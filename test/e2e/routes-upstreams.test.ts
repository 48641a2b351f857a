// Which node a connection's bytes go to.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectLines, greetingAt, type LineClient } from '../support/line-client.ts';
import { startNamed, type NamedServer } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';

let proxy: Proxy;
let servers: NamedServer[];
beforeAll(async () => {
  servers = await Promise.all(['a', 'b', 'c'].map((name) => startNamed(name)));
  proxy = await startProxy({ route: null, settings: { listeners: [{ port: await freePort() }] } });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  for (const server of servers) await server[Symbol.asyncDispose]();
});

const nodes = (...weights: number[]): Record<string, number> =>
  Object.fromEntries(weights.map((weight, i) => [servers[i]!.address, weight]));
const route = (upstream: Record<string, unknown>): Promise<void> => proxy.put('/apisix/admin/stream_routes/1', { upstream });
const names = async (count: number, from?: string): Promise<string[]> => {
  const got: string[] = [];
  for (let i = 0; i < count; i++) got.push((await greetingAt(proxy.port, from === undefined ? {} : { from })) ?? 'closed');
  return got;
};
const counted = (list: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const each of list) counts[each] = (counts[each] ?? 0) + 1;
  return counts;
};

describe('roundrobin', () => {
  test('deals sessions out by weight, smoothly', async () => {
    await route({ nodes: nodes(3, 2, 1) });
    const got = await names(12);
    expect(counted(got)).toEqual({ a: 6, b: 4, c: 2 });
    expect(got.join('')).not.toMatch(/aaa/);
  });

  test('weight 0 gets nothing', async () => {
    await route({ nodes: nodes(1, 0, 1) });
    expect(counted(await names(6))).toEqual({ a: 3, c: 3 });
  });

  test('nodes of a lower priority wait until the higher ones are down', async () => {
    await using top = await startNamed('top');
    await route({
      nodes: [{ host: '127.0.0.1', port: top.port, weight: 1, priority: 10 }, { host: '127.0.0.1', port: servers[0]!.port, weight: 1 }],
    });
    expect(counted(await names(5))).toEqual({ top: 5 });
    await top.stop();
    expect(counted(await names(5))).toEqual({ a: 5 });
  });
});

describe('chash', () => {
  test('on remote_addr a client always gets the same node, and the clients spread', async () => {
    await route({ type: 'chash', key: 'remote_addr', nodes: nodes(1, 1, 1) });
    const first = new Map<string, string>();
    for (let i = 2; i < 42; i++) first.set(`127.0.0.${i}`, (await names(1, `127.0.0.${i}`))[0]!);
    for (const [from, name] of first) expect(await names(2, from)).toEqual([name, name]);
    expect(Object.keys(counted([...first.values()])).toSorted()).toEqual(['a', 'b', 'c']);
  });

  test('only the clients of a node that is taken out move', async () => {
    await route({ type: 'chash', key: 'remote_addr', nodes: nodes(1, 1, 1) });
    const before = new Map<string, string>();
    for (let i = 2; i < 32; i++) before.set(`127.0.0.${i}`, (await names(1, `127.0.0.${i}`))[0]!);
    await route({ type: 'chash', key: 'remote_addr', nodes: nodes(1, 1) });
    for (const [from, name] of before) {
      const [now] = await names(1, from);
      expect(name === 'c' ? ['a', 'b'] : [name]).toContain(now);
    }
  });
});

test('least_conn: a node with more open connections gets no new ones until they end', async () => {
  await route({ type: 'least_conn', nodes: nodes(1, 1) });
  const held: LineClient[] = [];
  for (let i = 0; i < 6; i++) held.push(await connectLines(proxy.port));
  const where = await Promise.all(held.map((client) => client.line()));
  expect(counted(where as string[])).toEqual({ a: 3, b: 3 });
  for (const [i, client] of held.entries()) if (where[i] === 'a') await client[Symbol.asyncDispose]();
  await expect.poll(() => servers[0]!.open).toBe(0);
  await using one = await connectLines(proxy.port);
  await using two = await connectLines(proxy.port);
  expect([await one.line(), await two.line()]).toEqual(['a', 'a']);
  for (const client of held) await client[Symbol.asyncDispose]();
});

test('none is roundrobin', async () => {
  await route({ type: 'none', nodes: nodes(1, 1, 1) });
  expect(counted(await names(6))).toEqual({ a: 2, b: 2, c: 2 });
});

describe('a dead node', () => {
  test('is left out after its first failure and taken back when it answers again', async () => {
    await using shaky = await startNamed('shaky');
    await route({ nodes: { [shaky.address]: 1, [servers[1]!.address]: 1 } });
    expect(counted(await names(4))).toEqual({ shaky: 2, b: 2 });
    await shaky.stop();
    const before = proxy.records.length;
    expect(counted(await names(10))).toEqual({ b: 10 });
    const down = proxy.records.slice(before).filter(({ code }) => code === 'NODE_DOWN');
    expect(down).toHaveLength(1);
    expect(await proxy.metrics()).toContain(`millrace_upstream_node_up{node="${shaky.address}"} 0`);
    await shaky.restart();
    await expect.poll(async () => counted(await names(4)), { timeout: 5000 }).toEqual({ shaky: 2, b: 2 });
    expect(proxy.records.slice(before)).toContainEqual(expect.objectContaining({ code: 'NODE_UP', node: shaky.address }));
  });

  test('is passed over within one connection by retries', async () => {
    const dead = [await freePort(), await freePort()];
    await route({
      nodes: [...dead.map((port, i) => ({ host: '127.0.0.1', port, weight: 1, priority: 10 - i })),
        { host: '127.0.0.1', port: servers[2]!.port, weight: 1 }],
    });
    expect(await names(1)).toEqual(['c']);
  });

  test('a host name that does not resolve ends the connection and names the reason', async () => {
    await route({ nodes: { 'no-such-host.invalid:1234': 1 } });
    expect(await names(1)).toEqual(['closed']);
    await expect.poll(() => proxy.records).toContainEqual(
      expect.objectContaining({ code: 'NODE_DOWN', node: 'no-such-host.invalid:1234' }));
  });
});

describe('upstream_id', () => {
  test('leads to an upstream resource; changing it moves new connections, not open ones', async () => {
    await proxy.put('/apisix/admin/upstreams/u1', { nodes: nodes(1) });
    await proxy.put('/apisix/admin/stream_routes/1', { upstream_id: 'u1' });
    await using old = await connectLines(proxy.port);
    expect(await old.line()).toBe('a');
    await proxy.put('/apisix/admin/upstreams/u1', { nodes: { [servers[1]!.address]: 1 } });
    expect(await names(2)).toEqual(['b', 'b']);
    old.send('still\n');
    expect(await old.line()).toBe('still');
  });

  test('one that is missing or in use is refused', async () => {
    const missing = await proxy.call('PUT', '/apisix/admin/stream_routes/2', { upstream_id: 'nope' });
    expect(missing.status).toBe(400);
    expect(missing.body.error_msg).toContain('nope');
    await proxy.put('/apisix/admin/stream_routes/1', { upstream_id: 'u1' });
    expect((await proxy.call('DELETE', '/apisix/admin/upstreams/u1')).status).toBe(400);
  });
});

test('Redis clients are dealt out by session: one client sees one server only', async () => {
  await using one = await startRedis();
  await using two = await startRedis();
  await using redis = await startProxy({
    route: { upstream: { nodes: { [`127.0.0.1:${one.port}`]: 1, [`127.0.0.1:${two.port}`]: 1 } } },
  });
  const clients = await Promise.all(Array.from({ length: 10 }, () => redis.connect()));
  const ports: string[] = [];
  for (const client of clients) {
    const seen = new Set<string>();
    for (let i = 0; i < 5; i++) seen.add(/tcp_port:(\d+)/.exec(String(await client.command('INFO', 'server')))![1]!);
    expect(seen.size).toBe(1);
    ports.push([...seen][0]!);
  }
  expect(counted(ports)).toEqual({ [one.port]: 5, [two.port]: 5 });
});
