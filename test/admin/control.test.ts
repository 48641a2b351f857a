// The reference's control API: the configuration that is in use, under its paths.
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';

test('routes, services, upstreams, metadata and schemas are shown under the reference\'s paths, without secrets and not without a key', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put('/apisix/admin/upstreams/1', { nodes: { '127.0.0.1:6379': 1 }, auth: { password: 'hunter2hunter2' } });
  await proxy.put('/apisix/admin/services/shop', { upstream_id: '1' });
  await proxy.put('/apisix/admin/stream_routes/r', { server_addr: '127.0.0.9', service_id: 'shop', protocol: { name: 'redis' } });
  await proxy.put('/apisix/admin/plugin_metadata/syslog', { log_format: { a: '$remote_addr' } });
  const get = async (path: string): Promise<any> => (await proxy.call('GET', `/v1/${path}`)).body;
  expect(await get('upstreams')).toEqual([{
    key: '/apisix/upstreams/1', createdIndex: expect.any(Number), modifiedIndex: expect.any(Number),
    value: expect.objectContaining({ id: '1', auth: { password: '***' } }),
  }]);
  expect((await get('upstream/1')).value.nodes).toEqual({ '127.0.0.1:6379': 1 });
  expect((await get('services')).map(({ key }: any) => key)).toEqual(['/apisix/services/shop']);
  expect((await get('service/shop')).value.upstream_id).toBe('1');
  expect((await get('stream_routes')).map(({ key }: any) => key)).toEqual(['/apisix/stream_routes/r']);
  expect((await get('stream_route/r')).value.service_id).toBe('shop');
  expect((await get('plugin_metadatas'))[0].value.log_format).toEqual({ a: '$remote_addr' });
  expect(await get('routes')).toEqual([]);
  const schema = await get('schema');
  expect(Object.keys(schema.main)).toEqual(expect.arrayContaining(['stream_route', 'upstream', 'service', 'consumer', 'ssl', 'global_rule']));
  expect(schema.stream_plugins['limit-conn']).toMatchObject({ priority: 1003, schema: { type: 'object' } });
  for (const [path, text] of [['route/1', 'route[1] not found'], ['upstream/2', 'upstream[2] not found'], ['service/2', 'service[2] not found'],
    ['plugin_metadata/x', 'plugin metadata[x] not found'], ['stream_route/2', 'stream route[2] not found']]) {
    expect(await proxy.call('GET', `/v1/${path}`)).toMatchObject({ status: 404, body: { error_msg: text } });
  }
  expect((await proxy.call('PUT', '/v1/plugins/reload')).status).toBe(200);
  for (const path of ['schema', 'upstreams', 'upstream/1', 'stream_routes']) expect((await fetch(`${proxy.admin}/v1/${path}`)).status).toBe(401);
});
