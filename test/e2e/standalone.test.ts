// API-driven standalone: resources live in memory and come as a whole, on a real port with a real data plane.
import { createConnection } from 'node:net';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { RespError } from '../support/resp.ts';

let proxy: Proxy;
let port: number;
beforeAll(async () => {
  proxy = await startProxy({ route: null, settings: { admin: { port: await freePort(), key: 'test-admin-key-0123456789abcdef', standalone: true } } });
  port = await freePort();
});
afterAll(async () => { await proxy[Symbol.asyncDispose](); });

interface Answer { readonly status: number; readonly text: string; readonly body: any; readonly headers: Headers }

let digests = 0;
async function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`${proxy.admin}${path}`, {
    method, headers: { 'X-API-KEY': proxy.key, ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  let parsed: unknown = text;
  try { parsed = JSON.parse(text); } catch { /* YAML, or nothing */ }
  return { status: response.status, text, body: parsed, headers: response.headers };
}
const configs = '/apisix/admin/configs';
const put = (body: unknown, digest = `digest-${++digests}`, headers: Record<string, string> = {}): Promise<Answer> =>
  ask('PUT', configs, body, { 'X-Digest': digest, ...headers });
const get = async (): Promise<any> => (await ask('GET', configs)).body;
const taken = async (body: unknown): Promise<void> => {
  const answer = await put(body);
  expect([answer.status, answer.text]).toEqual([202, '']);
};
const refused = async (body: unknown): Promise<string> => {
  const before = await get();
  const { status, body: answer } = await put(body);
  expect(status).toBe(400);
  expect(await get()).toEqual(before);
  return answer.error_msg as string;
};

/** A stream route that answers PING with a text of its own. */
const route = (id: string, text: string, more: object = {}): object => ({
  id, server_port: port, upstream: { type: 'memory' }, protocol: { name: 'redis', conf: { faults: [{ commands: ['ping'], error: text }] } }, ...more,
});
async function ping(at = port): Promise<string> {
  const client = await proxy.connect(at);
  const reply = await client.command('PING');
  await client.close();
  return reply instanceof RespError ? reply.text.replace('ERR ', '') : String(reply);
}
const connects = (at: number): Promise<boolean> => new Promise((resolve) => {
  const socket = createConnection(at, '127.0.0.1', () => { socket.destroy(); resolve(true); });
  socket.on('error', () => resolve(false));
});

test('ST-01 ST-16 before the first whole, all versions are 0, nothing names a digest, and it is not ready', async () => {
  const { status, body, headers } = await ask('GET', configs);
  expect(status).toBe(200);
  const versions = Object.entries(body).filter(([name]) => name.endsWith('_conf_version'));
  expect(versions.map(([name]) => name)).toEqual(expect.arrayContaining([
    'routes', 'stream_routes', 'services', 'upstreams', 'consumers', 'consumer_groups', 'ssls', 'protos', 'global_rules', 'plugin_configs',
    'plugin_metadata', 'plugins', 'secrets',
  ].map((kind) => `${kind}_conf_version`)));
  expect(new Set(versions.map(([, version]) => version))).toEqual(new Set([0]));
  expect([headers.get('x-digest'), headers.get('x-last-modified')]).toEqual([null, null]);
  const yaml = await ask('GET', configs, undefined, { Accept: 'application/yaml' });
  expect(yaml.headers.get('content-type')).toMatch(/^application\/yaml/);
  expect(parse(yaml.text)).toEqual(body);
  const head = await ask('HEAD', configs);
  expect([head.status, head.headers.get('x-digest')]).toEqual([200, null]);
  const ready = await ask('GET', '/status/ready');
  expect([ready.status, ready.body.error_msg]).toEqual([503, 'no configuration has been sent yet']);
});

test('ST-02 a whole in JSON is taken at once, the same digest is nothing new, and it is shown as stored', async () => {
  const first = await put({ upstreams: [{ id: 'u', nodes: { '127.0.0.1:6379': 1 } }], stream_routes: [route('r1', 'one')] }, 'a');
  expect([first.status, first.headers.get('x-digest')]).toEqual([202, 'a']);
  expect(Math.abs(Number(first.headers.get('x-last-modified')) - Date.now() / 1000)).toBeLessThan(60);
  expect(await ping()).toBe('one');
  expect((await ask('GET', '/status/ready')).status).toBe(200);
  expect((await put({ stream_routes: [] }, 'a')).status).toBe(204);
  expect(await ping()).toBe('one');
  const head = await ask('HEAD', configs);
  expect([head.status, head.headers.get('x-digest'), head.headers.get('x-last-modified')]).toEqual([200, 'a', first.headers.get('x-last-modified')]);
  const whole = await get();
  expect(whole).toMatchObject({ stream_routes_conf_version: 1, upstreams_conf_version: 1, routes_conf_version: 1 });
  expect(whole.upstreams).toMatchObject([{ id: 'u', nodes: { '127.0.0.1:6379': 1 } }]);
  expect(whole.stream_routes).toMatchObject([{ id: 'r1', server_port: port }]);
});

test('ST-03 a whole in YAML with another digest replaces the one before: the old route is gone, the new one is there', async () => {
  const old = port;
  port = await freePort();
  const answer = await put(stringify({ stream_routes: [route('r2', 'two')] }), 'b', { 'Content-Type': 'application/yaml' });
  expect(answer.status).toBe(202);
  expect([await connects(old), await ping()]).toEqual([false, 'two']);
  expect((await ask('GET', '/apisix/admin/stream_routes/r1')).status).toBe(404);
  expect((await ask('GET', '/apisix/admin/stream_routes/r2')).status).toBe(200);
  expect(await get()).toMatchObject({ stream_routes_conf_version: 2, upstreams_conf_version: 2, upstreams: [] });
});

test('ST-04 an empty whole takes everything away', async () => {
  await taken({});
  const whole = await get();
  expect(Object.values(whole).filter((value) => Array.isArray(value) && value.length > 0)).toEqual([]);
  expect(await connects(port)).toBe(false);
});

test('ST-05 a version that is given stands, the others count on by one', async () => {
  const before = (await get()).upstreams_conf_version as number;
  for (const [round, version] of [15, 17].entries()) {
    await taken({ routes_conf_version: version });
    expect(await get()).toMatchObject({ routes_conf_version: version, upstreams_conf_version: before + round + 1 });
  }
});

test('ST-06 an item with the modifiedIndex it had stays as it was, whatever stands in it', async () => {
  await taken({ stream_routes: [route('r', 'first', { modifiedIndex: 1 })] });
  expect(await ping()).toBe('first');
  const index = async (): Promise<number> => (await ask('GET', '/apisix/admin/stream_routes/r')).body.modifiedIndex as number;
  const stored = await index();
  await taken({ stream_routes: [route('r', 'second', { modifiedIndex: 1 })] });
  expect([await ping(), await index()]).toEqual(['first', stored]);
  await taken({ stream_routes: [route('r', 'third', { modifiedIndex: 2 })] });
  expect(await ping()).toBe('third');
  expect((await get()).stream_routes[0].modifiedIndex).toBe(2);
  // Without an index the content decides, and what did not change is not touched.
  const third = await index();
  await taken({ stream_routes: [route('r', 'third')], upstreams: [{ id: 'u', nodes: { '127.0.0.1:6379': 1 } }] });
  expect(await index()).toBe(third);
  expect(await refused({ stream_routes: [route('r', 'x', { modifiedIndex: 'one' })] })).toContain('modifiedIndex');
});

test('ST-07 consumers follow the same rules, and credentials stand among them or in a list of their own', async () => {
  const send = (index: number, desc: string): Promise<void> => taken({
    consumers: [
      { username: 'jack', modifiedIndex: index, desc },
      { id: 'jack/credentials/a', plugins: {}, desc, modifiedIndex: index }, { id: 'jack/credentials/b', plugins: {} },
    ],
  });
  const shown = async (): Promise<unknown[]> => {
    const { consumers: [jack], credentials } = await get();
    return [jack.desc, credentials.map(({ id, desc }: any) => [id, desc ?? ''])];
  };
  await send(1, 'first');
  expect(await shown()).toEqual(['first', [['jack/a', 'first'], ['jack/b', '']]]);
  await send(1, 'second');
  expect(await shown()).toEqual(['first', [['jack/a', 'first'], ['jack/b', '']]]);
  await send(2, 'third');
  expect(await shown()).toEqual(['third', [['jack/a', 'third'], ['jack/b', '']]]);
  await taken({ consumers: [{ username: 'jack', desc: 'third' }], credentials: [{ id: 'jack/b', plugins: {} }] });
  expect(await shown()).toEqual(['third', [['jack/b', '']]]);
});

test('ST-08 ST-12 a whole that is wrong in anything is refused with its reason and changes nothing', async () => {
  const without = await ask('PUT', configs, {});
  expect([without.status, without.body.error_msg]).toEqual([400, 'missing digest header']);
  await taken({ stream_routes_conf_version: 100, stream_routes: [route('r', 'good')] });
  expect(await refused({ stream_routes_conf_version: 99 })).toBe('stream_routes_conf_version must be greater than or equal to (100)');
  expect(await refused({ stream_routes_conf_version: '101' })).toBe('stream_routes_conf_version must be a number');
  expect(await refused('{bad')).toMatch(/^invalid request body: /);
  expect(await refused('')).toBe('invalid request body: empty request body');
  expect(await refused({ stream_routes: [{ ...route('r', 'x'), server_port: 0 }] })).toBe('stream_routes[0].server_port: expected 1..65535, got 0');
  expect(await refused({ stream_routes: [route('r', 'x', { plugins: { nope: {} } })] })).toBe('unknown plugin [nope]');
  expect(await refused({ upstreams: [{ id: 'u', type: 'chash', hash_on: 'vars', key: 'nope nope', nodes: { '127.0.0.1:1': 1 } }] })).toContain('upstreams[0].key: expected the name of a variable');
  expect(await refused({ upstreams: [{ id: 'u', type: 'chash', nodes: { '127.0.0.1:1': 1 } }] })).toContain('missing key');
  expect(await refused({ upstreams: ['u', 'u'].map((id) => ({ id, nodes: {} })) })).toBe('found duplicate id u in upstreams');
  expect(await refused({ consumers: [{ username: 'x' }, { username: 'x' }] })).toBe('found duplicate username x in consumers');
  expect(await refused({ consumers: [{ username: 'x' }, ...[1, 2].map(() => ({ id: 'x/credentials/1', plugins: {} }))] }))
    .toBe('found duplicate credential id x/credentials/1 in consumers');
  expect(await refused({ stream_routes: [{ id: 'r', upstream_id: 'nowhere', protocol: { name: 'redis' } }] })).toContain('[nowhere], response code: 404');
  expect(await refused({ stream_route: [] })).toContain('did you mean "stream_routes"?');
  expect(await refused([])).toContain('an object of kinds');
  // Several mistakes: the first is the text, the list has all of them.
  const { body } = await put({ upstreams: [{ id: 'u', nodes: 7 }], stream_routes: [{ id: 'r', what: 1 }] });
  expect(new Set(body.errors.map(({ resource_type: kind }: any) => kind))).toEqual(new Set(['upstreams', 'stream_routes']));
  expect(await ping()).toBe('good');
});

test('ST-09 a kind with the version it had keeps what it has, although the body says something else', async () => {
  await taken({ upstreams: [{ id: 'u', desc: 'old', nodes: { '127.0.0.1:1': 1 } }], stream_routes: [route('r', 'old')], stream_routes_conf_version: 200, upstreams_conf_version: 300 });
  await taken({ upstreams: [{ id: 'u', desc: 'new', nodes: 'not even valid' }], upstreams_conf_version: 300, stream_routes: [route('r', 'new')], stream_routes_conf_version: 201 });
  expect(await ping()).toBe('new');
  expect(await get()).toMatchObject({ upstreams: [{ id: 'u', desc: 'old' }], upstreams_conf_version: 300, stream_routes_conf_version: 201 });
  await taken({ upstreams_conf_version: 300, stream_routes: [route('r', 'new')] });
  expect((await get()).upstreams).toMatchObject([{ desc: 'old' }]);
});

test('a whole says which plugins may run: what it lists does, and a whole with another one in it is refused', async () => {
  const plugins = { mocking: { rules: [{ commands: ['ping'], reply: 'mocked' }] } };
  const mocked = { id: 'r', server_port: port, upstream: { type: 'memory' }, protocol: { name: 'redis' }, plugins };
  const wholeOf = (list: unknown, more: object = {}): object => ({ plugins: list, stream_routes: [mocked], ...more });
  await taken(wholeOf([{ name: 'mocking', stream: true }], { plugins_conf_version: 50, stream_routes_conf_version: 5000 }));
  expect([await ping(), (await get()).plugins]).toEqual(['mocked', [{ name: 'mocking' }]]);
  const text = 'unknown plugin [mocking]: it is not in the list of plugins';
  expect(await refused(wholeOf([{ name: 'request-id' }]))).toBe(text);
  expect(await refused(wholeOf([]))).toBe(text);
  expect(await refused(wholeOf([{ stream: true }]))).toBe('plugins[0].name: expected the name of a plugin, got nothing');
  expect(await refused(wholeOf('mocking'))).toBe('plugins: expected a list of plugins, got "mocking"');
  // What the body does not repeat because it is as before counts, too: of routes and of the list itself.
  expect(await refused({ plugins: [], stream_routes_conf_version: 5000 })).toBe(text);
  await taken({ ...wholeOf([], { plugins_conf_version: 50 }) });
  expect([await ping(), (await get()).plugins]).toEqual(['mocked', [{ name: 'mocking' }]]);
  const validated = await ask('POST', `${configs}/validate`, wholeOf([{ name: 'request-id' }]));
  expect([validated.status, validated.body.errors]).toEqual([400, [{ resource_type: 'stream_routes', resource_id: 'r', path: 'stream_routes', error: text }]]);
  await taken({ plugins: [] });
  expect((await get()).plugins).toEqual([]);
  await taken({ stream_routes: [mocked] });
  expect([await ping(), (await get()).plugins]).toEqual(['mocked', undefined]);
});

test('ST-10 a stream route opens its port, and its removal closes it', async () => {
  port = await freePort();
  expect(await connects(port)).toBe(false);
  await taken({ stream_routes: [route('r', 'here')] });
  expect(await ping()).toBe('here');
  await taken({});
  expect(await connects(port)).toBe(false);
});

test('ST-11 ST-12 credentials among consumers are validated, and nothing is stored', async () => {
  const validate = (body: unknown): Promise<Answer> => ask('POST', `${configs}/validate`, body);
  const before = await get();
  expect((await validate({ consumers: [{ username: 'jack' }, { id: 'jack/credentials/1', plugins: {} }] })).status).toBe(200);
  const twice = await validate({ consumers: [{ username: 'jack' }, { id: 'jack/credentials/1', plugins: {} }, { id: 'jack/credentials/1', plugins: {} }] });
  expect([twice.status, twice.body.error_msg]).toEqual([400, 'Configuration validation failed']);
  expect(twice.body.errors).toEqual([{
    resource_type: 'consumers', resource_id: 'jack/credentials/1', index: 2, path: 'consumers[2].id',
    error: 'found duplicate credential id jack/credentials/1 in consumers',
  }]);
  expect(await get()).toEqual(before);
});

test('resources cannot be written one by one, and the answer says how they come', async () => {
  for (const [method, path, body] of [
    ['PUT', '/apisix/admin/upstreams/1', { nodes: {} }], ['POST', '/apisix/admin/upstreams', { nodes: {} }], ['DELETE', '/apisix/admin/upstreams/1', undefined],
    ['PATCH', '/apisix/admin/upstreams/1', { desc: 'x' }], ['PATCH', configs, { upstreams: { 1: { nodes: {} } } }],
  ] as const) {
    const answer = await ask(method, path, body);
    expect([method, answer.status, answer.body.error_msg])
      .toEqual([method, 405, 'resources come as a whole here (admin.standalone): PUT /apisix/admin/configs']);
  }
  expect(existsSync(join(proxy.folder, 'data/millrace.db'))).toBe(false);
});

test('wholes sent at the same time are taken one after another, and a dry run takes nothing', async () => {
  const version = (await get()).upstreams_conf_version as number;
  const upstreams = (n: number): object => ({ upstreams: [{ id: `u${n}`, nodes: { '127.0.0.1:1': 1 } }] });
  const answers = await Promise.all(Array.from({ length: 20 }, (_each, n) => put(upstreams(n), `together-${n}`)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  const whole = await get();
  const { headers } = await ask('HEAD', configs);
  expect(whole.upstreams_conf_version).toBe(version + 20);
  expect(whole.upstreams.map(({ id }: any) => `together-${id.slice(1)}`)).toEqual([headers.get('x-digest')]);
  const dry = await ask('PUT', `${configs}?dry_run=true`, {}, { 'X-Digest': 'dry' });
  expect([dry.status, dry.body.changes]).toMatchObject([200, [{ kind: 'upstreams', outcome: 'deleted' }]]);
  expect(await get()).toEqual(whole);
});

test('a secret that was shown masked may come back so and stays', async () => {
  const cache = { id: 'u', nodes: { '127.0.0.1:1': 1 }, auth: { password: 'the secret' } };
  await taken({ upstreams: [cache] });
  const shown = await get();
  expect(JSON.stringify(shown)).not.toContain('the secret');
  const { modifiedIndex } = (await ask('GET', '/apisix/admin/upstreams/u')).body;
  await taken({ upstreams: shown.upstreams });
  expect((await ask('GET', '/apisix/admin/upstreams/u')).body.modifiedIndex).toBe(modifiedIndex);
});

test('without the setting a whole is refused with 405 and a text that names it', async () => {
  await using usual = await startProxy({ route: null });
  const { status, body } = await usual.call('PUT', configs, {});
  expect([status, body.error_msg]).toEqual([405, expect.stringContaining('admin.standalone: true')]);
});

test('a whole is read as its type says, under both prefixes, up to the limit, by who has a key', async () => {
  const admin = { port: await freePort(), key: 'test-admin-key-0123456789abcdef', standalone: true, body_limit_bytes: 20_000 };
  await using other = await startProxy({ route: null, settings: { admin } });
  const yaml = 'upstreams:\n  - { id: u, type: memory }\n';
  const send = async (digest: string, body: string, headers: Record<string, string> = {}, path = configs): Promise<unknown[]> => {
    const response = await fetch(other.admin + path, { method: 'PUT', headers: { 'X-API-KEY': other.key, 'X-Digest': digest, ...headers }, body });
    const text = await response.text();
    return [response.status, text === '' ? '' : (JSON.parse(text) as { error_msg: string }).error_msg];
  };
  expect(await send('1', yaml, { 'Content-Type': 'application/json' })).toEqual([400, expect.stringMatching(/^invalid request body: /)]);
  expect(await send('1', yaml, { 'Content-Type': 'application/x-yaml; charset=utf-8' })).toEqual([202, '']);
  expect(await send('2', '{"upstreams":[]}', { 'Content-Type': 'text/plain' }, '/admin/configs')).toEqual([202, '']);
  expect(await send('3', '# nothing\n', { 'Content-Type': 'application/yaml' })).toEqual([400, expect.stringContaining('got an empty file')]);
  expect(await send('3', '${UNSET}: 1', { 'Content-Type': 'application/yaml' })).toEqual([400, expect.any(String)]);
  expect(await send('3', JSON.stringify({ upstreams: [], filler: 'x'.repeat(20_000) }))).toEqual([400, expect.stringContaining('greater than the maximum size 20000')]);
  expect(await send('x'.repeat(1025), '{}')).toEqual([400, 'X-Digest: expected at most 1024 characters, got 1025']);
  expect(await send('3', '{}', { 'X-API-KEY': 'wrong' })).toEqual([401, expect.any(String)]);
  const head = await fetch(other.admin + configs, { method: 'HEAD', headers: { 'X-API-KEY': other.key } });
  expect([head.status, head.headers.get('x-digest'), await head.text()]).toEqual([200, '2', '']);
});
