// What is held at the moment, and how commands went, on the metrics page.
import { expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';

const route = '/apisix/admin/stream_routes/1';

async function series(proxy: Proxy, pattern: RegExp): Promise<Record<string, number>> {
  const lines = (await proxy.metrics()).split('\n').filter((line) => !line.startsWith('#') && pattern.test(line));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

test('with metric.enable answers that are errors are counted by command, in runs and one by one, the server\'s and ours', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, route: null });
  const put = (plugins: object): Promise<void> => proxy.put(route, {
    server_port: proxy.port, upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, plugins,
    protocol: { name: 'redis', metric: { enable: true } },
  });
  await put({});
  const client = await proxy.connect();
  const run = [...Array.from({ length: 20 }, (_, i) => ['LPUSH', i % 4 === 0 ? 'text' : 'list', 'v']), ['GET', 'list'], ['GET', 'text'], ['SET', 'text', 'a\r\n-b']];
  await client.command('SET', 'text', 'x');
  await client.pipeline(run);
  await client.pipeline(Array.from({ length: 30 }, () => ['GET', 'text']));
  const errors = (command: string): string => `apisix_redis_command_errors_total{command="${command}",route="1"}`;
  expect(await series(proxy, /^apisix_redis_command_errors_total/)).toEqual({ [errors('lpush')]: 5, [errors('get')]: 1 });
  // With somebody who wants to see each request.
  await put({ 'request-id': {}, 'fault-injection': { commands: ['set'], abort: { error: 'no' } } });
  await client.pipeline(run);
  expect(await series(proxy, /^apisix_redis_command_errors_total/)).toEqual({ [errors('lpush')]: 10, [errors('get')]: 2, [errors('set')]: 1 });
  expect(await series(proxy, /^apisix_redis_commands_total\{command="(set|lpush)"/)).toEqual({
    'apisix_redis_commands_total{command="set",route="1"}': 3, 'apisix_redis_commands_total{command="lpush",route="1"}': 40,
  });
  // What is never answered by the server is an error, too.
  await put({});
  redis.process.kill('SIGSTOP');
  const waiting = client.pipeline([['INCR', 'n'], ['INCR', 'n']]);
  await expect.poll(() => series(proxy, /^millrace_requests_in_flight/)).toEqual({ millrace_requests_in_flight: 2 });
  redis.process.kill('SIGKILL');
  await waiting.catch(() => undefined);
  await expect.poll(() => series(proxy, /errors_total\{command="incr"/)).toEqual({ [errors('incr')]: 2 });
});

test('open connections, requests under way and clients that wait are shown by node, of all workers, and go with it', async () => {
  await using redis = await startRedis();
  const gone = await freePort();
  await using proxy = await startProxy({
    route: null, settings: { workers: 2 }, limits: { own_links_per_node: 1, own_link_wait_s: 20 },
  });
  const put = (ports: number[]): Promise<void> => proxy.put(route, {
    server_port: proxy.port, upstream: { nodes: Object.fromEntries(ports.map((port) => [`127.0.0.1:${port}`, 1])) }, protocol: { name: 'redis' },
  });
  await put([redis.port, gone]);
  const node = `127.0.0.1:${redis.port}`;
  // All may come to one worker, where not more than these may wait.
  const clients = await Promise.all(Array.from({ length: 4 }, () => proxy.connect()));
  for (const client of clients) await client.command('PING');
  await expect.poll(() => series(proxy, /node_up/)).toEqual({ [`millrace_upstream_node_up{node="127.0.0.1:${gone}"}`]: 0 });
  for (const client of clients) void client.command('BLPOP', 'nothing', '0').catch(() => undefined);
  await expect.poll(async () => {
    const { [`millrace_links_open{kind="own",node="${node}"}`]: own, [`millrace_own_links_waiting{node="${node}"}`]: waiting, ...others }
      = await series(proxy, /^millrace_(links_open|own_links_waiting|requests_in_flight)/);
    // One each for the workers that have clients.
    return { sum: own! + waiting!, own: own! >= 1 && own! <= 2, all: others['millrace_requests_in_flight'] };
  }).toEqual({ sum: 4, own: true, all: 4 });
  expect((await series(proxy, /links_open\{kind="shared"/))[`millrace_links_open{kind="shared",node="${node}"}`]).toBeGreaterThanOrEqual(1);
  for (const client of clients) await client.close();
  await expect.poll(() => series(proxy, /in_flight/)).toEqual({ millrace_requests_in_flight: 0, [`millrace_upstream_in_flight{node="${node}"}`]: 0 });
  await put([redis.port]);
  expect(await series(proxy, new RegExp(`:${gone}"`))).toEqual({});
  await using other = await startRedis();
  await put([other.port]);
  await expect.poll(() => series(proxy, new RegExp(`node="${node}"`))).toEqual({});
});
