// Spans of requests, as a collector gets them.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { definePlugin, type Hooks } from '../../core/plugin.ts';
import type { Request } from '../../core/request.ts';
import opentelemetry from '../../plugins/opentelemetry.ts';
import { LineRequest } from '../support/line-request.ts';
import { startOtlpCollector, type OtlpCollector } from '../support/otlp-collector.ts';
import { problemsOf, setUp, testContext } from '../support/plugin-context.ts';
import { freePort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';
import { makeAuthority } from '../support/certificates.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

const state = (hooks: Hooks): Record<string, unknown> => hooks.status!();
const request = (line: string): LineRequest => new LineRequest(line).finish('+ok', 5);
const conf = ({ port }: { port: number }, more: object = {}): object =>
  ({ endpoint: `http://127.0.0.1:${port}`, sample: 1, batch_delay: 0.05, ...more });

describe('over Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => { redis = await startRedis(); });
  afterAll(() => redis.stop());

  test('a span says what was asked, of whom, by whom, how long it took and how it went; no payload', async () => {
    await using collector = await startOtlpCollector();
    const plugins = { opentelemetry: conf(collector, {
      headers: { authorization: 'Bearer very-secret' }, service_name: 'cache', resource: { 'deployment.environment.name': 'test' },
      attributes: { 'app.user': 'user $user', size: '$bytes_in' },
    }) };
    await using proxy = await startProxy({ upstream: redis.port, route: { plugins } });
    const client = await proxy.connect();
    const before = Date.now();
    await client.command('SET', 'key-of-mine', 'value-of-mine');
    await client.command('LPUSH', 'key-of-mine', 'x');
    await client.command('BLPOP', 'nothing', '0.1');
    await expect.poll(() => collector.spans.length).toBe(3);
    const [set, lpush, blpop] = collector.spans;
    expect(set).toMatchObject({
      name: 'set', kind: 3, status: { code: 0 },
      resource: { 'service.name': 'cache', 'deployment.environment.name': 'test', 'telemetry.sdk.language': 'nodejs' },
    });
    expect(set!.parentSpanId ?? '').toBe('');
    expect(set!.attributes).toEqual({
      'db.system': 'redis', 'db.system.name': 'redis', 'db.operation.name': 'set', 'db.namespace': '0', 'client.address': '127.0.0.1', 'client.port': client.localPort,
      'server.address': '127.0.0.1', 'server.port': redis.port, 'millrace.route': '1', 'millrace.outcome': 'ok',
      'millrace.session': expect.any(Number), 'millrace.wait_time': expect.any(Number), 'millrace.upstream_time': expect.any(Number),
      'millrace.bytes_in': 51, 'millrace.bytes_out': 5, 'app.user': 'user ', 'size': 51,
    });
    expect(lpush).toMatchObject({ name: 'lpush', status: { code: 2, message: 'error' }, attributes: { 'error.type': 'error', 'millrace.outcome': 'error' } });
    expect(blpop!.end - blpop!.start).toBeGreaterThan(95);
    for (const { start, end } of collector.spans) {
      expect(start).toBeGreaterThan(before - 50);
      expect(end).toBeLessThan(Date.now() + 1);
    }
    expect(new Set(collector.spans.map(({ traceId }) => traceId)).size).toBe(3);
    expect(JSON.stringify(collector.spans)).not.toContain('of-mine');
    expect(collector.posts[0]).toMatchObject({ path: '/v1/traces', headers: { authorization: 'Bearer very-secret' } });
    expect(JSON.stringify((await proxy.call('GET', '/apisix/admin/stream_routes/1')).body)).not.toContain('very-secret');
    expect(await proxy.metrics()).toMatch(/millrace_spans_sent_total\{plugin="opentelemetry",route="1"\} 3\n/);
  });

  test('a delay is told apart from the time of the server; what no server saw has none', async () => {
    await using collector = await startOtlpCollector();
    await using proxy = await startProxy({ upstream: redis.port, route: { plugins: {
      opentelemetry: conf(collector),
      'fault-injection': { commands: ['get', 'del'], delay: { duration: 0.2 } },
      mocking: { rules: [{ commands: ['del'], reply: 1 }] },
    } } });
    const client = await proxy.connect();
    await client.command('GET', 'a');
    await client.command('BLPOP', 'nothing', '0.2');
    await client.command('DEL', 'a');
    await expect.poll(() => collector.spans.length).toBe(3);
    const [get, blpop, del] = collector.spans.map(({ attributes, start, end }) => ({
      wait: Number(attributes['millrace.wait_time']), upstream: Number(attributes['millrace.upstream_time']),
      server: attributes['server.port'], took: (end - start) / 1000,
    }));
    expect(get!.wait).toBeGreaterThan(0.195);
    expect(get!.upstream).toBeLessThan(0.15);
    expect(get!.wait + get!.upstream).toBeCloseTo(get!.took, 2);
    expect(blpop!.wait).toBeLessThan(0.15);
    expect(blpop!.upstream).toBeGreaterThan(0.195);
    expect(blpop!.server).toBe(redis.port);
    expect(del).toMatchObject({ wait: NaN, upstream: NaN, server: undefined });
    expect(del!.took).toBeGreaterThan(0.195);
  });

  test('a place that changes sends what it has to the old collector, the new one gets what comes later; the end leaves nothing', async () => {
    await using first = await startOtlpCollector();
    await using second = await startOtlpCollector();
    const route = (collector: OtlpCollector): object => ({
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' },
      plugins: { opentelemetry: conf(collector, { batch_delay: 60 }) },
    });
    {
      await using proxy = await startProxy({ upstream: redis.port });
      await proxy.put('/apisix/admin/stream_routes/1', route(first));
      const client = await proxy.connect();
      await client.command('GET', 'a');
      expect(first.spans).toEqual([]);
      await proxy.put('/apisix/admin/stream_routes/1', route(second));
      await client.command('SET', 'a', 'b');
      await expect.poll(() => first.spans.map(({ name }) => name)).toEqual(['get']);
      expect(second.spans).toEqual([]);
    }
    expect(second.spans.map(({ name }) => name)).toEqual(['set']);
    expect(first.spans).toHaveLength(1);
  });

  test.each([[0, 1], [1, 100]])('with sample %d the objects of 100 requests are %d: who is not chosen stays on the fast path', async (sample, objects) => {
    await using collector = await startOtlpCollector();
    const seen = new Set<Request>();
    const watch = definePlugin({
      name: 'watch', priority: 1, schema: { type: 'object' },
      setup: () => ({ transient: true, request: (each) => { seen.add(each); } }),
    });
    await using proxy = await startProxy({
      upstream: redis.port, plugins: [watch], route: { plugins: { watch: {}, opentelemetry: conf(collector, { sample }) } },
    });
    const client = await proxy.connect();
    await client.pipeline(Array.from({ length: 100 }, () => ['GET', 'a']));
    expect(seen.size).toBe(objects);
    await expect.poll(() => collector.spans.length).toBe(sample * 100);
  });

  test('a route without protocol has a span per connection', async () => {
    await using collector = await startOtlpCollector();
    await using proxy = await startProxy({ route: null, settings: { listeners: [{ port: await freePort() }] } });
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, plugins: { opentelemetry: conf(collector) },
    });
    const client = await proxy.connect();
    await client.command('PING');
    // The server is told that the client ends, and closes.
    client.end();
    await expect.poll(() => collector.spans.length).toBe(1);
    expect(collector.spans[0]).toMatchObject({
      name: 'tcp', status: { code: 0 },
      attributes: { 'millrace.reason': 'upstream_ended', 'millrace.bytes_in': 14, 'millrace.bytes_out': 7, 'millrace.route': '1' },
    });
    expect(collector.spans[0]!.attributes).not.toHaveProperty('db.system');
  });

  test('the text of a command is masked', async () => {
    await using collector = await startOtlpCollector();
    await using proxy = await startProxy({ upstream: redis.port, route: { plugins: { opentelemetry: conf(collector, { command_text: true }) } } });
    const client = await proxy.connect();
    await client.command('MIGRATE', '127.0.0.1', '1', 'k', '0', '1', 'AUTH', 'very-secret');
    await client.command('GET', 'a');
    await expect.poll(() => collector.spans.map(({ attributes }) => attributes['db.query.text'])).toContain('get a');
    expect(JSON.stringify(collector.spans)).not.toContain('very-secret');
  });

  test('requests do not wait for a collector that is away; what is dropped is counted and said without secrets', async () => {
    const port = await freePort();
    const plugins = { opentelemetry: conf({ port }, { timeout: 0.2, headers: { 'x-key': 'very-secret' } }) };
    await using proxy = await startProxy({ upstream: redis.port, route: { plugins } });
    const client = await proxy.connect();
    await client.pipeline(Array.from({ length: 100 }, () => ['GET', 'a']));
    await expect.poll(() => proxy.records, { timeout: 5000 }).toContainEqual(
      expect.objectContaining({ code: 'LOG_DROPPED', sink: 'opentelemetry', route: '1', msg: expect.stringContaining('ECONNREFUSED') }));
    await expect.poll(() => proxy.metrics(), { timeout: 5000 }).toMatch(/millrace_spans_dropped_total\{plugin="opentelemetry",route="1"\} 100\n/);
    expect(JSON.stringify(proxy.records)).not.toContain('very-secret');
  });
});

describe('sampling', () => {
  test('who is not chosen is not wanted: there is no span, and the request stays on the fast path', async () => {
    await using collector = await startOtlpCollector();
    const hooks = setUp(opentelemetry, conf(collector, { sample: 0 }));
    expect(hooks.transient).toBe(true);
    expect(Array.from({ length: 1000 }, () => hooks.select!(request('get a'))).includes(true)).toBe(false);
    await hooks.close!();
    expect(collector.posts).toEqual([]);
  });

  test('a hundredth is chosen by default', () => {
    const hooks = setUp(opentelemetry, {});
    let chosen = 0;
    for (let i = 0; i < 100_000; i++) if (hooks.select!(request('get a'))) chosen++;
    // Six standard deviations.
    expect(Math.abs(chosen - 1000)).toBeLessThan(190);
  });
});

describe('what waits', () => {
  let collector: OtlpCollector;
  beforeAll(async () => { collector = await startOtlpCollector(); });
  afterAll(() => collector[Symbol.asyncDispose]());

  test('is sent in groups; what is left is sent when the place goes', async () => {
    const hooks = setUp(opentelemetry, conf(collector, { batch_max_size: 10, batch_delay: 60 }));
    for (let i = 0; i < 25; i++) hooks.log!(request('get a'));
    await hooks.close!();
    expect(collector.posts.map(({ count }) => count)).toEqual([10, 10, 5]);
    expect(state(hooks)).toEqual({ sent: 25, dropped: 0, pending: 0 });
  });

  test('is bounded: more is dropped and counted, and a refusal of the collector loses its group only', async () => {
    collector.answer = 400;
    const context = testContext();
    const hooks = setUp(opentelemetry, conf(collector, { max_pending: 10, batch_delay: 0.05 }), context);
    for (let i = 0; i < 25; i++) hooks.log!(request('get a'));
    expect(state(hooks)).toEqual({ sent: 0, dropped: 15, pending: 10 });
    await expect.poll(() => state(hooks)).toEqual({ sent: 0, dropped: 25, pending: 0 });
    collector.answer = 200;
    hooks.log!(request('get b'));
    await expect.poll(() => state(hooks)).toEqual({ sent: 1, dropped: 25, pending: 0 });
    expect(context.counted).toEqual({ spans_sent_total: 1, spans_dropped_total: 25 });
    await hooks.close!();
  });

  test('is tried again while the collector is busy, as long as the timeout allows', async () => {
    collector.answer = 503;
    const hooks = setUp(opentelemetry, conf(collector, { timeout: 5 }));
    const posts = collector.posts.length;
    hooks.log!(request('get c'));
    await expect.poll(() => collector.posts.length).toBe(posts + 1);
    collector.answer = 200;
    await expect.poll(() => state(hooks), { timeout: 5000 }).toEqual({ sent: 1, dropped: 0, pending: 0 });
    await hooks.close!();
  });

  test('does not hold up a place that goes while the collector says nothing', { timeout: 15_000 }, async () => {
    collector.answer = 0;
    const hooks = setUp(opentelemetry, conf(collector, { timeout: 30 }));
    hooks.log!(request('get d'));
    const began = performance.now();
    await hooks.close!();
    expect(performance.now() - began).toBeLessThan(8000);
    expect(state(hooks)).toEqual({ sent: 0, dropped: 1, pending: 0 });
    collector.answer = 200;
  });
});

test('an answer whose status came counts; its body does not hold up the next group longer than the timeout', async () => {
  await using collector = await startOtlpCollector();
  collector.answer = 'trickle';
  const hooks = setUp(opentelemetry, conf(collector, { timeout: 0.5 }));
  hooks.log!(request('get a'));
  await expect.poll(() => state(hooks), { timeout: 3000 }).toEqual({ sent: 1, dropped: 0, pending: 0 });
  collector.answer = 200;
  hooks.log!(request('get b'));
  await expect.poll(() => state(hooks), { timeout: 3000 }).toEqual({ sent: 2, dropped: 0, pending: 0 });
  expect(collector.posts).toHaveLength(2);
  await hooks.close!();
});

test('a collector over TLS has to prove who it is, unless told otherwise', async () => {
  using authority = makeAuthority();
  await using collector = await startOtlpCollector(authority.issue('localhost', ['DNS:localhost', 'IP:127.0.0.1']));
  const endpoint = `https://127.0.0.1:${collector.port}`;
  const strict = setUp(opentelemetry, conf(collector, { endpoint }));
  const lax = setUp(opentelemetry, conf(collector, { endpoint, ssl_verify: false }));
  strict.log!(request('get a'));
  lax.log!(request('get b'));
  await Promise.all([strict.close!(), lax.close!()]);
  expect(collector.spans.map(({ name, attributes }) => `${name} ${attributes['millrace.bytes_in']}`)).toEqual(['get 6']);
  expect([state(strict), state(lax)]).toEqual([{ sent: 0, dropped: 1, pending: 0 }, { sent: 1, dropped: 0, pending: 0 }]);
});

test('values are cut at 1024 characters', async () => {
  await using collector = await startOtlpCollector();
  const hooks = setUp(opentelemetry, conf(collector, { attributes: { key: '$key', keys: '$keys' } }));
  hooks.log!(request(`mget ${'k'.repeat(5000)} ${'l'.repeat(5000)}`));
  await hooks.close!();
  const { key, keys } = collector.spans[0]!.attributes;
  expect([String(key).length, String(keys).length]).toEqual([1024, 1024]);
});

test('an endpoint with a path is taken as it is', async () => {
  await using collector = await startOtlpCollector();
  const hooks = setUp(opentelemetry, conf(collector, { endpoint: `http://127.0.0.1:${collector.port}/ingest/otlp?tenant=7` }));
  hooks.log!(request('get a'));
  await hooks.close!();
  expect(collector.posts.map(({ path }) => path)).toEqual(['/ingest/otlp?tenant=7']);
});

test.each<[object, string]>([
  [{ endpoint: 'ftp://a' }, 'endpoint'], [{ endpoint: 'http://a:99999999' }, 'endpoint'],
  [{ endpoint: 'http://me:very-secret@a' }, 'endpoint: expected an address without user and password'], [{ headers: { 'a b': 'c' } }, 'headers'],
  [{ headers: { a: 'b\r\nc: d' } }, 'headers'], [{ sample: 2 }, 'sample'], [{ attributes: { a: '${b c}' } }, 'attributes.a'], [{ max_pending: 0 }, 'max_pending'],
])('%j is refused', (wrong, text) => {
  expect(problemsOf(opentelemetry, wrong).join('; ')).toContain(text);
});
