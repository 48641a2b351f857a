// What routes have in common: services, plugin configs, global rules.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { RespError } from '../support/resp.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(async () => { await redis[Symbol.asyncDispose](); });

const refuse = (command: string, error: string): object =>
  ({ 'fault-injection': { commands: [command], abort: { error } } });

test('a route takes upstream and plugins from its service and plugin config, and its own word wins', async () => {
  await using proxy = await startProxy({ route: null });
  const nodes = { [`127.0.0.1:${redis.port}`]: 1 };
  await proxy.put('/apisix/admin/services/s', { upstream: { nodes }, plugins: refuse('get', 'of the service') });
  await proxy.put('/apisix/admin/plugin_configs/p', { plugins: refuse('get', 'of the config') });
  const route = { protocol: { name: 'redis' }, service_id: 's' };
  await proxy.put('/apisix/admin/stream_routes/1', route);
  const client = await proxy.connect();
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  expect(await client.command('GET', 'a')).toEqual(new RespError('ERR of the service'));
  await proxy.put('/apisix/admin/stream_routes/1', { ...route, plugin_config_id: 'p' });
  expect(await client.command('GET', 'a')).toEqual(new RespError('ERR of the config'));
  await proxy.put('/apisix/admin/stream_routes/1', { ...route, plugin_config_id: 'p', plugins: refuse('set', 'of the route') });
  expect(await client.command('GET', 'a')).toBe('1');
  expect(await client.command('SET', 'a', '2')).toEqual(new RespError('ERR of the route'));
});

test('global rules run on every route, before its own plugins', async () => {
  await using proxy = await startProxy({ upstream: redis.port, route: { plugins: refuse('get', 'of the route') } });
  const client = await proxy.connect();
  expect(await client.command('GET', 'a')).toEqual(new RespError('ERR of the route'));
  await proxy.put('/apisix/admin/global_rules/1', { plugins: refuse('get', 'of all') });
  expect(await client.command('GET', 'a')).toEqual(new RespError('ERR of all'));
  expect((await proxy.call('PUT', '/apisix/admin/global_rules/2', { plugins: refuse('set', 'again') })).body.error_msg)
    .toContain("plugin 'fault-injection' already exists in global rule with id '1'");
  await proxy.call('DELETE', '/apisix/admin/global_rules/1');
  expect(await client.command('GET', 'a')).toEqual(new RespError('ERR of the route'));
});
