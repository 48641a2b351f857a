import { expect, test } from 'vitest';
import { ProxyError } from '../../core/errors.ts';
import { startAdmin } from './admin.ts';

const route = { server_port: 9100, protocol: { name: 'redis' }, upstream: { nodes: { '127.0.0.1:6379': 1 } } };
const at = { create_time: 1_700_000_000, update_time: 1_700_000_000 };

test('a route is created, read, listed, replaced and deleted with the bodies of the reference', async () => {
  await using bench = await startAdmin();
  const shown = { key: '/apisix/stream_routes/1', value: { ...route, id: '1', ...at } };
  expect(await bench.ask('PUT', '/apisix/admin/stream_routes/1', { body: route }))
    .toMatchObject({ status: 201, json: shown });
  const indexes = { createdIndex: 1, modifiedIndex: 1 };
  const one = await bench.ask('GET', '/apisix/admin/stream_routes/1');
  expect([one.status, one.json]).toEqual([200, { ...shown, ...indexes }]);
  const list = await bench.ask('GET', '/apisix/admin/stream_routes');
  expect([list.status, list.json]).toEqual([200, { total: 1, list: [{ ...shown, ...indexes }] }]);
  const changed = { ...route, server_port: 9200 };
  expect(await bench.ask('PUT', '/apisix/admin/stream_routes/1', { body: changed }))
    .toMatchObject({ status: 200, json: { key: shown.key, value: { server_port: 9200 } } });
  const gone = await bench.ask('DELETE', '/apisix/admin/stream_routes/1');
  expect([gone.status, gone.json]).toEqual([200, { deleted: '1', key: '/apisix/stream_routes/1' }]);
  for (const method of ['GET', 'DELETE']) {
    const missing = await bench.ask(method, '/apisix/admin/stream_routes/1');
    expect([missing.status, missing.json]).toEqual([404, { message: 'Key not found' }]);
  }
  expect((await bench.ask('GET', '/apisix/admin/stream_routes/')).json).toEqual({ total: 0, list: [] });
});

test('the short prefix leads to the same resources', async () => {
  await using bench = await startAdmin();
  expect((await bench.ask('PUT', '/admin/upstreams/u', { body: { nodes: { 'redis:6379': 1 } } })).json.key)
    .toBe('/apisix/upstreams/u');
  expect((await bench.ask('GET', '/apisix/admin/upstreams/u')).json.value.nodes).toEqual({ 'redis:6379': 1 });
});

test('a write is answered after the workers run it', async () => {
  await using bench = await startAdmin();
  bench.plane.delay = 30;
  await bench.ask('PUT', '/admin/stream_routes/1', { body: route });
  expect(bench.plane.applied.at(-1)?.resources.stream_routes.get('1')?.value).toEqual(route);
  await bench.ask('DELETE', '/admin/stream_routes/1');
  expect(bench.plane.applied.at(-1)?.resources.stream_routes.size).toBe(0);
});

test('fifty writes at once are all there, in an order, each answered with its own value', async () => {
  await using bench = await startAdmin();
  const answers = await Promise.all(Array.from({ length: 50 }, (_, index) =>
    bench.ask('PUT', `/admin/stream_routes/${index % 5}`, { body: { ...route, priority: index } })));
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(5);
  expect(answers.map(({ json }) => json.value.priority)).toEqual([...Array.from({ length: 50 }).keys()]);
  expect(bench.store.config.revision).toBe(50);
});

test('what the workers refuse is taken back, and the answer says why', async () => {
  await using bench = await startAdmin();
  await bench.ask('PUT', '/admin/stream_routes/1', { body: route });
  bench.plane.refuse = ({ resources }) => [...resources.stream_routes.values()]
    .filter(({ value }) => value['priority'] === 13)
    .map(({ id }) => ({ kind: 'stream_routes', id, code: 'PLUGIN_FAILED', text: 'limit-count: no such window' }));
  for (const id of ['1', '2']) {
    const refused = await bench.ask('PUT', `/admin/stream_routes/${id}`, { body: { ...route, priority: 13 } });
    expect([refused.status, refused.json.error_msg]).toEqual([400, 'limit-count: no such window']);
  }
  const { json } = await bench.ask('GET', '/admin/stream_routes');
  expect(json).toMatchObject({ total: 1, list: [{ value: route }] });
  expect(bench.plane.applied.at(-1)?.resources.stream_routes.get('1')?.value).toEqual(route);
});

test('a route that the workers refused before is no reason to refuse another change', async () => {
  await using bench = await startAdmin();
  await bench.file.put('stream_routes', 'broken', route);
  bench.plane.refuse = () => [{ kind: 'stream_routes', id: 'broken', code: 'PLUGIN_FAILED', text: 'broken' }];
  expect((await bench.ask('PUT', '/admin/stream_routes/1', { body: route })).status).toBe(201);
  expect((await bench.ask('DELETE', '/admin/stream_routes/1')).status).toBe(200);
});

test('an upstream change that breaks a route using it is taken back', async () => {
  await using bench = await startAdmin();
  bench.plane.refuse = ({ resources }) => (resources.upstreams.get('u')?.value['type'] === 'none'
    ? [{ kind: 'stream_routes', id: 'r', code: 'CONFIG_INVALID', text: 'needs another upstream' }] : []);
  const nodes = { 'redis:6379': 1 };
  await bench.ask('PUT', '/admin/upstreams/u', { body: { nodes } });
  await bench.ask('PUT', '/admin/stream_routes/r', { body: { upstream_id: 'u', protocol: { name: 'redis' } } });
  const refused = await bench.ask('PUT', '/admin/upstreams/u', { body: { nodes, type: 'none' } });
  expect([refused.status, refused.json.error_msg]).toEqual([400, 'stream_routes.r: needs another upstream']);
  expect(bench.store.get('upstreams', 'u')?.value).toEqual({ nodes });
});

test('a resource of the file is shown, and neither replaced nor deleted', async () => {
  await using bench = await startAdmin();
  await bench.file.put('upstreams', 'u', { nodes: { 'redis:6379': 1 } });
  expect((await bench.ask('GET', '/admin/upstreams/u')).json.value.nodes).toEqual({ 'redis:6379': 1 });
  const answers = [
    await bench.ask('PUT', '/admin/upstreams/u', { body: { nodes: {} } }),
    await bench.ask('DELETE', '/admin/upstreams/u'),
  ];
  for (const { status, json } of answers) {
    expect([status, json]).toEqual([409, {
      error_msg: 'upstream u stands in the resources file; it is read-only here, change it there',
    }]);
  }
  expect(bench.store.config.revision).toBe(0);
});

test('an upstream in use is deleted by force only, as is a superior route', async () => {
  await using bench = await startAdmin();
  await bench.ask('PUT', '/admin/upstreams/u', { body: { nodes: { 'redis:6379': 1 } } });
  await bench.ask('PUT', '/admin/stream_routes/1', { body: { protocol: { name: 'redis' }, upstream_id: 'u' } });
  const sub = { protocol: { name: 'redis', superior_id: '1' }, upstream_id: 'u' };
  await bench.ask('PUT', '/admin/stream_routes/2', { body: sub });
  const used = 'can not delete this upstream, stream_route [1] is still using it now';
  for (const force of ['', '?force=anything']) {
    const { status, json } = await bench.ask('DELETE', `/admin/upstreams/u${force}`);
    expect([status, json.error_msg]).toEqual([400, used]);
  }
  const superior = await bench.ask('DELETE', '/admin/stream_routes/1');
  expect([superior.status, superior.json.error_msg]).toEqual([400, 'can not delete this stream route directly, '
    + 'stream route [2] is still using it as superior_id']);
  expect((await bench.ask('DELETE', '/admin/stream_routes/1?force=true')).status).toBe(200);
  expect((await bench.ask('DELETE', '/admin/upstreams/u?force=true')).status).toBe(200);
});

test('a posted resource gets an id of 20 digits and takes none', async () => {
  await using bench = await startAdmin();
  const { status, json } = await bench.ask('POST', '/admin/stream_routes', { body: route });
  expect([status, json.key]).toEqual([201, '/apisix/stream_routes/00000000000000000001']);
  expect((await bench.ask('DELETE', `/admin/stream_routes/${json.value.id}`)).status).toBe(200);
  const wrong = { status: 400, json: { error_msg: 'wrong stream route id, do not need it' } };
  expect(await bench.ask('POST', '/admin/stream_routes/7', { body: route })).toMatchObject(wrong);
  expect(await bench.ask('POST', '/admin/stream_routes', { body: { ...route, id: '7' } })).toMatchObject(wrong);
});

test('the id may stand in the body instead of the path', async () => {
  await using bench = await startAdmin();
  expect(await bench.ask('PUT', '/admin/stream_routes', { body: { ...route, id: 7 } }))
    .toMatchObject({ status: 201, json: { key: '/apisix/stream_routes/7', value: { id: '7' } } });
  expect(bench.store.get('stream_routes', '7')?.value).toEqual(route);
});

test('a list is paged by ascending creation when page and size are numbers', async () => {
  await using bench = await startAdmin();
  for (let id = 1; id <= 11; id++) await bench.ask('PUT', `/admin/stream_routes/${id}`, { body: route });
  const counts = [];
  for (const page of [1, 2, 3, -1]) {
    const { json } = await bench.ask('GET', `/admin/stream_routes?page=${page}&page_size=10`);
    expect(json.total).toBe(11);
    counts.push(json.list.length);
  }
  expect(counts).toEqual([10, 1, 0, 10]);
  expect((await bench.ask('GET', '/admin/stream_routes?page=2&page_size=10')).json.list[0].value.id).toBe('11');
  expect(await bench.ask('GET', '/admin/stream_routes?page=1&page_size=2'))
    .toMatchObject({ status: 400, text: 'page_size must be between 10 and 500' });
  expect((await bench.ask('GET', '/admin/stream_routes?page=x&page_size=2')).json.list).toHaveLength(11);
});

test('metadata belongs to a plugin that exists', async () => {
  await using bench = await startAdmin();
  const path = '/apisix/admin/plugin_metadata';
  expect(await bench.ask('PUT', `${path}/limit-count`, { body: { count: 1 } }))
    .toMatchObject({ status: 201, json: { key: '/apisix/plugin_metadata/limit-count', value: { count: 1 } } });
  expect(await bench.ask('PUT', path, { body: { count: 1 } }))
    .toMatchObject({ status: 400, json: { error_msg: 'missing plugin name' } });
  expect(await bench.ask('PUT', `${path}/nobody`, { body: { count: 1 } }))
    .toMatchObject({ status: 400, json: { error_msg: 'invalid plugin name' } });
  expect(await bench.ask('PUT', `${path}/limit-count`, { body: { count: 0 } }))
    .toMatchObject({ status: 400, json: { errors: [{ path: 'count' }] } });
  expect(await bench.ask('DELETE', `${path}/limit-count`)).toMatchObject({ status: 200, json: { deleted: '1' } });
});

test('secrets are never shown, and stay when what was shown is sent back', async () => {
  await using bench = await startAdmin();
  const nodes = { 'redis:6379': 1 };
  const upstream = { nodes, auth: { username: 'me', password: 'S3CR3T-a' } };
  const body = { ...route, upstream, plugins: { 'limit-count': { count: 1, password: 'S3CR3T-b' } } };
  const put = await bench.ask('PUT', '/admin/stream_routes/1', { body });
  const list = await bench.ask('GET', '/admin/stream_routes');
  const get = await bench.ask('GET', '/admin/stream_routes/1');
  for (const { text } of [put, list, get]) expect(text).not.toContain('S3CR3T');
  expect(get.json.value).toMatchObject({
    upstream: { auth: { username: 'me', password: '***' } }, plugins: { 'limit-count': { password: '***' } },
  });
  const { create_time: _c, update_time: _u, ...shown } = get.json.value;
  expect((await bench.ask('PUT', '/admin/stream_routes/1', { body: { ...shown, priority: 1 } })).status).toBe(200);
  expect(bench.store.get('stream_routes', '1')?.value).toEqual({ ...body, priority: 1 });
  const copy = await bench.ask('PUT', '/admin/stream_routes/2', { body: { ...shown, id: '2' } });
  expect([copy.status, copy.json.errors[0].path]).toEqual([400, 'upstream.auth.password']);
});

test('a store that fails is 503 and changes nothing', async () => {
  await using bench = await startAdmin();
  Object.assign(bench.store, { persist: () => { throw new ProxyError('STORE_FAILED', 'the disk is full'); } });
  expect(await bench.ask('PUT', '/admin/stream_routes/1', { body: route }))
    .toMatchObject({ status: 503, json: { error_msg: 'the disk is full' } });
  expect((await bench.ask('GET', '/admin/stream_routes')).json.total).toBe(0);
});

test('a write that not every worker confirmed is 503', async () => {
  await using bench = await startAdmin();
  await bench.ask('PUT', '/admin/stream_routes/1', { body: route });
  bench.plane.failure = new Error('worker 3 does not answer');
  expect(await bench.ask('PUT', '/admin/stream_routes/1', { body: route })).toMatchObject({
    status: 503, json: { error_msg: 'the change is stored, but not every worker could be told' },
  });
});

