import { expect, test } from 'vitest';
import { startAdmin } from './admin.ts';

test('metrics are a Prometheus page, from this machine without a key', async () => {
  await using bench = await startAdmin();
  for (const path of ['/metrics', '/apisix/prometheus/metrics']) {
    const { status, headers, text } = await bench.ask('GET', path, { withoutKey: true });
    expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    expect(text).toContain('# TYPE millrace_requests_total counter\nmillrace_requests_total 3\n');
  }
});

test('health is for everybody, readiness says why not', async () => {
  let why: string | null = null;
  await using bench = await startAdmin({ ready: () => why });
  const ask = async (path: string): Promise<unknown> => {
    const { status, json } = await bench.ask('GET', path, { withoutKey: true });
    return [status, json];
  };
  for (const path of ['/healthz', '/status', '/status/ready']) {
    expect(await ask(path)).toEqual([200, { status: 'ok' }]);
  }
  why = 'shutting down';
  expect(await ask('/status/ready')).toEqual([503, { error_msg: 'shutting down' }]);
  expect(await ask('/healthz')).toEqual([200, { status: 'ok' }]);
});

test('HEAD /apisix/admin is 200 without a key and without a body; other methods there are for nobody', async () => {
  await using bench = await startAdmin();
  for (const path of ['/apisix/admin', '/apisix/admin/']) {
    const { status, text } = await bench.ask('HEAD', path, { withoutKey: true });
    expect([status, text]).toEqual([200, '']);
  }
  expect((await bench.ask('GET', '/apisix/admin', { withoutKey: true })).status).toBe(401);
  expect((await bench.ask('GET', '/apisix/admin')).status).toBe(404);
});

test('HEAD of a resource, a list and a schema has the status and headers of GET and no body', async () => {
  await using bench = await startAdmin();
  await bench.ask('PUT', '/apisix/admin/upstreams/1', { body: { nodes: { '127.0.0.1:6379': 1 } } });
  for (const prefix of ['/apisix/admin', '/admin']) {
    for (const [path, expected] of [
      ['upstreams', 200], ['upstreams/1', 200], ['upstreams/2', 404], ['configs', 200], ['plugins/list', 200], ['schema/nothing', 400], ['nothing', 404],
    ] as const) {
      const [head, get] = [await bench.ask('HEAD', `${prefix}/${path}`), await bench.ask('GET', `${prefix}/${path}`)];
      expect([head.status, head.text], `${prefix}/${path}`).toEqual([expected, '']);
      expect([get.status, head.headers['etag'], head.headers['content-length']], path).toEqual([expected, get.headers['etag'], get.headers['content-length']]);
    }
  }
});

test('plugins are listed by priority, with schemas and status', async () => {
  await using bench = await startAdmin();
  const get = async (path: string): Promise<any> => (await bench.ask('GET', `/apisix/admin/${path}`)).json;
  expect(await get('plugins/list')).toEqual(['fault-injection', 'limit-count']);
  expect(await get('plugins/list?subsystem=stream')).toEqual(['fault-injection', 'limit-count']);
  expect(await bench.ask('GET', '/apisix/admin/plugins/list?subsystem=udp'))
    .toMatchObject({ status: 400, text: 'invalid subsystem passed' });
  expect((await get('plugins/limit-count')).properties.count).toEqual({ type: 'integer', minimum: 1 });
  expect((await get('schema/plugins/limit-count')).properties._meta.properties.priority.type).toBe('integer');
  expect((await get('plugins/limit-count?schema_type=metadata')).required).toEqual(['count']);
  expect(await get('plugins/status')).toEqual({
    workers: [{ worker: 0, revision: 7, sessions: 3 }, { worker: 1, revision: 7, sessions: 3 }],
    modules: [{ kind: 'plugin', name: 'limit-count', file: 'limit-count.ts', generation: 1, error: null }],
    listeners: [],
    places: [0, 1].map((worker) => (
      { plugin: 'limit-count', version: '1', route: '1', worker, status: { left: 4 } })),
  });
});

test('schemas of resources and protocols can be read', async () => {
  await using bench = await startAdmin();
  const properties = async (name: string): Promise<any> =>
    (await bench.ask('GET', `/admin/schema/${name}`)).json.properties;
  expect((await properties('stream_route')).server_port.maximum).toBe(65535);
  expect((await properties('upstream')).retries.maximum).toBe(255);
  expect((await properties('protocols/redis')).faults).toEqual({ type: 'array' });
  expect((await bench.ask('GET', '/admin/schema/protocols/smtp')).status).toBe(404);
});
