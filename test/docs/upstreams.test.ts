// The page about upstreams: what it begins with works, and its settings and files are right.
import { expect, test, vi } from 'vitest';
import { freePort } from '../support/ports.ts';
import { startRedis } from '../support/redis-server.ts';
import { blocksOf, readPage } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

test('upstreams: the route that the page begins with works, and shows the node that is not there', async () => {
  await using redis = await startRedis();
  await using reader = await Reader.open({ 6379: redis.port, 6380: await freePort() });
  await reader.start();
  expect(await reader.followAll(blocksOf(readPage('docs/upstreams.md')))).toBe(1);
});

test('upstreams: nodes come from the file of the page', async () => {
  await using redis = await startRedis();
  await using reader = await Reader.open({ 6379: redis.port });
  const blocks = blocksOf(readPage('docs/upstreams.md'));
  const yaml = (holds: string): string => blocks.find(({ language, code }) => language === 'yaml' && code.includes(holds))!.code;
  reader.place.write('millrace.yaml', yaml('discovery:'));
  reader.place.write('services.yaml', reader.translate(yaml('cache:').replaceAll('10.0.0', '127.0.0')));
  await reader.start();
  await reader.run(`curl -H "X-API-KEY: $(cat data/admin.key)" -X PUT http://127.0.0.1:9180/apisix/admin/stream_routes/1 -d '{
    "protocol": {"name": "redis"}, "upstream": {"service_name": "cache", "discovery_type": "file"}}'`);
  expect(await reader.run('redis-cli -p 9101 ping')).toBe('PONG\n');
});
