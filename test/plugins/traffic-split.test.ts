// traffic-split: connections shared out among upstreams, whatever they speak.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { wheelOf } from '../../plugins/traffic-split/wheel.ts';
import { connectLines } from '../support/line-client.ts';
import lineProtocol from '../support/line-protocol.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { startNamed, type NamedServer } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { RespError } from '../support/resp.ts';

const route = '/apisix/admin/stream_routes/1';
const to = (server: { readonly port: number }): Record<string, unknown> => ({ nodes: { [`127.0.0.1:${server.port}`]: 1 } });
const split = (...list: readonly object[]): Record<string, unknown> => ({ 'traffic-split': { rules: [{ weighted_upstreams: list }] } });

describe('on plain TCP', () => {
  let own: NamedServer;
  let other: NamedServer;
  beforeAll(async () => { [own, other] = await Promise.all([startNamed('own'), startNamed('other')]); });
  afterAll(() => Promise.all([own.stop(), other.stop()]));

  const start = async (workers = 1): Promise<Proxy> =>
    startProxy({ route: null, settings: { listeners: [{ port: await freePort() }], workers } });

  /** Who served so many new connections. */
  async function served(proxy: Proxy, count: number): Promise<Record<string, number>> {
    const names: Record<string, number> = {};
    for (let i = 0; i < count; i++) {
      await using client = await connectLines(proxy.port);
      const name = String(await client.line());
      names[name] = (names[name] ?? 0) + 1;
    }
    return names;
  }

  test.each([1, 3])('SR-58 nine to one over two inline upstreams: of ten connections exactly nine and one, with %i workers', async (workers) => {
    await using proxy = await start(workers);
    await proxy.put(route, {
      upstream: { nodes: { '127.0.0.1:1': 1 } },
      plugins: split({ upstream: to(own), weight: 9 }, { upstream: to(other), weight: 1 }),
    });
    expect(await served(proxy, 10)).toEqual({ own: 9, other: 1 });
    expect(await served(proxy, 20)).toEqual({ own: 18, other: 2 });
  });

  test('SR-59 an entry without upstream is the route\'s own', async () => {
    await using proxy = await start();
    await proxy.put(route, { upstream: to(own), plugins: split({ upstream: to(other), weight: 1 }, { weight: 9 }) });
    expect(await served(proxy, 10)).toEqual({ own: 9, other: 1 });
    await proxy.put(route, { upstream: to(own), plugins: split({ upstream: to(other) }, { weight: 0 }) });
    expect(await served(proxy, 3)).toEqual({ other: 3 });
  });

  test('SR-60 an upstream resource, where the variable route_id fits; and nobody else', async () => {
    await using proxy = await start();
    await proxy.put('/apisix/admin/upstreams/u', to(other));
    const rule = (id: string): object => ({
      'traffic-split': { rules: [{ match: [{ vars: [['route_id', '==', id]] }], weighted_upstreams: [{ upstream_id: 'u' }] }] },
    });
    await proxy.put(route, { upstream: to(own), plugins: rule('1') });
    expect(await served(proxy, 3)).toEqual({ other: 3 });
    await proxy.put(route, { upstream: to(own), plugins: rule('2') });
    expect(await served(proxy, 3)).toEqual({ own: 3 });
  });

  test('the first rule that fits decides, one of several conditions is enough', async () => {
    await using proxy = await start();
    await proxy.put(route, { upstream: to(own), plugins: { 'traffic-split': { rules: [
      { match: [{ vars: [['remote_addr', '==', '10.0.0.1']] }, { vars: [['remote_addr', 'ipmatch', '127.0.0.2/32']] }], weighted_upstreams: [{ upstream: to(other) }] },
      { weighted_upstreams: [{ weight: 1 }] },
      { weighted_upstreams: [{ upstream: to(other) }] },
    ] } } });
    expect(await served(proxy, 2)).toEqual({ own: 2 });
    await using client = await connectLines(proxy.port, { from: '127.0.0.2' });
    expect(await client.line()).toBe('other');
  });

  test('an upstream resource that changes is followed, one in use is not deleted, one that is missing is refused', async () => {
    await using proxy = await start();
    await proxy.put('/apisix/admin/upstreams/u', to(other));
    await proxy.put(route, { upstream: to(own), plugins: split({ upstream_id: 'u' }) });
    expect(await served(proxy, 1)).toEqual({ other: 1 });
    await proxy.put('/apisix/admin/upstreams/u', to(own));
    expect(await served(proxy, 1)).toEqual({ own: 1 });
    const refused = await proxy.call('DELETE', '/apisix/admin/upstreams/u');
    expect([refused.status, refused.body.error_msg]).toEqual([400, expect.stringContaining('still using it now')]);
    const missing = await proxy.call('PUT', route, { upstream: to(own), plugins: split({ upstream_id: 'nobody' }) });
    expect([missing.status, missing.body.error_msg]).toEqual([400, expect.stringMatching(/failed to fetch upstream info by upstream id.*nobody/)]);
    await proxy.put(route, { upstream: to(own) });
    expect((await proxy.call('DELETE', '/apisix/admin/upstreams/u')).status).toBe(200);
  });

  test.each<[object, string]>([
    [{ rules: [] }, 'rules'],
    [{ rules: [null, { weighted_upstreams: [null, { upstream_id: {} }] }] }, 'rules[0]'],
    [{ rules: [{ weighted_upstreams: [{ upstream: { nodes: { '127.0.0.1:99999': 1 } } }] }] }, 'port 99999'],
    [{ rules: [{ weighted_upstreams: [{ upstream: {}, upstream_id: 'a' }] }] }, 'got both'],
    [{ rules: [{ weighted_upstreams: [{ weight: 0 }] }] }, 'expected a weight above 0'],
    [{ rules: [{ match: [{ vars: [['a', '=', 1]] }] }] }, 'rules[0].match[0].vars'],
  ])('%j is refused when it is written', async (conf, text) => {
    await using proxy = await start();
    const { status, body } = await proxy.call('PUT', route, { upstream: to(own), plugins: { 'traffic-split': conf } });
    expect([status, body.error_msg]).toEqual([400, expect.stringContaining(text)]);
  });
});

describe('on Redis', () => {
  let own: RedisServer;
  let other: RedisServer;
  beforeAll(async () => {
    [own, other] = await Promise.all([startRedis(), startRedis()]);
    const proxies = await Promise.all([own, other].map((server) => startProxy({ upstream: server.port, route: {} })));
    await Promise.all(proxies.map(async (proxy, i) => (await proxy.connect()).command('SET', 'name', i === 0 ? 'own' : 'other')));
    for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
  });
  afterAll(() => Promise.all([own.stop(), other.stop()]));

  const names = async (proxy: Proxy): Promise<string[]> => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => proxy.connect()));
    const found: string[] = [];
    for (const client of clients) {
      // Shared link, own link, shared link again: one client sees one server.
      const said = await client.pipeline([
        ['GET', 'name'], ['GET', 'name'], ['MULTI'], ['GET', 'name'], ['EXEC'], ['SELECT', '1'], ['SELECT', '0'], ['GET', 'name'],
      ]);
      const [name] = said;
      expect(said).toEqual([name, name, 'OK', 'QUEUED', [name], 'OK', 'OK', name]);
      found.push(String(name));
    }
    return found.toSorted();
  };
  const three = ['other', 'other', 'other', ...Array<string>(7).fill('own')];

  test.each(['shared', 'dedicated'])('every client keeps its server, on %s links', async (upstream_connection) => {
    await using proxy = await startProxy({ route: null });
    await proxy.put(route, {
      upstream: to(own), protocol: { name: 'redis', conf: { upstream_connection } },
      plugins: split({ weight: 7 }, { upstream: to(other), weight: 3 }),
    });
    expect(await names(proxy)).toEqual(three);
  });

  test('a reload of other things moves nobody; weights concern new clients only', async () => {
    await using proxy = await startProxy({ route: null });
    const value = (a: number, b: number, more: object = {}): object => ({
      upstream: to(own), protocol: { name: 'redis' }, plugins: { ...split({ weight: a }, { upstream: to(other), weight: b }), ...more },
    });
    await proxy.put(route, value(1, 1));
    const clients = await Promise.all(Array.from({ length: 4 }, () => proxy.connect()));
    const ask = (): Promise<unknown[]> => Promise.all(clients.map((client) => client.command('GET', 'name')));
    const before = await ask();
    expect(before.toSorted()).toEqual(['other', 'other', 'own', 'own']);
    await proxy.put(route, value(1, 1, { 'fault-injection': { commands: ['keys'], abort: { error: 'no' } } }));
    expect(await ask()).toEqual(before);
    await proxy.put(route, value(1, 0));
    expect(await ask()).toEqual(before);
    expect(await (await proxy.connect()).command('GET', 'name')).toBe('own');
  });

  test('without its upstream in the configuration any more a client goes on with the route\'s own, in order', async () => {
    await using proxy = await startProxy({ route: null });
    await proxy.put(route, { upstream: to(own), protocol: { name: 'redis' }, plugins: split({ upstream: to(other) }) });
    const client = await proxy.connect();
    expect(await client.command('GET', 'name')).toBe('other');
    await proxy.put(route, { upstream: to(own), protocol: { name: 'redis' } });
    expect(await client.pipeline([['GET', 'name'], ['PING'], ['GET', 'name']])).toEqual(['own', 'PONG', 'own']);
  });

  test('an upstream whose node is away answers with an error; nobody is sent elsewhere, and the others do not notice', async () => {
    await using proxy = await startProxy({ route: null });
    await proxy.put(route, {
      upstream: to(own), protocol: { name: 'redis' }, plugins: split({ weight: 1 }, { upstream: { nodes: { [`127.0.0.1:${await freePort()}`]: 1 } }, weight: 1 }),
    });
    const [first, second] = [await proxy.connect(), await proxy.connect()];
    for (let i = 0; i < 3; i++) {
      const answers = await Promise.all([first.command('GET', 'name'), second.command('GET', 'name')]);
      expect(answers.map((each) => (each instanceof RespError ? 'error' : each)).toSorted()).toEqual(['error', 'own']);
    }
  });

  test('an entry may be the embedded server, beside a route that uses it', async () => {
    await using proxy = await startProxy({ route: null });
    await proxy.put(route, {
      upstream: { type: 'memory' }, protocol: { name: 'redis' }, plugins: split({ upstream: to(own) }, { upstream: { type: 'memory' } }),
    });
    const clients = [await proxy.connect(), await proxy.connect()];
    expect((await Promise.all(clients.map((client) => client.command('GET', 'name')))).toSorted()).toEqual([null, 'own']);
  });

  test('under load, while the weights change: no request fails, no answer is another client\'s', async () => {
    await using proxy = await startProxy({ route: null });
    const write = (a: number, b: number): Promise<void> => proxy.put(route, {
      upstream: to(own), protocol: { name: 'redis' }, plugins: split({ weight: a }, { upstream: to(other), weight: b }),
    });
    await write(1, 1);
    let over = false;
    let asked = 0;
    const work = Array.from({ length: 8 }, async (_, n) => {
      const client = await proxy.connect();
      const name = await client.command('GET', 'name');
      for (let i = 0; !over; i++) {
        const mark = `client ${n} ${i}`;
        expect(await client.pipeline([['ECHO', mark], ['GET', 'name'], ['ECHO', `${mark}'`]])).toEqual([mark, name, `${mark}'`]);
        asked++;
      }
    });
    for (let i = 1; i <= 30; i++) await write(1 + i % 5, 1 + i % 3);
    over = true;
    await Promise.all(work);
    expect(asked).toBeGreaterThan(50);
  });
});

test('message protocols honour it: every client keeps its node, over one link per node', async () => {
  await using own = await startLineUpstream((_line, socket) => { socket.write('own\n'); });
  await using other = await startLineUpstream((_line, socket) => { socket.write('other\n'); });
  await using proxy = await startProxy({ route: null, protocols: [lineProtocol], settings: { listeners: [{ port: await freePort() }] } });
  await proxy.put(route, {
    upstream: to(own), protocol: { name: 'line' }, plugins: split({ weight: 1 }, { upstream: to(other), weight: 1 }),
  });
  const found: (string | null)[] = [];
  for (let i = 0; i < 4; i++) {
    await using client = await connectLines(proxy.port);
    client.send('who\nwho\n');
    const name = await client.line();
    expect(await client.line()).toBe(name);
    found.push(name);
  }
  expect(found.toSorted()).toEqual(['other', 'other', 'own', 'own']);
  expect([own.accepted, other.accepted]).toEqual([1, 1]);
});

test('a wheel has each weight exactly once around, and no more turns than needed', () => {
  for (const weights of [[9, 1], [1], [0, 3], [5, 1, 1], [100, 300], [7, 11, 13]]) {
    const wheel = [...wheelOf(weights)];
    const divisor = weights.reduce((a, b) => a + b, 0) / wheel.length;
    expect(weights.map((_, i) => wheel.filter((each) => each === i).length * divisor)).toEqual(weights);
  }
  expect([...wheelOf([5, 1, 1])].join('')).toBe('0010200');
  expect(wheelOf([100, 300])).toHaveLength(4);
});
