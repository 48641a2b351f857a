// Slow commands, hot keys and big values: the fixed memory alone, and all of it over Redis and several workers.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import insight from '../../plugins/insight.ts';
import { BigValues } from '../../plugins/insight/big-values.ts';
import { HotKeys } from '../../plugins/insight/hot-keys.ts';
import { LineRequest } from '../support/line-request.ts';
import { problemsOf, setUp, testContext } from '../support/plugin-context.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { sleep } from '../support/sleep.ts';

interface Insight {
  readonly total: number;
  readonly list: readonly {
    readonly route: string; readonly workers: readonly number[]; readonly observed: number; readonly slow: readonly { readonly command: string }[];
    readonly hot_keys: readonly object[];
    readonly big_values: readonly { readonly command: string; readonly key: string; readonly direction: string; readonly bytes: number }[];
  }[];
}

describe('hot keys', () => {
  test('counts are never too low, and too high by no more than they say', () => {
    const keys = new HotKeys(20, 0);
    const real = new Map<string, number>();
    // Two keys of three in a stream of a thousand that come once each.
    for (let i = 0; i < 3000; i++) {
      const key = i % 3 === 0 ? `once-${i}` : i % 3 === 1 ? 'hot' : `warm-${i % 2}`;
      real.set(key, (real.get(key) ?? 0) + 1);
      keys.add(key, 0);
    }
    const list = keys.list(5, 0);
    expect(list.slice(0, 3).map(({ key }) => key).toSorted()).toEqual(['hot', 'warm-0', 'warm-1']);
    expect(list[0]!.key).toBe('hot');
    for (const { key, count, error } of list) {
      expect(count).toBeGreaterThanOrEqual(real.get(key)!);
      expect(count - error).toBeLessThanOrEqual(real.get(key)!);
    }
    expect(list).toHaveLength(5);
    expect(keys.list(1000, 0)).toHaveLength(20);
  });

  test('the rarest one makes room, whatever was halved before', () => {
    const keys = new HotKeys(3, 0);
    for (const key of ['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b', 'c', 'c']) keys.add(key, 0);
    keys.add('d', 60_000);
    expect(keys.list(3, 60_000)).toEqual([
      { key: 'a', count: 2, error: 0 }, { key: 'b', count: 2, error: 0 }, { key: 'd', count: 2, error: 1 },
    ]);
  });

  test('what is not asked for any more fades', () => {
    const keys = new HotKeys(4, 0);
    for (let i = 0; i < 100; i++) keys.add('old', 0);
    for (let i = 0; i < 30; i++) keys.add('new', 120_000);
    expect(keys.list(4, 120_000)).toEqual([{ key: 'new', count: 30, error: 0 }, { key: 'old', count: 25, error: 0 }]);
    expect(keys.list(4, 3_600_000)).toEqual([]);
  });
});

test('big values: the biggest are kept, once for each command and key', () => {
  const values = new BigValues(2);
  const add = (key: string, bytes: number): void => {
    if (values.takes(bytes)) values.add({ command: 'get', key, bytes, direction: 'out', client: '', at: 0 });
  };
  for (const [key, bytes] of [['a', 10], ['b', 30], ['a', 20], ['c', 5], ['b', 29], ['d', 25]] as const) add(key, bytes);
  expect(values.list().map(({ key, bytes }) => [key, bytes])).toEqual([['b', 30], ['d', 25]]);
});

describe('what is looked at', () => {
  const state = (hooks: ReturnType<typeof setUp>): any => hooks.status!();

  test('samples and big requests by default; others are not wanted and stay on the fast path', () => {
    const hooks = setUp(insight, { sample: 0, big_bytes: 100 });
    expect(hooks.transient).toBe(true);
    expect([hooks.select!(new LineRequest('get a')), hooks.select!(new LineRequest(`set a ${'x'.repeat(100)}`))]).toEqual([false, true]);
    expect(setUp(insight, { sample: 1 }).select!(new LineRequest('get a'))).toBe(true);
  });

  test('a hundredth of the requests is a hundredth', () => {
    const hooks = setUp(insight, {});
    let wanted = 0;
    for (let i = 0; i < 100_000; i++) if (hooks.select!(new LineRequest('get a'))) wanted++;
    // Six standard deviations.
    expect(Math.abs(wanted - 1000)).toBeLessThan(190);
  });

  test('everything with `watch: all`: no slow command gets away, keys are still sampled', () => {
    const hooks = setUp(insight, { watch: 'all', sample: 0, slow_entries: 2 });
    expect(hooks.select).toBeUndefined();
    for (const took of [12, 3, 50, 9.9, 10]) hooks.log!(new LineRequest('get a').finish('+ok', took));
    expect(state(hooks)).toMatchObject({ observed: 5, slow_total: 3, hot_keys: [], slow: [{ took: 50 }, { took: 10 }] });
  });

  test('a big request is a sample like others when keys are counted', () => {
    const hooks = setUp(insight, { sample: 0, big_bytes: 10 });
    hooks.log!(new LineRequest(`set big ${'x'.repeat(100)}`).finish('+ok', 1));
    expect(state(hooks)).toMatchObject({ observed: 1, hot_keys: [], big_values: [{ command: 'set', key: 'big', direction: 'in', bytes: 109 }] });
  });

  test('lines and keys are cut', () => {
    const hooks = setUp(insight, { watch: 'all', sample: 1, slow_ms: 0 }, testContext());
    hooks.log!(new LineRequest(`get ${'k'.repeat(10_000)}`, undefined, { redis_cmd_line: 'l'.repeat(4000) }).finish('+ok', 1));
    const { slow, hot_keys: hot } = state(hooks);
    expect(slow[0].line).toBe(`${'l'.repeat(512)}...`);
    expect(hot[0].key).toMatch(/^k{128}\.\.\.\(10000 bytes, [0-9a-f]{16}\)$/);
  });

  test.each<[object, string]>([
    [{ sample: 2 }, 'sample'], [{ watch: 'some' }, 'watch'], [{ top: 0 }, 'top'], [{ slow_entries: 100_000 }, 'slow_entries'], [{ slow: 1 }, 'slow'],
  ])('%j is refused', (wrong, text) => {
    expect(problemsOf(insight, wrong).join('; ')).toContain(text);
  });
});

describe('over Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => { redis = await startRedis(); });
  afterAll(() => redis.stop());
  const read = async (proxy: Proxy, query = ''): Promise<Insight> =>
    (await proxy.call('GET', `/apisix/admin/insight${query}`)).body as Insight;

  test('several workers are joined: slow commands masked, keys summed, values by size, in and out', async () => {
    await using proxy = await startProxy({
      upstream: redis.port, settings: { workers: 2 }, route: { plugins: { insight: { watch: 'all', sample: 1, big_bytes: 50_000 } } },
    });
    const clients = await Promise.all(Array.from({ length: 8 }, () => proxy.connect()));
    const value = 'x'.repeat(200_000);
    await clients[0]!.command('SET', 'huge', value);
    await clients[1]!.command('SET', 'giant', 'x'.repeat(3_000_000));
    for (const client of clients) {
      for (let i = 0; i < 10; i++) await client.command('GET', 'hot');
      await client.command('MGET', 'hot', 'cold');
    }
    await clients[2]!.command('GET', 'huge');
    await clients[3]!.command('BLPOP', 'nothing', '0.05');
    await clients[4]!.command('EVAL', 'local t = redis.call("TIME")[1] + 0 for i = 1, 3000000 do t = t + i end return 1', '0', 'secret');
    await expect.poll(async () => (await read(proxy)).list[0]!.observed).toBe(93);
    const { total, list } = await read(proxy, '?route=1');
    const found = list[0]!;
    expect([total, found.route, found.workers.length]).toEqual([1, '1', 2]);
    expect(found.hot_keys.slice(0, 2)).toEqual([
      { key: 'hot', count: 88, error: 0, share: 0.88 }, { key: 'cold', count: 8, error: 0, share: 0.08 },
    ]);
    expect(found.big_values.map(({ command, key, direction, bytes }) => [command, key, direction, Math.floor(bytes / 100_000)])).toEqual([
      ['set', 'giant', 'in', 30], ['set', 'huge', 'in', 2], ['get', 'huge', 'out', 2],
    ]);
    expect(found.slow).toContainEqual({
      at: expect.any(Number), client: expect.stringMatching(/^127\.0\.0\.1:\d+$/), user: '', command: 'blpop', line: 'blpop nothing 0.05',
      took: expect.any(Number), node: `127.0.0.1:${redis.port}`, outcome: 'ok', worker: expect.any(Number),
    });
    expect(await read(proxy, '?route=2')).toEqual({ total: 0, list: [] });
    const { body } = await proxy.call('GET', '/apisix/admin/plugins/status');
    const places = body.places as { plugin: string; status: { slow: unknown } }[];
    expect(places.map(({ plugin, status }) => [plugin, Array.isArray(status.slow)])).toEqual([['insight', true], ['insight', true]]);
  });

  test('passwords do not show', async () => {
    await using proxy = await startProxy({ upstream: redis.port, route: { plugins: { insight: { watch: 'all', slow_ms: 0 } } } });
    const client = await proxy.connect();
    await client.command('AUTH', 'very-secret').catch(() => undefined);
    await client.command('MIGRATE', '127.0.0.1', '1', 'k', '0', '1', 'AUTH', 'very-secret').catch(() => undefined);
    await client.command('GET', 'a');
    await expect.poll(async () => (await read(proxy)).list[0]!.slow.map(({ command }) => command)).toContain('get');
    expect(JSON.stringify(await read(proxy))).not.toContain('very-secret');
  });

  test('with samples only, big requests are found whatever the dice say, giants that are passed on as they come, too', async () => {
    await using proxy = await startProxy({ upstream: redis.port, route: { plugins: { insight: { sample: 0 } } } });
    const client = await proxy.connect();
    await client.pipeline(Array.from({ length: 500 }, () => ['GET', 'a']));
    await client.command('SET', 'b', 'x'.repeat(150_000));
    // Of this one hardly more than its length is known when it is decided who wants to see it.
    client.send('*3\r\n$3\r\nSET\r\n$1\r\nc\r\n$3000000\r\nx');
    await sleep(100);
    client.send(`${'x'.repeat(2_999_999)}\r\n`);
    expect(await client.read(1)).toEqual(['OK']);
    await expect.poll(async () => (await read(proxy)).list[0]).toMatchObject({
      observed: 2, hot_keys: [], big_values: [{ key: 'c', direction: 'in' }, { key: 'b', direction: 'in' }],
    });
  });
});
