// What routes have in common: services, plugin configs, global rules.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
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

test('one plugin in every place: service < plugin config < route < consumer, the global rule in addition and before them', async () => {
  await using proxy = await startProxy({ route: null });
  const admin = '/apisix/admin';
  const server = await RespClient.connect(redis.port);
  await server.command('ACL', 'SETUSER', 'jack', 'on', 'nopass', '~*', '+@all');
  await server.close();
  const places: readonly (readonly [path: string, value: Record<string, unknown>, error: string])[] = [
    ['services/s', { upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } } }, 'of the service'],
    ['plugin_configs/p', {}, 'of the plugin config'],
    ['stream_routes/1', { protocol: { name: 'redis' }, service_id: 's', plugin_config_id: 'p' }, 'of the route'],
    ['consumers/jack', { username: 'jack' }, 'of the consumer'],
    ['global_rules/g', {}, 'of the global rule'],
  ];
  for (const [path, value, error] of places) await proxy.put(`${admin}/${path}`, { ...value, plugins: refuse('get', error) });
  const [jack, other] = [await proxy.connect(), await proxy.connect()];
  expect(await jack.command('AUTH', 'jack', 'x')).toBe('OK');
  const asked = async (): Promise<unknown[]> => [await jack.command('GET', 'order'), await other.command('GET', 'order')];
  const errors = (...texts: string[]): RespError[] => texts.map((text) => new RespError(`ERR ${text}`));

  expect(await asked()).toEqual(errors('of the global rule', 'of the global rule'));
  await proxy.put(`${admin}/global_rules/g`, { plugins: refuse('nothing', 'never') });
  expect(await asked()).toEqual(errors('of the consumer', 'of the route'));
  const without = (path: string): Promise<unknown> => proxy.call('PATCH', `${admin}/${path}`, { plugins: { 'fault-injection': null } });
  await without('consumers/jack');
  expect(await asked()).toEqual(errors('of the route', 'of the route'));
  await without('stream_routes/1');
  expect(await asked()).toEqual(errors('of the plugin config', 'of the plugin config'));
  await without('plugin_configs/p');
  expect(await asked()).toEqual(errors('of the service', 'of the service'));
  // A place counts as a whole: that of the consumer says nothing of GET, so nothing refuses his.
  await proxy.put(`${admin}/consumers/jack`, { username: 'jack', plugins: refuse('set', 'of the consumer') });
  expect(await asked()).toEqual([null, ...errors('of the service')]);
});
