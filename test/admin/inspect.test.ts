// Live sessions over several workers, and explanations.
import { expect, test } from 'vitest';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';

const admin = '/apisix/admin';

async function sessions(proxy: Proxy, query = ''): Promise<any[]> {
  const { body } = await proxy.call('GET', `${admin}/sessions${query}`);
  expect(body.total).toBe(body.list.length);
  return body.list;
}

test('live sessions of all workers are listed with what they do, filtered, and closed', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, settings: { workers: 2 } });
  const clients = await Promise.all(Array.from({ length: 6 }, () => proxy.connect()));
  for (const client of clients) await client.command('SET', 'a', '1');
  const blocked = clients[0]!;
  void blocked.command('BLPOP', 'nothing', '0').catch(() => undefined);
  await expect.poll(async () => (await sessions(proxy)).map(({ last_operation: name }) => name).toSorted()).toEqual(['blpop', 'set', 'set', 'set', 'set', 'set']);
  const list = await sessions(proxy);
  const busy = list.find(({ last_operation: name }) => name === 'blpop');
  expect(busy).toMatchObject({
    client: expect.stringMatching(/^127\.0\.0\.1:\d+$/), server: `127.0.0.1:${proxy.port}`, route: '1', protocol: 'redis', user: null,
    in_flight: 1, bytes_out: 5, unsent: 0, sni: null,
  });
  expect(new Set(list.map(({ id }) => id)).size).toBe(6);
  expect((await proxy.call('GET', `${admin}/sessions/${busy.id}`)).body.id).toBe(busy.id);
  expect(await sessions(proxy, '?route=2')).toEqual([]);
  expect(await sessions(proxy, '?client=127.0.0.9')).toEqual([]);
  expect(await sessions(proxy, '?protocol=redis&idle=3600')).toEqual([]);
  expect((await proxy.call('DELETE', `${admin}/sessions/${busy.id}`)).body).toEqual({ killed: 1 });
  await blocked.untilEnded();
  expect((await proxy.call('DELETE', `${admin}/sessions/${busy.id}`)).status).toBe(404);
  expect((await proxy.call('DELETE', `${admin}/sessions`)).body.error_msg).toContain('expected one of route, client');
  expect((await proxy.call('DELETE', `${admin}/sessions?route=1&client=127.0.0.1`)).body).toEqual({ killed: 5 });
  for (const client of clients) await client.untilEnded();
  expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="KILLED"\} 6\n/);
  expect((await proxy.call('GET', `${admin}/sessions?limit=x`)).status).toBe(400);
});

test('an explanation names the route that a connection would take, what runs there, and why others do not', async () => {
  await using proxy = await startProxy({ route: null });
  const put = (id: string, match: object, plugins: object = {}): Promise<void> => proxy.put(`${admin}/stream_routes/${id}`, {
    ...match, upstream: { nodes: { '127.0.0.1:6379': 2 } }, protocol: { name: 'redis' }, plugins,
  });
  await put('wide', {});
  await put('port', { server_port: proxy.port }, { 'limit-count': { count: 1, time_window: 1 }, 'ip-restriction': { blacklist: ['10.9.9.9'] } });
  await put('tls', { sni: '*.example.org' });
  await put('office', { remote_addr: '10.0.0.0/8' });
  const explain = async (query: string): Promise<any> => (await proxy.call('GET', `${admin}/explain?server=127.0.0.1:${proxy.port}${query}`)).body;
  const local = await explain('&client=127.0.0.1');
  expect(local).toMatchObject({
    connection: { client: '127.0.0.1', server: `127.0.0.1:${proxy.port}`, sni: null }, route: 'port', protocol: 'redis',
    nodes: [{ address: '127.0.0.1:6379', available: true, weight: 2, priority: 0 }],
    plugins: [{ name: 'ip-restriction', priority: 3000, phases: ['connect'] }, { name: 'limit-count', priority: 1002, phases: ['request'] }],
  });
  const why = Object.fromEntries(local.others.map(({ route, why: text }: any) => [route, text]));
  expect(why).toEqual({
    wide: 'it matches, but route port is more specific, has a higher priority or a lower id',
    tls: 'sni: it asks for *.example.org, the connection has none',
    office: 'remote_addr: it asks for 10.0.0.0/8, the connection has 127.0.0.1',
  });
  expect((await explain('&client=10.1.1.1')).route).toBe('office');
  expect((await explain('&client=10.1.1.1&sni=a.example.org')).route).toBe('tls');
  expect((await proxy.call('GET', `${admin}/explain?server=127.0.0.1:1&client=8.8.8.8`)).body.route).toBe('wide');
  expect((await explain('&client=nobody')).error_msg).toBe('client: expected an IP address, got "nobody"');
});
