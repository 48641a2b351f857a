// Rows of the reference about the Admin API, on a real port with a real data plane. Where its behaviour is a defect,
// what is right instead.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAuthority } from '../support/certificates.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';

let proxy: Proxy;
beforeAll(async () => { proxy = await startProxy({ route: null }); });
afterAll(async () => { await proxy[Symbol.asyncDispose](); });

const nodes = { '127.0.0.1:6379': 1 };
const upstream = { nodes, type: 'roundrobin' };
const redis = { name: 'redis' };
const route = { upstream, protocol: redis };

interface Answer { readonly status: number; readonly body: any }

async function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = { 'X-API-KEY': proxy.key }): Promise<Answer> {
  const response = await fetch(`${proxy.admin}/apisix/admin${path}`, {
    method, headers, ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  let parsed: unknown = text;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Some answers are plain text.
  }
  return { status: response.status, body: parsed };
}

const put = (path: string, body: unknown): Promise<Answer> => ask('PUT', path, body);
/** The text of a refusal, which must be one. */
async function refused(path: string, body: unknown, method = 'PUT'): Promise<string> {
  const { status, body: answer } = await ask(method, path, body);
  expect([path, status]).toEqual([path, 400]);
  return answer.error_msg as string;
}

test('SR-01 SR-02 SR-03 a route is put, read and deleted with the bodies of the reference', async () => {
  const sent = { remote_addr: '127.0.0.9', upstream };
  const made = await put('/stream_routes/1', sent);
  expect(made).toEqual({
    status: 201,
    body: { key: '/apisix/stream_routes/1', value: { ...sent, id: '1', create_time: expect.any(Number), update_time: expect.any(Number) } },
  });
  const read = await ask('GET', '/stream_routes/1');
  expect(read.body).toEqual({ ...made.body, createdIndex: expect.any(Number), modifiedIndex: expect.any(Number) });
  expect(await ask('DELETE', '/stream_routes/1')).toEqual({ status: 200, body: { deleted: '1', key: '/apisix/stream_routes/1' } });
  expect(await ask('GET', '/stream_routes/1')).toEqual({ status: 404, body: { message: 'Key not found' } });
});

test('SR-04 a POST makes an id of 20 digits, by which the route is deleted', async () => {
  const { status, body } = await ask('POST', '/stream_routes', route);
  expect(status).toBe(201);
  expect(body.value.id).toMatch(/^\d{20}$/);
  expect((await ask('DELETE', `/stream_routes/${body.value.id}`)).status).toBe(200);
});

test('SR-06 SR-12 server_addr and server_port are accepted, IPv6 among them', async () => {
  expect((await put('/stream_routes/1', { ...route, server_addr: '127.0.0.1', server_port: proxy.port })).status).toBe(201);
  expect((await put('/stream_routes/1', { ...route, server_addr: '::1', remote_addr: '2001:db8::/32' })).status).toBe(200);
  await ask('DELETE', '/stream_routes/1');
});

test('SR-07 SR-08 an id of letters, digits, - and _ is taken, another one refused', async () => {
  expect((await put('/stream_routes/a-b-c-ABC_0123', route)).status).toBe(201);
  expect((await ask('DELETE', '/stream_routes/a-b-c-ABC_0123')).status).toBe(200);
  expect((await put('/stream_routes/*invalid', route)).status).toBe(400);
});

test('SR-09 SR-10 SR-11 unknown plugins and protocols, and wrong settings of a protocol, are named', async () => {
  expect(await refused('/stream_routes/1', { ...route, plugins: { 'mqttt-proxy': {} } })).toBe('unknown plugin [mqttt-proxy]');
  expect(await refused('/stream_routes/1', { upstream, protocol: { name: 'xxx' } })).toBe('unknown protocol [xxx]');
  expect(await refused('/stream_routes/1', { upstream, protocol: { name: 'redis', conf: { faults: 'a' } } }))
    .toBe('protocol.conf.faults: expected array, got string "a"');
});

test('SR-13 the private key of an upstream is never shown', async () => {
  using authority = makeAuthority();
  const { cert, key } = authority.issue('me', ['DNS:me']);
  const tls = { client_cert: readFileSync(cert, 'utf8'), client_key: readFileSync(key, 'utf8') };
  const { body } = await put('/stream_routes/1', { ...route, upstream: { ...upstream, scheme: 'tls', tls } });
  const answers = [body, (await ask('GET', '/stream_routes/1')).body, (await ask('GET', '/stream_routes')).body, (await ask('GET', '/history')).body];
  for (const answer of answers) expect(JSON.stringify(answer ?? {})).not.toContain('BEGIN PRIVATE KEY');
  await ask('DELETE', '/stream_routes/1?force=true');
});

test('SR-15 SR-16 SR-17 SR-18 SR-19 SR-20 SR-21 a superior exists, speaks the same, is another, and stays while it is needed', async () => {
  await put('/stream_routes/1', route);
  const below = (superior: string, name = 'redis'): unknown => ({ upstream, protocol: { name, superior_id: superior } });
  expect((await put('/stream_routes/2', below('1'))).status).toBe(201);
  expect(await refused('/stream_routes/3', below('999'))).toContain('failed to fetch stream routes[999]');
  await put('/stream_routes/plain', { upstream });
  expect(await refused('/stream_routes/3', below('plain'))).toContain('protocol mismatch');
  expect(await refused('/stream_routes/3', below('3'))).toContain('itself as superior_id');
  expect(await refused('/stream_routes/1', undefined, 'DELETE')).toContain('can not delete this stream route');
  expect([(await ask('DELETE', '/stream_routes/2')).status, (await ask('DELETE', '/stream_routes/1')).status]).toEqual([200, 200]);
  await put('/stream_routes/1', route);
  await put('/stream_routes/2', below('1'));
  expect((await ask('DELETE', '/stream_routes/1?force=true')).status).toBe(200);
  await ask('PATCH', '/configs', { stream_routes: { 2: null, plain: null } });
});

test('SR-26 an address that is none is refused with its name', async () => {
  expect(await refused('/stream_routes/1', { ...route, remote_addr: ':/8' })).toMatch(/^invalid remote_addr: :\/8/);
});

test('AA-01 AA-02 AA-03 without the key nothing is told; it is taken from header, query and cookie', async () => {
  expect(await ask('PUT', '/stream_routes/1', route, {})).toEqual({
    status: 401, body: { error_msg: 'failed to check token', description: 'missing apikey' },
  });
  expect((await ask('PUT', '/stream_routes/1', route, { 'X-API-KEY': 'wrong' })).body.description).toBe('wrong apikey');
  for (const [method, path] of [['GET', '/plugins/list'], ['PUT', '/plugins/reload'], ['POST', '/schema/validate/stream_routes']] as const) {
    expect((await ask(method, path, method === 'POST' ? {} : undefined, {})).status).toBe(401);
  }
  expect((await ask('GET', `/stream_routes?api_key=${proxy.key}`, undefined, {})).status).toBe(200);
  expect((await ask('GET', '/stream_routes', undefined, { cookie: `x_api_key=${proxy.key}` })).status).toBe(200);
});

test('AA-05 an unknown resource is named', async () => {
  expect((await ask('GET', '/routs')).body.error_msg).toBe('Unsupported resource type: routs');
});

test('AA-06 AA-07 AA-08 AA-09 AA-10 AA-11 AA-12 lists are filtered first, then paged, in the order of creation', async () => {
  for (let i = 1; i <= 11; i++) {
    await put(`/upstreams/l${i}`, { nodes, name: `${i}`, labels: { [`${i}`]: 'v', all: `${i % 2}` } });
  }
  await put('/upstreams/nameless', { nodes });
  const list = async (query: string): Promise<string[]> =>
    (await ask('GET', `/upstreams${query}`)).body.list.map(({ value }: any) => value.id);
  expect(await ask('GET', '/upstreams?page=1&page_size=2')).toMatchObject({ status: 400, body: 'page_size must be between 10 and 500' });
  expect(await list('?page=-1&page_size=10')).toEqual(['l1', 'l2', 'l3', 'l4', 'l5', 'l6', 'l7', 'l8', 'l9', 'l10']);
  expect(await list('?page=2&page_size=10')).toEqual(['l11', 'nameless']);
  expect(await list('?page=3&page_size=10')).toEqual([]);
  expect(await list('?name=1')).toEqual(['l1', 'l10', 'l11']);
  expect((await ask('GET', '/upstreams?name=(')).status).toBe(400);
  expect(await list('?label=1')).toEqual(['l1']);
  // The value alone finds nothing; with its key it does.
  expect(await list('?label=v')).toEqual([]);
  expect(await list('?label=all:0&name=1')).toEqual(['l10']);
  await put('/stream_routes/a', { upstream_id: 'l1', protocol: redis });
  await put('/stream_routes/b', { upstream_id: 'l2', protocol: redis });
  const routes = async (filter: string): Promise<unknown> => {
    const { body } = await ask('GET', `/stream_routes?filter=${encodeURIComponent(filter)}&page=1&page_size=10`);
    return [body.total, body.list.map(({ value }: any) => value.id)];
  };
  expect(await routes('upstream_id=l2')).toEqual([1, ['b']]);
  expect(await routes('upstream_id=l2&service_id=x')).toEqual([0, []]);
  expect(await routes('nonsense=1')).toEqual([2, ['a', 'b']]);
  expect(Object.keys((await ask('GET', '/stream_routes')).body).toSorted()).toEqual(['list', 'total']);
  await ask('PATCH', '/configs', { stream_routes: { a: null, b: null } });
});

test('AA-13 the first PUT creates, the second replaces', async () => {
  expect([(await put('/services/1', { upstream })).status, (await put('/services/1', { upstream })).status]).toEqual([201, 200]);
});

test.each<[Record<string, unknown>, string]>([
  [{ nodes: { 'a:1': -1 } }, 'nodes'], [{ nodes: { 'a:1': 'x' } }, 'nodes'],
  [{ nodes, timeout: { connect: 0, send: 1, read: 1 } }, 'timeout.connect: expected more than 0 and at most 2147483, got 0'],
  [{ nodes, retries: -1 }, 'retries: expected 0..255, got -1'],
  [{ nodes, retry_timeout: -1 }, 'retry_timeout: expected 0..2147483, got -1'],
  [{ nodes, type: 'chash', key: 'remote_addr', hash_on: 'aabbcc' }, 'hash_on: expected'],
  [{ nodes, labels: { x: {} } }, 'labels.x'],
])('AA-14 an upstream %j is refused with the place', async (value, text) => {
  expect(await refused('/upstreams/1', value)).toContain(text);
});

test('AA-16 an upstream in use is not deleted, unless ?force=true says so', async () => {
  await put('/upstreams/used', upstream);
  await put('/services/user', { upstream_id: 'used' });
  expect(await refused('/upstreams/used', undefined, 'DELETE')).toBe('can not delete this upstream, service [user] is still using it now');
  expect(await refused('/upstreams/used?force=anything', undefined, 'DELETE')).toContain('is still using it now');
  expect((await ask('DELETE', '/upstreams/used?force=true')).status).toBe(200);
  await ask('DELETE', '/services/user');
});

test('AA-20 metadata of an unknown plugin, without a name, or against its schema is refused', async () => {
  expect(await refused('/plugin_metadata/nope', {})).toBe('invalid plugin name');
  expect(await refused('/plugin_metadata', {})).toBe('missing plugin name');
  expect(await refused('/plugin_metadata/syslog', { log_format: 7 })).toContain('log_format');
});

test('AA-21 a plugin stands in one global rule, which may be written again', async () => {
  const plugins = { 'limit-count': { count: 1_000_000, time_window: 1 } };
  expect((await put('/global_rules/1', { plugins })).status).toBe(201);
  expect((await put('/global_rules/1', { plugins })).status).toBe(200);
  expect(await refused('/global_rules/2', { plugins })).toContain("plugin 'limit-count' already exists in global rule with id '1'");
  await ask('DELETE', '/global_rules/1');
});

test('AA-22 plugins are reloaded by PUT, and only by PUT', async () => {
  expect(await ask('PUT', '/plugins/reload')).toEqual({ status: 200, body: 'done' });
  expect(await ask('GET', '/plugins/reload')).toEqual({
    status: 405, body: { error_msg: 'please use PUT method to reload the plugins, GET method is not allowed.' },
  });
});

test('AA-24 a resource is validated without being written, plugins and references among it', async () => {
  const validate = (kind: string, body: unknown): Promise<Answer> => ask('POST', `/schema/validate/${kind}`, body);
  expect((await validate('stream_routes', route)).status).toBe(200);
  expect((await validate('upstreams', { nodes: 7 })).body.error_msg).toContain('nodes');
  expect((await validate('upstreams', { nodes, name: '' })).body.error_msg).toContain('name');
  expect((await validate('upstreams', { nodes, type: 'none of them' })).body.error_msg).toContain('type: expected');
  expect((await validate('ssls', { cert: 'x'.repeat(64), key: 'x'.repeat(64), snis: ['a.b', 'a.b'] })).body.error_msg).toContain('snis');
  expect((await validate('stream_routes', { ...route, plugins: { nope: {} } })).body.error_msg).toContain('unknown plugin [nope]');
  expect((await validate('stream_routes', { upstream_id: 'nowhere' })).body.error_msg).toContain('failed to fetch upstream info by upstream id [nowhere]');
  expect((await validate('consumers', { username: 'jack' })).status).toBe(200);
  // Kinds whose ids are pairs, with and without the first half.
  expect((await validate('credentials', { plugins: {} })).status).toBe(200);
  expect((await validate('credentials', { plugins: { nope: {} } })).body.error_msg).toBe('unknown plugin [nope]');
  expect((await validate('credentials', { id: 'nobody/1', plugins: {} })).body.error_msg).toContain('consumer nobody not found');
  expect((await validate('secrets', { prefix: 'A_' })).status).toBe(200);
  expect((await validate('secrets', { prefix: 7 })).body.error_msg).toBe('prefix: expected string, got 7');
  expect((await validate('secrets', { id: 'vault/x' })).body.error_msg).toContain('unknown secret manager [vault]');
  expect((await validate('plugin_metadata', {})).body.error_msg).toBe('missing plugin name');
  expect((await validate('plugin_metadata', { id: 'syslog', log_format: 7 })).body.error_msg).toContain('log_format');
  expect((await validate('plugin_metadata', { id: 'nope' })).body.error_msg).toBe('invalid plugin name');
  expect((await validate('upstreams', [])).status).toBe(400);
  expect((await validate('upstream', {})).body.error_msg).toBe('unknown kind "upstream", did you mean "upstreams"?');
  expect((await ask('GET', '/consumers')).body.total).toBe(0);
});

test('AA-25 ST-11 ST-12 a whole configuration is validated with all its errors, and nothing is stored', async () => {
  const validate = (body: unknown): Promise<Answer> => ask('POST', '/configs/validate', body);
  expect(await validate({ upstreams: [{ id: 'u', nodes }], consumers: [{ username: 'jack' }], stream_routes: [{ id: '1', upstream_id: 'u' }] }))
    .toEqual({ status: 200, body: {} });
  expect((await validate('')).body.error_msg).toBe('invalid request body: empty request body');
  expect((await validate('{bad')).status).toBe(400);
  const { status, body } = await validate({
    upstreams: [{ id: 'u', nodes }, { id: 'u', nodes }, { id: 'v', nodes: 7 }], stream_routes: [{ id: '1', upstream, plugins: { nope: {} }, what: 1 }],
    consumers: [{ username: 'jack' }, { username: 'jack' }],
  });
  expect([status, body.error_msg]).toEqual([400, 'Configuration validation failed']);
  const listed = body.errors.map(({ resource_type: kind, index, error }: any) => `${kind}[${index}] ${error}`).join('\n');
  for (const text of [
    'upstreams[1] found duplicate id u in upstreams', 'upstreams[2] ', 'stream_routes[0] unknown property "what"',
    'consumers[1] found duplicate username jack in consumers',
  ]) expect(listed).toContain(text);
  const rule = (id: string): object => ({ id, plugins: { 'limit-count': { count: 1, time_window: 1 } } });
  const more = await validate({
    stream_routes: [{ id: 'r', upstream_id: 'nowhere', plugins: { 'limit-cuont': {} } }, { id: 's', upstream_id: 'nowhere', server_port: 0 }],
    global_rules: [rule('a'), rule('b')], credentials: [{ id: 'nobody/1', plugins: {} }],
  });
  expect(more.body.errors.map(({ resource_type: kind, resource_id: id, index, error }: any) => `${kind}[${index}] ${id}: ${error}`)).toEqual([
    'stream_routes[0] r: unknown plugin [limit-cuont], did you mean "limit-count"?', 'stream_routes[1] s: expected 1..65535, got 0',
    'stream_routes[0] r: failed to fetch upstream info by upstream id [nowhere], response code: 404',
    'stream_routes[1] s: failed to fetch upstream info by upstream id [nowhere], response code: 404',
    'credentials[0] nobody/1: consumer nobody not found',
    "global_rules[0] a: plugin 'limit-count' already exists in global rule with id 'b'",
    "global_rules[1] b: plugin 'limit-count' already exists in global rule with id 'a'",
  ]);
  expect((await ask('GET', '/consumers')).body.total).toBe(0);
});

test('consumers have their name as id, credentials are below them and go with them', async () => {
  expect((await put('/consumers', { username: 'jack' })).body.key).toBe('/apisix/consumers/jack');
  expect(await refused('/consumers/jill', { username: 'jack' })).toBe('wrong consumer id');
  expect((await put('/consumers/jack/credentials/1', { plugins: {} })).body.key).toBe('/apisix/consumers/jack/credentials/1');
  expect(await refused('/consumers/nobody/credentials/1', { plugins: {} })).toContain('consumer nobody not found');
  expect((await ask('GET', '/consumers/jack/credentials')).body.list.map(({ value }: any) => value.id)).toEqual(['1']);
  expect((await ask('DELETE', '/consumers/jack')).status).toBe(200);
  expect((await ask('GET', '/consumers/jack/credentials/1')).status).toBe(404);
  expect((await put('/secrets/env/mine', { prefix: 'APP_' })).body.key).toBe('/apisix/secrets/env/mine');
  expect((await ask('GET', '/secrets/env/mine')).body.value).toMatchObject({ id: 'mine', prefix: 'APP_' });
});
