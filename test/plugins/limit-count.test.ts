import { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Engine } from '../../core/engine.ts';
import { defaultLimits } from '../../core/limits.ts';
import { silentLogger } from '../../core/log.ts';
import { Metrics } from '../../core/metrics.ts';
import type { Client, Hooks } from '../../core/plugin.ts';
import { NodeTable } from '../../core/upstream/node.ts';
import { Upstream, type UpstreamConf } from '../../core/upstream/upstream.ts';
import { SharedWindows } from '../../core/windows.ts';
import plugin from '../../plugins/limit-count.ts';
import { keySlot } from '../../plugins/limit-count/key-slot.ts';
import { redisClient } from '../../protocols/redis/client.ts';
import { LineRequest, lineSession } from '../support/line-request.ts';
import { problemsOf, setUp, testContext } from '../support/plugin-context.ts';
import { freePort } from '../support/ports.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

const from = (address: string, line = 'get a'): LineRequest =>
  new LineRequest(line, lineSession({ remoteAddress: address }));

/** `.` for each request that passes, `x` for each refused one. */
async function pattern(hooks: Hooks, ...requests: LineRequest[]): Promise<string> {
  let seen = '';
  for (const request of requests) {
    await hooks.request!(request);
    seen += request.settled ? 'x' : '.';
  }
  return seen;
}

/**
 * Rejects unless it is settled before a timer that was started with it: a busy machine delays both, and timers that are
 * due together still run in their order.
 */
function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  return Promise.race([work, sleep(milliseconds).then(() => { throw new Error(`expected it within ${milliseconds} ms`); })]);
}

const times = (count: number, address = '10.0.0.1'): LineRequest[] =>
  Array.from({ length: count }, () => from(address));

describe('local', () => {
  test('lets count requests of one client through per window', async () => {
    const context = testContext();
    const hooks = setUp(plugin, { count: 2, time_window: 60 }, context);
    expect(await pattern(hooks, ...times(3), ...times(3, '10.0.0.2'))).toBe('..x..x');
    context.advance(60_000);
    expect(await pattern(hooks, ...times(3))).toBe('..x');
    expect(context.counted).toMatchObject({
      limit_count_allowed_total: 6, limit_count_rejected_total: 3, limit_count_left: 0,
    });
  });

  test('refuses with the text of its configuration, synchronously', () => {
    for (const [conf, text] of [[{}, 'rate limit exceeded'], [{ rejected_msg: 'slow down' }, 'slow down']] as const) {
      const hooks = setUp(plugin, { count: 1, time_window: 60, ...conf });
      const requests = times(2);
      expect(requests.map((request) => hooks.request!(request))).toEqual([undefined, undefined]);
      expect(requests[1]!.refusal).toMatchObject({ code: 'LIMIT_EXCEEDED', message: text, close: false });
    }
  });

  test('a sliding window counts what still overlaps', async () => {
    const context = testContext();
    const hooks = setUp(plugin, { count: 10, time_window: 10, window_type: 'sliding' }, context);
    expect(await pattern(hooks, ...times(11))).toBe('..........x');
    context.advance(15_000);
    expect(await pattern(hooks, ...times(6))).toBe('.....x');
  });

  test.each<[object, LineRequest[], string]>([
    [{ key: 'key' }, [from('1.1.1.1', 'get a'), from('1.1.1.2', 'get a'), from('1.1.1.1', 'get b')], '.x.'],
    [{ key: '$key' }, [from('1.1.1.1', 'get a'), from('1.1.1.2', 'get a')], '.x'],
    [{ key: '$remote_addr $command', key_type: 'var_combination' },
      [from('1.1.1.1', 'get a'), from('1.1.1.1', 'set a'), from('1.1.1.1', 'get b')], '..x'],
    [{ key: 'all', key_type: 'constant' }, [from('1.1.1.1'), from('1.1.1.2')], '.x'],
    [{ key: 'user' }, [from('1.1.1.1'), from('1.1.1.2'), from('1.1.1.1')], '..x'],
  ])('%j', async (conf, requests, expected) => {
    expect(await pattern(setUp(plugin, { count: 1, time_window: 60, ...conf }), ...requests)).toBe(expected);
  });

  test('places of a group share their counts, others do not, and an edited limit begins anew', async () => {
    const windows = new SharedWindows(SharedWindows.allocate(), { origin: 0 });
    const at = (routeId: string, conf: object): Hooks =>
      setUp(plugin, { count: 2, time_window: 60, ...conf }, testContext({ windows, routeId }));
    expect(await pattern(at('1', { group: 'g' }), ...times(1))).toBe('.');
    expect(await pattern(at('2', { group: 'g' }), ...times(2))).toBe('.x');
    expect(await pattern(at('1', {}), ...times(3))).toBe('..x');
    expect(await pattern(at('2', {}), ...times(1))).toBe('.');
    expect(await pattern(at('1', { rejected_msg: 'another text' }), ...times(1))).toBe('x');
    expect(await pattern(at('1', { count: 3 }), ...times(4))).toBe('...x');
  });

  test('an operator sees what is left', async () => {
    const hooks = setUp(plugin, { count: 3, time_window: 60 });
    await pattern(hooks, ...times(2), ...times(4, '10.0.0.2'));
    expect(hooks.status!()).toEqual({
      policy: 'local', count: 3, time_window: 60,
      recent: [{ key: '10.0.0.1', left: 1 }, { key: '10.0.0.2', left: 0 }],
    });
  });
});

describe('what is refused when it is written', () => {
  const basic = { count: 1, time_window: 60 };
  test.each<[object, string]>([
    [{ policy: 'redis' }, 'redis_host: expected because policy is redis, got nothing'],
    [{ policy: 'redis-cluster' }, 'redis_cluster_nodes: expected because policy is redis-cluster, got nothing'],
    [{ redis_host: 'a' }, 'redis_host: expected only with policy redis, got policy local'],
    [{ policy: 'redis', redis_host: 'a', redis_cluster_nodes: ['a:1'] },
      'redis_cluster_nodes: expected only with policy redis-cluster, got policy redis'],
    [{ policy: 'redis', redis_host: 'a', redis_username: 'u' },
      'redis_password: expected beside redis_username, got nothing'],
    [{ key: 'remote_addr', key_type: 'var_combination' },
      'key: expected a text with $variables for key_type var_combination, got "remote_addr"'],
    [{ key: 'a b' }, 'key: variable: expected letters, digits and _, got "a b"'],
    [{ key: 'rpc_time' }, 'key: expected variables that are known before the answer, got "rpc_time"'],
  ])('%j', (conf, message) => {
    expect(problemsOf(plugin, { ...basic, ...conf })).toEqual([message]);
  });

  test('a group whose members differ', () => {
    const mine = { ...basic, group: 'g' };
    const others = (conf: object): { place: string; conf: unknown }[] => [{ place: 'stream_routes/2', conf }];
    expect(problemsOf(plugin, mine, others({ ...basic, group: 'g', key: 'remote_addr' }))).toEqual([]);
    expect(problemsOf(plugin, mine, others({ ...basic, count: 2, group: 'h' }))).toEqual([]);
    expect(problemsOf(plugin, mine, others({ ...basic, count: 2, group: 'g' })))
      .toEqual(['group conf mismatched: stream_routes/2 has the group g with other settings']);
  });

  test.each([
    {}, { count: 1 }, { count: 0, time_window: 1 }, { ...basic, policy: 'redis-sentinel' }, { ...basic, more: 1 },
    { ...basic, window_type: 'rolling' }, { ...basic, rejected_msg: '' },
  ])('%j by the schema', (conf) => {
    expect(problemsOf(plugin, conf).length).toBeGreaterThan(0);
  });

  test('no text shows the password', () => {
    const conf = { ...basic, policy: 'local', redis_password: 'canary-secret', redis_host: 'a' };
    expect(JSON.stringify(problemsOf(plugin, conf))).not.toContain('canary');
    expect(JSON.stringify(problemsOf(plugin, { ...conf, redis_password: ['canary-secret'] }))).not.toContain('canary');
  });
});

/** Somebody else's, to know that the plugin and not our client is right. */
function foreignClient(upstream: unknown): Client {
  const { nodes, auth } = upstream as { nodes: Record<string, number>; auth?: { password: string } };
  const [host, port] = Object.keys(nodes)[0]!.split(':');
  const redis = new Redis({
    host: host!, port: Number(port), password: auth?.password ?? '', maxRetriesPerRequest: 0, commandTimeout: 5000,
    retryStrategy: () => 50, enableOfflineQueue: true,
  });
  redis.on('error', () => {});
  return {
    call: ([name, ...args]) => redis.call(String(name), ...args.map(String)),
    close: () => redis.disconnect(),
  };
}

/** The one that plugins are given: over links of Millrace's own. */
function ownClient(upstream: unknown): Client {
  const engine = new Engine({
    log: silentLogger, metrics: new Metrics(), limits: defaultLimits, firstSession: 1, sessionStep: 1,
    windows: new SharedWindows(SharedWindows.allocate(16)),
  });
  const table = new NodeTable();
  const conf = upstream as UpstreamConf;
  const client = redisClient(new Upstream({ conf, table, limits: defaultLimits, defaultPort: 6379, id: 'test' }), engine);
  return {
    call: (command, timeout) => client.call(command, timeout),
    close: () => {
      client.close();
      table.close();
      engine.close();
    },
  };
}

const clients: [string, (upstream: unknown) => Client][] = [['ioredis', foreignClient], ['own links', ownClient]];

describe.each(clients)('redis over %s', (_name, makeClient) => {
  let server: RedisServer;
  let direct: Redis;
  const conf = (): object =>
    ({ count: 3, time_window: 1, policy: 'redis', redis_host: '127.0.0.1', redis_port: server.port });
  const context = () => testContext({ client: (_protocol, upstream) => makeClient(upstream) });
  const warm = async (hooks: Hooks): Promise<void> => { await pattern(hooks, from('192.0.2.1')); };

  beforeAll(async () => {
    server = await startRedis();
    direct = new Redis({ port: server.port, host: '127.0.0.1' });
  });
  afterAll(async () => {
    direct.disconnect();
    await server.stop();
  });

  test.each(['fixed', 'sliding'])('counts over several proxies, window type %s', async (type) => {
    await direct.flushall();
    const proxies = [0, 1].map(() => setUp(plugin, { ...conf(), time_window: 60, window_type: type }, context()));
    let seen = '';
    for (let i = 0; i < 6; i++) seen += await pattern(proxies[i % 2]!, from('10.0.0.1'));
    expect(seen).toBe('...xxx');
    expect(proxies[1]!.status!()).toMatchObject({ store_up: true, recent: [{ key: '10.0.0.1', left: 0 }] });
    for (const proxy of proxies) await proxy.close!();
  });

  test('exactly the limit passes when many ask at once, and nothing stays for ever', async () => {
    await direct.flushall();
    const hooks = setUp(plugin, { ...conf(), count: 50, time_window: 60 }, context());
    const requests = times(200);
    await Promise.all(requests.map(async (request) => { await hooks.request!(request); }));
    expect(requests.filter((request) => !request.settled)).toHaveLength(50);
    const [key] = await direct.keys('*');
    expect(key).toMatch(/^limit-count:route:1:[0-9a-f]{12}:10\.0\.0\.1$/);
    expect(await direct.pttl(key!)).toBeGreaterThan(50_000);
    await hooks.close!();
  });

  test('the window ends', async () => {
    await direct.flushall();
    const hooks = setUp(plugin, conf(), context());
    expect(await pattern(hooks, ...times(4))).toBe('...x');
    await sleep(1050);
    expect(await pattern(hooks, ...times(4))).toBe('...x');
    await hooks.close!();
  });

  test('counts in the database that was asked for, and leaves the connection where it was', async () => {
    await direct.flushall();
    const hooks = setUp(plugin, { ...conf(), redis_database: 3 }, context());
    expect(await pattern(hooks, ...times(1))).toBe('.');
    expect(await direct.info('keyspace')).toMatch(/db3:keys=1/);
    expect(await direct.dbsize()).toBe(0);
    await hooks.close!();
  });

  test.each([[true, '...', null], [false, 'xxx', 'LIMIT_STORE_FAILED']])(
    'a store that hangs: decided without it, allow_degradation %s', async (allow, expected, code) => {
      await using stopped = await startRedis();
      const own = context();
      const hooks = setUp(plugin, { ...conf(), redis_port: stopped.port, allow_degradation: allow }, own);
      await warm(hooks);
      // A busy machine may have been late before.
      const failuresBefore = own.counted['limit_count_store_failures_total'] ?? 0;
      stopped.process.kill('SIGSTOP');
      const requests = times(3);
      let seen = '';
      for (const request of requests) seen += await within(1000, pattern(hooks, request));
      expect(seen).toBe(expected);
      expect(requests[0]!.refusal?.code ?? null).toBe(code);
      expect(hooks.status!()).toMatchObject({ store_up: false, allow_degradation: allow });
      expect(own.counted).toMatchObject({ limit_count_store_up: 0, limit_count_store_failures_total: failuresBefore + 3 });
      // After three failures it does not ask any more; a second later it does again.
      let decided = '';
      void pattern(hooks, from('10.0.0.1')).then((how) => { decided = how; });
      await new Promise((turned) => { setImmediate(turned); });
      expect(decided).toBe(expected[0]);
      stopped.process.kill('SIGCONT');
      let asked = 0;
      await expect.poll(async () => {
        own.advance(1001);
        return [await pattern(hooks, from(`10.0.1.${asked++}`)), hooks.status!()['store_up']];
      }).toEqual(['.', true]);
      await hooks.close!();
    });

  test('logs in, and neither logs nor status nor texts show the password', async () => {
    await using locked = await startRedis(['--requirepass', 'canary-password']);
    const said: string[] = [];
    const log = pino({ level: 'trace' }, { write: (line: string) => { said.push(line); } });
    const place = (password: string): Hooks => setUp(plugin,
      { ...conf(), redis_port: locked.port, redis_password: password, redis_timeout: 1000 },
      testContext({ log, client: (_protocol, upstream) => makeClient(upstream) }));
    const good = place('canary-password');
    expect(await pattern(good, ...times(4))).toBe('...x');
    const bad = place('canary-mistake');
    const [refused] = times(1);
    expect(await pattern(bad, refused!)).toBe('x');
    expect(refused!.refusal?.message).toBe('failed to limit count');
    expect(said.some((line) => line.includes('LIMIT_STORE_FAILED'))).toBe(true);
    expect([...said, JSON.stringify(good.status!()), JSON.stringify(bad.status!())].join('')).not.toContain('canary');
    await good.close!();
    await bad.close!();
  });

  test('a store that is gone is decided the same way', async () => {
    const hooks = setUp(plugin, { ...conf(), redis_port: await freePort(), allow_degradation: true }, context());
    expect(await pattern(hooks, ...times(2))).toBe('..');
    await hooks.close!();
  });
});

describe('redis-cluster', () => {
  test.each(clients)('finds the member that has the key, over %s', async (_name, makeClient) => {
    // Its own choice, 10,000 above, may be taken by an outgoing connection.
    const [busOfA, busOfB] = [await freePort(), await freePort()];
    const member = (bus: number): Promise<RedisServer> => startRedis(
      ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1', '--cluster-port', String(bus)]);
    await using a = await member(busOfA);
    await using b = await member(busOfB);
    const [left, right] = [a, b].map(({ port }) => new Redis({ port, host: '127.0.0.1' }));
    await left!.call('CLUSTER', 'ADDSLOTSRANGE', '0', '8191');
    await right!.call('CLUSTER', 'ADDSLOTSRANGE', '8192', '16383');
    await left!.call('CLUSTER', 'MEET', '127.0.0.1', String(b.port), String(busOfB));
    for (const node of [left!, right!]) {
      await expect.poll(() => node.call('CLUSTER', 'INFO'), { timeout: 15_000 })
        .toMatch(/cluster_state:ok[^]*cluster_known_nodes:2/);
    }
    const hooks = setUp(plugin, {
      count: 2, time_window: 60, policy: 'redis-cluster', redis_cluster_nodes: [`127.0.0.1:${a.port}`],
      redis_cluster_name: 'test',
    }, testContext({ client: (_protocol, upstream) => makeClient(upstream) }));
    for (let i = 0; i < 20; i++) expect(await pattern(hooks, ...times(3, `10.0.0.${i}`))).toBe('..x');
    expect(Number(await left!.dbsize()) + Number(await right!.dbsize())).toBe(20);
    expect(Number(await right!.dbsize())).toBeGreaterThan(0);
    await hooks.close!();
    left!.disconnect();
    right!.disconnect();
  });

  test.each([['123456789', 12739], ['foo{bar}{zap}', 5061], ['foo{}{bar}', 8363], ['', 0]])(
    'slot of %j', (key, slot) => { expect(keySlot(key)).toBe(slot); });
});
