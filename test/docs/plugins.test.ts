// The pages of the plugins: what they begin with and their examples run, against a Millrace in a folder of its own.
import { readdirSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { udpLogSink } from '../support/log-sinks.ts';
import { startOtlpCollector } from '../support/otlp-collector.ts';
import { startRedis } from '../support/redis-server.ts';
import { blocksOf, readPage } from './page.ts';
import { Reader } from './reader.ts';

// A process is started, on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

async function follow(
  name: string, ports: Readonly<Record<string, number>> = {}, then = async (): Promise<void> => {},
): Promise<number> {
  await using reader = await Reader.open(ports);
  await reader.start();
  const followed = await reader.followAll(blocksOf(readPage(`docs/plugins/${name}.md`)));
  await then();
  return followed;
}

test('fault-injection: what the page says can be pasted and seen', async () => {
  expect(await follow('fault-injection')).toBe(5);
});

// Up to three times: with the Redis that the page uses a decision takes 50 ms at most, then the limit does not hold
// (allow_degradation), which a busy machine may not keep.
test('limit-count: what the page says can be pasted and seen', { retry: 2 }, async () => {
  await using redis = await startRedis();
  expect(await follow('limit-count', { 6379: redis.port })).toBe(4);
});

test.each(['ip-restriction', 'limit-conn', 'file-logger', 'http-logger', 'tcp-logger', 'udp-logger', 'kafka-logger'])('%s: what the page says can be pasted and seen', async (name) => {
  expect(await follow(name)).toBe(1);
});

test.each(['mocking', 'request-id', 'insight'])('%s: what the page says can be pasted and seen', async (name) => {
  expect(await follow(name)).toBe(1);
});

test('traffic-split: what the page says can be pasted and seen', async () => {
  await using redis = await startRedis();
  expect(await follow('traffic-split', { 6390: redis.port })).toBe(1);
});

test('logger: what the page says can be pasted and seen', async () => {
  expect(await follow('logger')).toBe(3);
});

test('syslog: what the page says can be pasted, and arrives as it says', async () => {
  await using server = await udpLogSink();
  expect(await follow('syslog', { 5044: server.port }, async () => void await server.wait(2))).toBe(2);
  const [first = '', second = ''] = server.records;
  expect(first).toMatch(/^<46>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ millrace \d+ - - \{"time":"[^"]+","route_id":"1","protocol":"redis",/);
  expect(second).toMatch(/ - - \{"took":[\d.e-]+,"line":"hmset animals cow moo","route_id":"1"\}$/);
});

test('opentelemetry: what the page says can be pasted, and the collector gets the span', async () => {
  await using collector = await startOtlpCollector();
  expect(await follow('opentelemetry', { 4318: collector.port }, async () => {
    await expect.poll(() => collector.spans, { timeout: 5000 }).toHaveLength(1);
  })).toBe(1);
  expect(collector.spans[0]).toMatchObject({
    name: 'get', resource: { 'service.name': 'redis-proxy' }, attributes: { 'app.user': '', 'app.key': 'user:1', 'millrace.outcome': 'ok' },
  });
});

test('every plugin has a page', () => {
  const plugins = readdirSync('plugins').filter((name) => name.endsWith('.ts')).map((name) => name.slice(0, -3));
  expect(readdirSync('docs/plugins').map((name) => name.replace(/\.md$/, '')).toSorted()).toEqual(plugins.toSorted());
});
