// Live sessions over several workers, and explanations.
import { expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
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

test('a filter that is misspelt, empty, there twice or no address closes nobody', async () => {
  await using proxy = await startProxy({ route: { upstream: { type: 'memory' } }, settings: { workers: 2 } });
  const clients = await Promise.all(Array.from({ length: 25 }, () => proxy.connect()));
  for (const client of clients) await client.command('PING');
  for (const query of ['route=1&uzer=jack', 'route=1&user=', 'route=1&client=127.0.0.1&client=127.0.0.2', 'route=1&client=nobody', 'limit=3&route=1']) {
    expect([query, (await proxy.call('DELETE', `${admin}/sessions?${query}`)).status]).toEqual([query, 400]);
  }
  expect((await proxy.call('GET', `${admin}/sessions?rout=1`)).body.error_msg).toContain('rout: expected one of route, client, user, protocol, idle');
  expect((await proxy.call('GET', `${admin}/explain?clinet=1`)).status).toBe(400);
  const ids: number[] = [];
  for (let after = 0; ;) {
    const { body } = await proxy.call('GET', `${admin}/sessions?limit=10${after === 0 ? '' : `&after=${after}`}`);
    expect(body.total).toBe(25);
    if (body.list.length === 0) break;
    ids.push(...body.list.map(({ id }: any) => id));
    after = ids.at(-1)!;
  }
  expect([ids.length, new Set(ids).size]).toEqual([25, 25]);
});

test('an explanation follows a command: how it travels, its fault, its subordinate route, and why not another one', async () => {
  await using proxy = await startProxy({ route: null, settings: { workers: 2 } });
  const upstream = (port: number): object => ({ nodes: { [`127.0.0.1:${port}`]: 1 } });
  await proxy.put(`${admin}/stream_routes/main`, {
    server_port: proxy.port, upstream: upstream(6391),
    protocol: { name: 'redis', conf: { faults: [{ commands: ['get'], key: 'slow', delay: 2 }] } },
  });
  const subordinate = (id: string, port: number, match: object): Promise<void> => proxy.put(`${admin}/stream_routes/${id}`, {
    upstream: upstream(port), protocol: { name: 'redis', superior_id: 'main', conf: { match } },
  });
  await subordinate('users', 6392, { keys: ['user:*'] });
  await subordinate('sets', 6393, { commands: ['sadd'] });
  const explain = async (command: string): Promise<any> => {
    const { body } = await proxy.call('GET', `${admin}/explain?server=127.0.0.1:${proxy.port}&command=${encodeURIComponent(command)}`);
    expect([body.route, body.listener.port]).toEqual(['main', proxy.port]);
    return body.operation;
  };
  expect(await explain('GET slow')).toEqual({
    operation: 'get', keys: ['slow'], treatment: 'travels on a connection that clients share', refused: null,
    faults: [{ commands: ['get'], key: 'slow', delay: 2 }], route: 'main',
    nodes: [{ address: '127.0.0.1:6391', available: true, weight: 1, priority: 0 }],
    others: [
      { route: 'users', why: 'match.keys: a key of the command fits none of them' },
      { route: 'sets', why: 'match.commands: get is not among them' },
    ],
  });
  expect(await explain('mget user:1 user:2')).toMatchObject({
    keys: ['user:1', 'user:2'], faults: [], route: 'users', nodes: [{ address: '127.0.0.1:6392' }],
    others: [{ route: 'sets', why: 'match.commands: mget is not among them' }],
  });
  expect(await explain('sadd x 1')).toMatchObject({ route: 'sets' });
  expect(await explain('blpop user:1 0')).toMatchObject({ route: 'main', treatment: 'has a connection of its own while it waits' });
  expect(await explain('client kill id 1')).toMatchObject({ refused: expect.stringContaining('would harm other clients') });
  expect(await explain('no-such-command x')).toMatchObject({ operation: 'no-such-command', treatment: 'has a connection of its own from then on' });
  expect(await explain('ping')).toMatchObject({ keys: [], route: 'main', others: [{ why: 'match.keys: the command has no key' }, {}] });
});

test('an explanation knows the default route of a listener, and where nobody listens', async () => {
  const bare = await freePort();
  await using proxy = await startProxy({ route: null, settings: { listeners: [{ port: await freePort(), protocol: 'redis' }, { port: bare }] } });
  const explain = async (port: number): Promise<any> => (await proxy.call('GET', `${admin}/explain?server=127.0.0.1:${port}`)).body;
  expect(await explain(proxy.port)).toMatchObject({ route: 'default', protocol: 'redis', listener: { port: proxy.port, origin: 'settings' } });
  expect(await explain(bare)).toMatchObject({ route: null, listener: { port: bare } });
  expect(await explain(await freePort())).toMatchObject({ route: null, listener: null });
});
