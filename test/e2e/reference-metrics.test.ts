// Metrics by the names that dashboards of the reference ask for, and what the process says of its configuration.
import { hostname } from 'node:os';
import { expect, test, vi } from 'vitest';
import { startEtcd } from '../support/etcd-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';

vi.setConfig({ testTimeout: 30_000 });

const checks = {
  active: { type: 'tcp', healthy: { interval: 1, successes: 1 }, unhealthy: { interval: 1, tcp_failures: 1 } },
};
async function lines(proxy: Proxy, name: string): Promise<string[]> {
  return (await proxy.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

test('each node with checks is 1 or 0 under the name of its upstream, once for all routes that use it, and gone with it', async () => {
  await using redis = await startRedis();
  const dead = await freePort();
  const node = (port: number): object => ({ host: '127.0.0.1', port, weight: 1 });
  await using proxy = await startProxy({ route: null, settings: { workers: 2 } });
  await proxy.put('/apisix/admin/upstreams/shared', { nodes: [node(redis.port), node(dead)], checks });
  for (const id of ['1', '2']) {
    await proxy.put(`/apisix/admin/stream_routes/${id}`, { remote_addr: `10.0.0.${id}`, upstream_id: 'shared', protocol: { name: 'redis' } });
  }
  await proxy.put('/apisix/admin/stream_routes/3', { remote_addr: '10.0.0.3', upstream: { nodes: [node(redis.port)], checks } });
  await proxy.put('/apisix/admin/stream_routes/4', { remote_addr: '10.0.0.4', upstream: { nodes: [node(dead)] } });
  const shared = [
    `apisix_upstream_status{ip="127.0.0.1",name="/apisix/upstreams/shared",port="${redis.port}"} 1`,
    `apisix_upstream_status{ip="127.0.0.1",name="/apisix/upstreams/shared",port="${dead}"} 0`,
  ];
  const own = `apisix_upstream_status{ip="127.0.0.1",name="/apisix/stream_routes/3",port="${redis.port}"} 1`;
  await expect.poll(async () => (await lines(proxy, 'apisix_upstream_status')).toSorted(), { timeout: 10_000 }).toEqual([own, ...shared].toSorted());
  await redis[Symbol.asyncDispose]();
  await expect.poll(async () => lines(proxy, 'apisix_upstream_status'), { timeout: 10_000 }).toContain(shared[0]!.replace(/1$/, '0'));
  for (const id of ['1', '2', '3']) expect((await proxy.call('DELETE', `/apisix/admin/stream_routes/${id}`)).status).toBe(200);
  expect(await lines(proxy, 'apisix_upstream_status')).toEqual([]);
});

test('connections are counted by route under the reference\'s name, too', async () => {
  await using proxy = await startProxy({ route: {} });
  for (let n = 0; n < 3; n++) expect(await (await proxy.connect()).command('PING')).toBe('PONG');
  expect(await lines(proxy, 'apisix_stream_connection_total')).toContain('apisix_stream_connection_total{route="1"} 3');
});

test('what runs, the revision of its configuration, and whether the store can be reached are told', async () => {
  await using etcd = await startEtcd();
  await using proxy = await startProxy({ route: null, settings: { store: { etcd: { endpoints: [etcd.endpoint], timeout_s: 1 } } } });
  expect((await lines(proxy, 'millrace_info'))[0]).toMatch(new RegExp(`^millrace_info\\{hostname="${hostname()}",version="\\d+\\.\\d+\\.\\d+"\\} 1$`));
  const revision = async (): Promise<number> => Number((await lines(proxy, 'millrace_config_revision'))[0]!.split(' ')[1]);
  const before = await revision();
  await proxy.put('/apisix/admin/upstreams/1', { nodes: { '127.0.0.1:1': 1 } });
  expect(await revision()).toBeGreaterThan(before);
  expect(await lines(proxy, 'millrace_store_up')).toEqual(['millrace_store_up 1']);
  await etcd.kill();
  await expect.poll(() => lines(proxy, 'millrace_store_up'), { timeout: 10_000 }).toEqual(['millrace_store_up 0']);
  await etcd.start();
  await expect.poll(() => lines(proxy, 'millrace_store_up'), { timeout: 20_000 }).toEqual(['millrace_store_up 1']);
});
