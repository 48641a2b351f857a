// Partial changes, conditions, ends, changes of several resources, and the way back.
import { expect, test } from 'vitest';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';

const admin = '/apisix/admin';
const nodes = { '127.0.0.1:6379': 1 };
const upstream = { nodes };

/** With headers, and what came back of them. */
async function ask(
  proxy: Proxy, method: string, path: string, body?: unknown, headers: Record<string, string> = {},
): Promise<{ status: number; etag: string | null; body: any }> {
  const response = await fetch(proxy.admin + admin + path, {
    method, headers: { 'X-API-KEY': proxy.key, ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, etag: response.headers.get('etag'), body: text === '' ? '' : JSON.parse(text) };
}

test('AA-17 PATCH adds a node, changes a weight, removes with null, and replaces at a sub-path', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/upstreams/1`, { nodes, desc: 'kept' });
  const patch = async (path: string, body: unknown): Promise<unknown> => {
    const { status, body: answer } = await ask(proxy, 'PATCH', `/upstreams/1${path}`, body);
    expect([status, answer.value.desc]).toEqual([200, 'kept']);
    return answer.value.nodes;
  };
  expect(await patch('', { nodes: { '127.0.0.1:7000': 2 } })).toEqual({ ...nodes, '127.0.0.1:7000': 2 });
  expect(await patch('', { nodes: { '127.0.0.1:7000': 5 } })).toEqual({ ...nodes, '127.0.0.1:7000': 5 });
  expect(await patch('', { nodes: { '127.0.0.1:7000': null } })).toEqual(nodes);
  expect(await patch('/nodes', { '127.0.0.1:7001': 1 })).toEqual({ '127.0.0.1:7001': 1 });
  const { body } = await ask(proxy, 'GET', '/upstreams/1');
  expect(body.value.update_time).toBeGreaterThanOrEqual(body.value.create_time);
});

test('AA-18 PATCH replaces nodes as object by nodes as array, and back', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/upstreams/1`, upstream);
  const list = [{ host: '127.0.0.1', port: 6379, weight: 1 }];
  expect((await ask(proxy, 'PATCH', '/upstreams/1', { nodes: list })).body.value.nodes).toEqual(list);
  expect((await ask(proxy, 'PATCH', '/upstreams/1', { nodes })).body.value.nodes).toEqual(nodes);
});

test('AA-19 stream routes can be patched, too, and what is wrong then changes nothing', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/stream_routes/1`, { upstream, protocol: { name: 'redis' } });
  expect((await ask(proxy, 'PATCH', '/stream_routes/1', { plugins: { 'limit-count': { count: 0, time_window: 1 } } })).body.error_msg)
    .toBe('plugins.limit-count.count: expected 1..2147483647, got 0');
  const { status, body } = await ask(proxy, 'PATCH', '/stream_routes/1/plugins/limit-count', { count: 5, time_window: 1 });
  expect([status, body.value.plugins]).toEqual([200, { 'limit-count': { count: 5, time_window: 1 } }]);
  expect((await ask(proxy, 'PATCH', '/stream_routes/1/protocol/name/x', 1)).body.error_msg).toBe('invalid sub-path: /protocol/name/x');
  expect((await ask(proxy, 'PATCH', '/stream_routes/2', { desc: 'x' }))).toMatchObject({ status: 404, body: { message: 'Key not found' } });
  expect((await ask(proxy, 'PATCH', '/stream_routes/1', { id: '7' })).body.error_msg).toBe('wrong stream route id');
});

test('a secret that is not shown survives a PATCH of something else', async () => {
  await using redis = await startRedis(['--requirepass', 'hunter2']);
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/upstreams/1`, { nodes: { [`127.0.0.1:${redis.port}`]: 1 }, auth: { password: 'hunter2' } });
  await proxy.put(`${admin}/stream_routes/1`, { upstream_id: '1', protocol: { name: 'redis' } });
  const { body } = await ask(proxy, 'PATCH', '/upstreams/1', { desc: 'x', auth: { password: '***' } });
  expect(body.value).toMatchObject({ desc: 'x', auth: { password: '***' } });
  await ask(proxy, 'PATCH', '/upstreams/1/retries', 1);
  expect(await (await proxy.connect()).command('SET', 'a', '1')).toBe('OK');
});

test('a write with If-Match happens only on what the caller saw', async () => {
  await using proxy = await startProxy({ route: null });
  const put = (body: unknown, headers: Record<string, string>) => ask(proxy, 'PUT', '/upstreams/1', body, headers);
  expect((await put(upstream, { 'If-Match': '*' })).status).toBe(412);
  const first = await put(upstream, { 'If-None-Match': '*' });
  expect([first.status, first.etag]).toEqual([201, '"1"']);
  expect((await put(upstream, { 'If-None-Match': '*' })).status).toBe(412);
  expect((await put(upstream, { 'If-Match': '"1"' })).etag).toBe('"2"');
  const late = await put({ ...upstream, desc: 'late' }, { 'If-Match': '"1"' });
  expect([late.status, late.body.error_msg]).toEqual([412, 'the resource was changed meanwhile, its ETag is "2"']);
  expect((await ask(proxy, 'PATCH', '/upstreams/1', { desc: 'late' }, { 'If-Match': '"1"' })).status).toBe(412);
  expect((await ask(proxy, 'DELETE', '/upstreams/1', undefined, { 'If-Match': '"1"' })).status).toBe(412);
  expect((await put(upstream, { 'If-Match': 'nonsense' })).body.error_msg)
    .toBe('If-Match: expected an ETag such as "12" or *, got "nonsense"');
  expect((await ask(proxy, 'POST', '/upstreams', upstream, { 'If-Match': '*' })).status).toBe(412);
  expect((await ask(proxy, 'POST', '/upstreams', upstream, { 'If-None-Match': '*' })).status).toBe(201);
  const seen = await ask(proxy, 'GET', '/upstreams/1');
  expect([seen.etag, seen.body.value.desc]).toEqual(['"2"', undefined]);
  expect((await ask(proxy, 'DELETE', '/upstreams/1', undefined, { 'If-Match': seen.etag! })).status).toBe(200);
});

test('a dry run says what would happen, to which routes and how many clients, and changes nothing', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/upstreams/u`, { type: 'memory' });
  await proxy.put(`${admin}/services/s`, { upstream_id: 'u' });
  await proxy.put(`${admin}/stream_routes/r`, { service_id: 's', protocol: { name: 'redis' } });
  const client = await proxy.connect();
  await client.command('PING');
  const { status, body } = await ask(proxy, 'PUT', '/upstreams/u?dry_run=true', upstream);
  expect([status, body]).toEqual([200, {
    dry_run: true, revision: 3, changes: [{ kind: 'upstreams', id: 'u', outcome: 'replaced', value: { id: 'u', nodes } }],
    affected_routes: [{ id: 'r', sessions: 1 }],
  }]);
  expect((await ask(proxy, 'DELETE', '/services/s?dry_run=true')).body.error_msg)
    .toBe('can not delete this service directly, stream_route [r] is still using it now');
  expect((await ask(proxy, 'PUT', '/upstreams/u?dry_run=true', { nodes: { 'x:0': 1 } })).status).toBe(400);
  expect((await ask(proxy, 'GET', '/upstreams/u')).body.value.type).toBe('memory');
  expect((await ask(proxy, 'GET', '/history')).body.revision).toBe(3);
});

test('a resource with ?ttl= ends by itself, for clients and in lists', async () => {
  await using proxy = await startProxy({ route: null });
  const { body } = await ask(proxy, 'PUT', '/stream_routes/1?ttl=1', { upstream: { type: 'memory' }, protocol: { name: 'redis' } });
  expect(body.expires_at).toBeGreaterThan(Date.now() / 1000);
  expect(await (await proxy.connect()).command('PING')).toBe('PONG');
  expect((await ask(proxy, 'PATCH', '/stream_routes/1', { desc: 'x' })).body.expires_at).toBe(body.expires_at);
  await expect.poll(async () => (await ask(proxy, 'GET', '/stream_routes/1')).status, { timeout: 5000 }).toBe(404);
  expect((await ask(proxy, 'PUT', '/upstreams/1?ttl=soon', upstream)).body.error_msg).toBe('invalid argument ttl: should be a number');
  expect((await ask(proxy, 'PUT', '/upstreams/1?ttl=0', upstream)).status).toBe(400);
});

test('several changes happen together, in any order, or not at all', async () => {
  await using proxy = await startProxy({ route: null });
  const whole = { stream_routes: { r: { upstream_id: 'u', protocol: { name: 'redis' } } }, upstreams: { u: upstream } };
  expect((await ask(proxy, 'PATCH', '/configs', whole)).body).toEqual({
    revision: 1, changes: [{ key: '/apisix/stream_routes/r', outcome: 'created' }, { key: '/apisix/upstreams/u', outcome: 'created' }],
  });
  const wrong = await ask(proxy, 'PATCH', '/configs', { upstreams: { u: null, v: upstream }, services: { s: { plugins: { nope: {} } } } });
  expect(wrong.status).toBe(400);
  expect(wrong.body.errors.map(({ message }: { message: string }) => message)).toEqual([
    'upstreams.u: can not delete this upstream, stream_route [r] is still using it now', 'services.s.plugins.nope: unknown plugin [nope]',
  ]);
  expect((await ask(proxy, 'GET', '/upstreams')).body.total).toBe(1);
  // What uses it goes with it.
  expect((await ask(proxy, 'PATCH', '/configs', { upstreams: { u: null }, stream_routes: { r: null } })).status).toBe(200);
  expect((await ask(proxy, 'PATCH', '/configs', { streamroutes: {} })).body.error_msg).toBe('unknown kind "streamroutes", did you mean "stream_routes"?');
});

test('what plugins compare over all places is compared within one change, too', async () => {
  await using proxy = await startProxy({ route: null });
  const grouped = (count: number): object => ({ upstream, plugins: { 'limit-count': { count, time_window: 1, group: 'g' } } });
  const both = await ask(proxy, 'PATCH', '/configs', { services: { a: grouped(1), b: grouped(2) } });
  expect([both.status, both.body.error_msg]).toEqual([400, expect.stringContaining('group conf mismatched: services/b has the group g with other settings')]);
  expect((await ask(proxy, 'PATCH', '/configs', { services: { a: grouped(1), b: grouped(1) } })).status).toBe(200);
  // One after the other they could never be changed.
  expect((await ask(proxy, 'PUT', '/services/a', grouped(2))).status).toBe(400);
  expect((await ask(proxy, 'PATCH', '/configs', { services: { a: grouped(2), b: grouped(2) } })).status).toBe(200);
});

// Comparing each with all others took 40 s for the last thousand of ten.
test('thousands of routes with plugins are written in a time that does not grow with the square of their number', async () => {
  await using proxy = await startProxy({ route: null });
  const began = performance.now();
  for (let batch = 0; batch < 4; batch++) {
    const routes = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`r${batch * 1000 + i}`, {
      upstream, remote_addr: `10.${batch}.${i >> 8}.${i & 255}`, plugins: { 'limit-count': { count: 5, time_window: 1 } }, protocol: { name: 'redis' },
    }]));
    expect((await ask(proxy, 'PATCH', '/configs', { stream_routes: routes })).status).toBe(200);
  }
  expect(performance.now() - began).toBeLessThan(8000);
});

test('every change is in the history, without secrets, and one call brings an older configuration back', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/upstreams/u`, { ...upstream, auth: { password: 'hunter2' } });
  await proxy.put(`${admin}/stream_routes/r`, { upstream_id: 'u', protocol: { name: 'redis' } });
  await ask(proxy, 'PATCH', '/upstreams/u', { retries: 2, auth: { password: 'hunter3' } });
  await ask(proxy, 'DELETE', '/stream_routes/r');
  const { body } = await ask(proxy, 'GET', '/history');
  expect(body.list.map(({ revision, kind, outcome, changed }: any) => [revision, kind, outcome, changed])).toEqual([
    [4, 'stream_routes', 'deleted', []], [3, 'upstreams', 'replaced', ['auth.password', 'retries']],
    [2, 'stream_routes', 'created', []], [1, 'upstreams', 'created', []],
  ]);
  expect(JSON.stringify(body)).not.toContain('hunter');
  expect((await ask(proxy, 'GET', '/upstreams/u/history')).body.list).toHaveLength(2);
  expect((await ask(proxy, 'POST', '/history/2/rollback?dry_run=true')).body.changes).toHaveLength(2);
  expect((await ask(proxy, 'POST', '/history/2/rollback', undefined, { 'If-Match': '"3"' })).status).toBe(412);
  expect((await ask(proxy, 'POST', '/history/2/rollback', undefined, { 'If-Match': '"4"' })).body).toMatchObject({ revision: 5, restored: 2 });
  expect((await ask(proxy, 'GET', '/stream_routes/r')).status).toBe(200);
  expect((await ask(proxy, 'GET', '/upstreams/u')).body.value.retries).toBeUndefined();
  expect((await ask(proxy, 'POST', '/history/99/rollback')).body.error_msg).toBe('revision: expected at most 5, got 99');
});

test('two revisions are compared in both directions, without secrets and without what ended the same', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/upstreams/u`, { nodes, auth: { password: 'hunter2' } });
  await proxy.put(`${admin}/upstreams/same`, upstream);
  await proxy.put(`${admin}/upstreams/u`, { nodes, auth: { password: 'hunter3' }, retries: 1 });
  await proxy.put(`${admin}/upstreams/same`, { ...upstream, desc: 'for a while' });
  await proxy.put(`${admin}/upstreams/same`, upstream);
  await proxy.call('DELETE', `${admin}/upstreams/u`);
  const diff = async (query: string): Promise<unknown> => {
    const { body } = await ask(proxy, 'GET', `/history/diff?${query}`);
    expect(JSON.stringify(body)).not.toContain('hunter');
    return body.list.map(({ kind, id, outcome, changed }: any) => [kind, id, outcome, changed]);
  };
  expect(await diff('from=2&to=5')).toEqual([['upstreams', 'u', 'replaced', ['auth.password', 'retries']]]);
  expect(await diff('from=2')).toEqual([['upstreams', 'u', 'deleted', []]]);
  expect(await diff('from=6&to=1')).toEqual([['upstreams', 'u', 'created', []], ['upstreams', 'same', 'deleted', []]]);
  expect((await ask(proxy, 'GET', '/history/diff?from=1&to=7')).body.error_msg).toBe('revision: expected at most 6, got 7');
  expect((await ask(proxy, 'GET', '/history/diff')).status).toBe(400);
});

test('a rollback brings back the end of a resource, and nothing whose end is over', async () => {
  await using proxy = await startProxy({ route: null });
  const { body } = await ask(proxy, 'PUT', '/upstreams/long?ttl=1000', upstream);
  await ask(proxy, 'PUT', '/upstreams/short?ttl=1', upstream);
  await proxy.call('DELETE', `${admin}/upstreams/long`);
  await expect.poll(async () => (await ask(proxy, 'GET', '/upstreams')).body.total, { timeout: 5000 }).toBe(0);
  expect((await ask(proxy, 'POST', '/history/2/rollback')).body.changes).toEqual([{ key: '/apisix/upstreams/long', outcome: 'created' }]);
  expect((await ask(proxy, 'GET', '/upstreams/long')).body.expires_at).toBe(body.expires_at);
});

test('changes of several, and a rollback, may be bound to the configuration that GET configs showed', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/upstreams/1`, upstream);
  const { etag } = await ask(proxy, 'GET', '/configs');
  await proxy.put(`${admin}/upstreams/1`, { ...upstream, desc: 'by somebody else' });
  const patch = (tag: string) => ask(proxy, 'PATCH', '/configs', { upstreams: { 2: upstream } }, { 'If-Match': tag });
  expect(await patch(etag!)).toMatchObject({ status: 412, body: { error_msg: 'the configuration was changed meanwhile, its ETag is "2"' } });
  expect((await patch((await ask(proxy, 'GET', '/configs')).etag!)).body.revision).toBe(3);
  expect((await patch('*')).status).toBe(200);
  expect((await ask(proxy, 'POST', '/history/2/rollback', undefined, { 'If-Match': '*' })).body.revision).toBe(5);
});

test('a rollback among other writes brings back all of the older configuration, or comes before them', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.call('PATCH', `${admin}/configs`, { upstreams: Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`u${n}`, upstream])) });
  const put = (n: number) => proxy.put(`${admin}/upstreams/u${n % 10}`, { ...upstream, desc: `${n}` });
  await put(0);
  const writes = Array.from({ length: 30 }, (_, n) => put(n));
  const { status, body } = await proxy.call('POST', `${admin}/history/1/rollback`);
  await Promise.all(writes);
  expect(status).toBe(200);
  const { body: diff } = await proxy.call('GET', `${admin}/history/diff?from=1&to=${body.revision}`);
  expect(diff.list).toEqual([]);
});
