// kafka-logger against brokers of the test's own, which fail as they are told.
import { afterAll, beforeAll, expect, test } from 'vitest';
import kafkaLogger from '../../plugins/kafka-logger.ts';
import { missingPackages } from '../../plugins/logger/optional-package.ts';
import { startKafka, type KafkaCluster } from '../support/kafka-cluster.ts';
import { LineRequest } from '../support/line-request.ts';
import { problemsOf, setUp, testContext } from '../support/plugin-context.ts';
import { freePort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(() => redis.stop());

const conf = (cluster: { readonly ports: readonly number[] }, more: object = {}): Record<string, unknown> => ({
  brokers: cluster.ports.map((port) => ({ host: '127.0.0.1', port })), kafka_topic: 'access',
  log_format: { k: '$key' }, batch_max_size: 1, timeout: 1, ...more,
});
const request = (line: string): LineRequest => new LineRequest(line).finish('+ok');
const keys = ({ records }: KafkaCluster): unknown[] => records.map(({ value }) => (JSON.parse(value) as { k: string }).k);
const state = (hooks: ReturnType<typeof setUp>): { sent: number; dropped: number; pending: number } =>
  (hooks.status!() as { kafka: { sent: number; dropped: number; pending: number } }).kafka;

test('a record per request of a Redis route, in order, in the topic; with a key and acks as configured', async () => {
  await using cluster = await startKafka(1, 3);
  await using proxy = await startProxy({
    upstream: redis.port,
    route: { plugins: { 'kafka-logger': conf(cluster, { key: 'all', required_acks: -1, batch_max_size: 10, inactive_timeout: 0.1 }) } },
  });
  const client = await proxy.connect();
  await client.pipeline(Array.from({ length: 25 }, (_, i) => ['GET', `k${i}`]));
  await expect.poll(() => cluster.records.length).toBe(25);
  expect(keys(cluster)).toEqual(Array.from({ length: 25 }, (_, i) => `k${i}`));
  expect(cluster.acks).toEqual([-1, -1, -1]);
  expect(new Set(cluster.records.map(({ topic, partition, key }) => `${topic} ${partition} ${key}`)).size).toBe(1);
  expect(cluster.records[0]).toMatchObject({ topic: 'access', key: 'all' });
  expect(await proxy.metrics()).toContain('millrace_log_records_sent_total{plugin="kafka-logger",route="1"} 25\n');
});

test('without a key the partitions take turns', async () => {
  await using cluster = await startKafka(1, 3);
  const hooks = setUp(kafkaLogger, conf(cluster, { batch_max_size: 6 }));
  for (let i = 0; i < 6; i++) hooks.log!(request(`get k${i}`));
  await hooks.close!();
  expect(cluster.records.map(({ partition }) => partition).toSorted()).toEqual([0, 0, 1, 1, 2, 2]);
  expect(keys(cluster).toSorted()).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'k5']);
});

test('a partition that moved to another broker is found at once', async () => {
  await using cluster = await startKafka(2);
  const hooks = setUp(kafkaLogger, conf(cluster));
  hooks.log!(request('get before'));
  await expect.poll(() => cluster.records.length).toBe(1);
  cluster.leaders[0] = 1;
  hooks.log!(request('get after'));
  await expect.poll(() => cluster.records.length).toBe(2);
  expect(cluster.records.map(({ broker }) => broker)).toEqual([0, 1]);
  expect(state(hooks)).toEqual({ sent: 2, dropped: 0, pending: 0 });
  await hooks.close!();
});

test('the first broker is down: another one is asked', async () => {
  await using cluster = await startKafka(2);
  await cluster.stop(0);
  cluster.leaders[0] = 1;
  const hooks = setUp(kafkaLogger, conf(cluster));
  hooks.log!(request('get a'));
  await expect.poll(() => keys(cluster)).toEqual(['a']);
  await hooks.close!();
  await cluster.restart(0);
});

test('all are down: what waits is bounded, the rest is dropped and counted, and it goes on when they are back', { timeout: 30_000 }, async () => {
  await using cluster = await startKafka();
  const context = testContext();
  const hooks = setUp(kafkaLogger, conf(cluster, { max_pending_entries: 5, max_retry_count: 1000, retry_delay: 0.1, timeout: 0.5 }), context);
  hooks.log!(request('get first'));
  await expect.poll(() => keys(cluster)).toEqual(['first']);
  await cluster.stop(0);
  for (let i = 0; i < 100; i++) hooks.log!(request(`get k${i}`));
  expect(state(hooks)).toEqual({ sent: 1, dropped: 95, pending: 5 });
  expect(context.counted['log_records_dropped_total']).toBe(95);
  await new Promise((resolve) => { setTimeout(resolve, 500); });
  expect(state(hooks).pending).toBe(5);
  await cluster.restart(0);
  await expect.poll(() => state(hooks), { timeout: 15_000 }).toEqual({ sent: 6, dropped: 95, pending: 0 });
  expect(keys(cluster)).toEqual(['first', 'k0', 'k1', 'k2', 'k3', 'k4']);
  await hooks.close!();
});

test('a broker that never answers costs its timeout; a place that goes is not held up by it', { timeout: 30_000 }, async () => {
  await using cluster = await startKafka();
  cluster.silent = true;
  const hooks = setUp(kafkaLogger, conf(cluster, { timeout: 0.3 }));
  hooks.log!(request('get a'));
  await expect.poll(() => state(hooks), { timeout: 10_000 }).toEqual({ sent: 0, dropped: 1, pending: 0 });
  hooks.log!(request('get b'));
  const began = performance.now();
  await hooks.close!();
  expect(performance.now() - began).toBeLessThan(8000);
});

test('requests do not wait for brokers that are away, and the reason is in the log without the password', async () => {
  const cluster = { ports: [await freePort()] };
  await using proxy = await startProxy({ upstream: redis.port, route: { plugins: { 'kafka-logger': {
    ...conf(cluster), brokers: [{ host: '127.0.0.1', port: cluster.ports[0], sasl_config: { user: 'u', password: 'very-secret' } }],
  } } } });
  const client = await proxy.connect();
  const began = performance.now();
  await client.pipeline(Array.from({ length: 200 }, () => ['GET', 'a']));
  expect(performance.now() - began).toBeLessThan(1000);
  await expect.poll(() => proxy.records).toContainEqual(expect.objectContaining({ code: 'LOG_DROPPED', sink: 'kafka', msg: expect.stringContaining('ECONNREFUSED') }));
  expect(JSON.stringify(proxy.records)).not.toContain('very-secret');
  expect(JSON.stringify((await proxy.call('GET', '/apisix/admin/stream_routes/1')).body)).not.toContain('very-secret');
});

test('it logs in; with a wrong password nothing gets through', async () => {
  await using cluster = await startKafka();
  cluster.login = { user: 'u', password: 'right' };
  const brokers = (password: string): object => ({ brokers: [{ host: '127.0.0.1', port: cluster.ports[0], sasl_config: { user: 'u', password } }] });
  const good = setUp(kafkaLogger, conf(cluster, brokers('right')));
  const bad = setUp(kafkaLogger, conf(cluster, brokers('wrong')));
  good.log!(request('get a'));
  bad.log!(request('get b'));
  await Promise.all([good.close!(), bad.close!()]);
  expect(keys(cluster)).toEqual(['a']);
  expect([state(good).sent, state(bad).dropped]).toEqual([1, 1]);
});

test.each<[object, string]>([
  [{}, 'brokers'],
  [{ brokers: [{ host: 'a', port: 1 }] }, 'kafka_topic'],
  [{ brokers: [{ host: 'a', port: 1 }], kafka_topic: 'a b' }, '1..249 letters'],
  [{ brokers: [{ host: 'a', port: 1 }], kafka_topic: 't', required_acks: 0 }, 'required_acks'],
  [{ brokers: [{ host: 'a', port: 1, sasl_config: { user: 'u', password: 'p' } }, { host: 'b', port: 1 }], kafka_topic: 't' }, 'the same sasl_config for all'],
])('%j is refused', (wrong, text) => {
  expect(problemsOf(kafkaLogger, wrong).join('; ')).toContain(text);
});

test('packages that are not installed are told with what to do', () => {
  expect(missingPackages('kafka-logger', '@platformatic/kafka')).toEqual([]);
  expect(missingPackages('kafka-logger', '@platformatic/kafka', 'no-such-package-of-ours'))
    .toEqual(['kafka-logger needs a package that is not installed: npm install no-such-package-of-ours']);
  expect(missingPackages('a', 'no-such-package-of-ours', '@none/at-all'))
    .toEqual(['a needs packages that are not installed: npm install no-such-package-of-ours @none/at-all']);
});
