// What every kind of resource does the same way, and who keeps whom from being deleted, on a real port.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { kindNames, type Kind } from '../../core/config/resource.ts';
import { makeAuthority, type Authority } from '../support/certificates.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startAdmin } from './admin.ts';

interface Row {
  readonly kind: Kind;
  readonly path: string;
  readonly value: Record<string, unknown>;
  /** A merge patch, and what it makes of the value. */
  readonly patch: Record<string, unknown>;
  readonly patched: Record<string, unknown>;
  /** Path below the resource, body, and what the value has then. */
  readonly place: readonly [path: string, body: unknown, then: Record<string, unknown>];
  readonly misspelled: readonly [name: string, meant: string];
  readonly post: boolean;
}

const nodes = { '127.0.0.1:6379': 1 };
const upstream = { nodes };
const limit = { count: 9, time_window: 1 };
const plugins = { 'limit-count': limit };
const changedPlugins = { 'limit-count': { ...limit, count: 8 } };

let proxy: Proxy;
let authority: Authority;
let certificate: { cert: string; key: string };
beforeAll(async () => {
  authority = makeAuthority();
  const files = authority.issue('a.example', ['DNS:a.example']);
  certificate = { cert: readFileSync(files.cert, 'utf8'), key: readFileSync(files.key, 'utf8') };
  proxy = await startProxy({ route: null, environment: { PASSWORD: 'x', P: 'x' } });
  await ask('PUT', '/consumers/owner', { username: 'owner' });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  authority[Symbol.dispose]();
});

interface Answer { readonly status: number; readonly body: any }

async function ask(method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${proxy.admin}/apisix/admin${path}`, {
    method, headers: { 'X-API-KEY': proxy.key }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: /^[[{]/.test(text) ? JSON.parse(text) : text };
}

async function refused(method: string, path: string, body?: unknown): Promise<string> {
  const { status, body: answer } = await ask(method, path, body);
  expect([method, path, status]).toEqual([method, path, 400]);
  return answer.error_msg as string;
}

const usual = { patch: { desc: 'x' }, patched: { desc: 'x' }, place: ['/labels/a', 'b', { labels: { a: 'b' } }] } as const;

function rows(): Row[] {
  const route = { upstream, protocol: { name: 'redis' } };
  return [
    { kind: 'stream_routes', path: '/stream_routes/k', value: route, ...usual, misspelled: ['server_prot', 'server_port'], post: true },
    { kind: 'upstreams', path: '/upstreams/k', value: upstream, ...usual, misspelled: ['retires', 'retries'], post: true },
    { kind: 'services', path: '/services/k', value: { upstream }, ...usual, misspelled: ['upstrem', 'upstream'], post: true },
    { kind: 'consumers', path: '/consumers/k', value: { username: 'k' }, ...usual, misspelled: ['plugin', 'plugins'], post: false },
    { kind: 'credentials', path: '/consumers/owner/credentials/k', value: { plugins: {} }, ...usual, misspelled: ['label', 'labels'], post: false },
    { kind: 'ssls', path: '/ssls/k', value: { ...certificate, sni: 'a.example' }, ...usual, misspelled: ['snies', 'snis'], post: true },
    {
      kind: 'global_rules', path: '/global_rules/k', value: { plugins }, patch: { plugins: { 'limit-count': { count: 8 } } },
      patched: { plugins: changedPlugins }, place: ['/plugins/limit-count/count', 7, { plugins: { 'limit-count': { ...limit, count: 7 } } }],
      misspelled: ['pluggins', 'plugins'], post: false,
    },
    { kind: 'plugin_configs', path: '/plugin_configs/k', value: { plugins }, ...usual, misspelled: ['dsc', 'desc'], post: false },
    {
      kind: 'plugin_metadata', path: '/plugin_metadata/syslog', value: { log_format: { host: '$remote_addr' } },
      patch: { log_format: { host: null, id: '$route_id' } }, patched: { log_format: { id: '$route_id' } },
      place: ['/log_format/port', '$server_port', { log_format: { id: '$route_id', port: '$server_port' } }],
      misspelled: ['log_fromat', 'log_format'], post: false,
    },
    {
      kind: 'secrets', path: '/secrets/env/k', value: {}, patch: { prefix: 'APP_' }, patched: { prefix: 'APP_' },
      place: ['/prefix', 'B_', { prefix: 'B_' }], misspelled: ['prefx', 'prefix'], post: false,
    },
  ];
}

test('each kind is put, read, patched as a whole and at one place, listed and deleted, with its times', async () => {
  expect(rows().map(({ kind }) => kind).toSorted()).toEqual([...kindNames].toSorted());
  for (const { kind, path, value, patch, patched, place: [below, body, then] } of rows()) {
    const key = `/apisix${path}`;
    const made = await ask('PUT', path, value);
    expect([kind, made.status, made.body.key]).toEqual([kind, 201, key]);
    const { create_time: created } = made.body.value;
    const whole = await ask('PATCH', path, patch);
    expect([kind, whole.status, whole.body.value]).toEqual([kind, 200, expect.objectContaining(patched)]);
    const one = await ask('PATCH', path + below, body);
    expect([kind, one.status, one.body.value]).toEqual([kind, 200, expect.objectContaining({ ...then, create_time: created })]);
    expect(one.body.value.update_time).toBeGreaterThanOrEqual(created);
    const read = await ask('GET', path);
    expect(read.body).toEqual({ ...one.body, createdIndex: expect.any(Number), modifiedIndex: expect.any(Number) });
    const list = await ask('GET', path.slice(0, path.lastIndexOf('/')));
    expect([kind, list.body.list.map((each: any) => each.key)]).toEqual([kind, expect.arrayContaining([key])]);
    expect([kind, await ask('DELETE', path)]).toEqual([kind, { status: 200, body: { deleted: '1', key } }]);
    for (const [method, sent] of [['GET', undefined], ['DELETE', undefined], ['PATCH', patch]] as const) {
      expect([kind, method, await ask(method, path, sent)]).toEqual([kind, method, { status: 404, body: { message: 'Key not found' } }]);
    }
  }
});

test('each kind names what was probably meant, all mistakes at once, and refuses times', async () => {
  for (const { kind, path, value, misspelled: [name, meant] } of rows()) {
    const { status, body } = await ask('PUT', path, { ...value, [name]: 1, create_time: 1, labels: { a: 'x y' } });
    const texts = body.errors.map(({ message }: { message: string }) => message);
    expect([kind, status, texts]).toEqual([kind, 400, expect.arrayContaining([
      `unknown property "${name}", did you mean "${meant}"?`,
    ])]);
    // Metadata is the plugin's own; the two others have no labels.
    if (kind === 'plugin_metadata') continue;
    expect([kind, texts]).toEqual([kind, expect.arrayContaining([expect.stringContaining('the property is forbidden:  create_time')])]);
    const labels = kind === 'global_rules' || kind === 'secrets' ? 'unknown property "labels"' : 'labels.a: expected text';
    expect([kind, texts]).toEqual([kind, expect.arrayContaining([expect.stringContaining(labels)])]);
    expect([kind, (await ask('GET', path)).status]).toEqual([kind, 404]);
  }
});

test('POST makes an id where the reference does, and is 405 elsewhere', async () => {
  for (const { kind, path, value, post } of rows()) {
    const collection = path.slice(0, path.lastIndexOf('/'));
    const { status, body } = await ask('POST', collection, value);
    expect([kind, status]).toEqual([kind, post ? 201 : 405]);
    if (!post) continue;
    expect(body.value.id).toMatch(/^\d{20}$/);
    expect(await refused('POST', path, value)).toMatch(/^wrong .* id, do not need it$/);
    expect((await ask('DELETE', `${collection}/${body.value.id}`)).status).toBe(200);
  }
});

test('mistakes of shape, of plugins and of references are told in one answer', async () => {
  const { body } = await ask('PUT', '/stream_routes/k', {
    server_port: 0, upstream_id: 'nowhere', plugins: { 'limit-cuont': {}, 'fault-injection': 7 }, remote_addr: 'x',
    protocol: { name: 'reids', logger: [{ name: 'sylog' }] },
  });
  const texts = body.errors.map(({ message }: any) => message);
  expect(texts).toEqual(expect.arrayContaining([
    'server_port: expected 1..65535, got 0', 'plugins.fault-injection: expected object, got 7',
    'remote_addr: invalid remote_addr: x, expected IPv4 or IPv6 address or CIDR',
    'plugins.limit-cuont: unknown plugin [limit-cuont], did you mean "limit-count"?',
    'protocol.name: unknown protocol [reids], did you mean "redis"?',
    'protocol.logger[0].name: unknown plugin [sylog], did you mean "syslog"?',
    'upstream_id: failed to fetch upstream info by upstream id [nowhere], response code: 404',
  ]));
  expect(texts).toHaveLength(7);
});

test('AA-16 what is used is not deleted: who uses it is said for every kind, and only force=true overrides', async () => {
  const split = { 'traffic-split': { rules: [{ weighted_upstreams: [{ upstream_id: 'u' }] }] } };
  const redis = { name: 'redis' };
  await ask('PUT', '/upstreams/u', upstream);
  await ask('PUT', '/ssls/c', { ...certificate, type: 'client' });
  await ask('PUT', '/secrets/env/e', {});
  await ask('PUT', '/plugin_configs/p', { plugins });
  await ask('PUT', '/services/s', { upstream });
  await ask('PUT', '/stream_routes/top', { upstream, protocol: redis });
  const users: readonly (readonly [used: string, user: string, value: unknown, text: string])[] = [
    ['/upstreams/u', '/stream_routes/r', { upstream_id: 'u' }, 'can not delete this upstream, stream_route [r] is still using it now'],
    ['/upstreams/u', '/services/x', { upstream_id: 'u' }, 'can not delete this upstream, service [x] is still using it now'],
    ['/upstreams/u', '/stream_routes/r', { upstream, plugins: split }, 'can not delete this upstream, plugin in stream_route [r] is still using it now'],
    ['/upstreams/u', '/services/x', { plugins: split }, 'can not delete this upstream, plugin in service [x] is still using it now'],
    ['/upstreams/u', '/plugin_configs/x', { plugins: split }, 'can not delete this upstream, plugin in plugin_config [x] is still using it now'],
    ['/upstreams/u', '/global_rules/x', { plugins: split }, 'can not delete this upstream, plugin in global_rule [x] is still using it now'],
    ['/upstreams/u', '/consumers/x', { username: 'x', plugins: split }, 'can not delete this upstream, plugin in consumer [x] is still using it now'],
    ['/services/s', '/stream_routes/r', { service_id: 's' }, 'can not delete this service directly, stream_route [r] is still using it now'],
    ['/plugin_configs/p', '/stream_routes/r', { upstream, plugin_config_id: 'p' }, 'can not delete this plugin config, stream_route [r] is still using it now'],
    ['/stream_routes/top', '/stream_routes/r', { upstream, protocol: { ...redis, superior_id: 'top' } },
      'can not delete this stream route directly, stream route [r] is still using it as superior_id'],
    ['/secrets/env/e', '/upstreams/x', { nodes, auth: { password: '$secret://env/e/PASSWORD' } }, 'can not delete this secret, upstream [x] is still using it now'],
  ];
  for (const [used, user, value, text] of users) {
    expect([user, (await ask('PUT', user, value)).status]).toEqual([user, 201]);
    for (const force of ['', '?force=anything', '?force=1', '?force=TRUE', '?force=']) expect(await refused('DELETE', used + force)).toBe(text);
    expect((await ask('GET', used)).status).toBe(200);
    expect((await ask('DELETE', user)).status).toBe(200);
  }
  for (const [used, user, value] of users) {
    const { body: { value: { id, create_time: _c, update_time: _u, ...kept } } } = await ask('GET', used);
    await ask('PUT', user, value);
    expect([used, (await ask('DELETE', `${used}?force=true`)).status]).toEqual([used, 200]);
    expect([user, (await ask('DELETE', user)).status]).toEqual([user, 200]);
    expect([used, (await ask('PUT', used, kept)).status, id]).toEqual([used, 201, used.slice(used.lastIndexOf('/') + 1)]);
  }
});

test('AA-16 a route whose upstream was deleted by force goes on serving', async () => {
  await ask('PUT', '/upstreams/gone', { type: 'memory' });
  await ask('PUT', '/stream_routes/r', { upstream_id: 'gone', protocol: { name: 'redis' } });
  expect((await ask('DELETE', '/upstreams/gone?force=true')).status).toBe(200);
  expect(await (await proxy.connect()).command('PING')).toBe('PONG');
  expect((await ask('PUT', '/upstreams/other', { type: 'memory' })).status).toBe(201);
  expect((await ask('DELETE', '/stream_routes/r')).status).toBe(200);
});

test('what a plugin or a value names must exist, and a change that those who name it cannot follow is refused', async () => {
  const split = { 'traffic-split': { rules: [{ weighted_upstreams: [{ upstream_id: 'nowhere' }] }] } };
  expect(await refused('PUT', '/services/x', { plugins: split })).toBe('failed to fetch upstream info by upstream id [nowhere], response code: 404');
  expect(await refused('PUT', '/upstreams/x', { nodes, auth: { password: '$secret://env/nowhere/P' } }))
    .toBe('failed to fetch secret info by secret id [env/nowhere], response code: 404');
  expect(await refused('PUT', '/secrets/vualt/x', {})).toContain('unknown secret manager [vualt]');
  expect(await refused('PUT', '/secrets/evn/x', {})).toContain('unknown secret manager [evn], did you mean "env"?');
  expect(await refused('PUT', '/secrets/env/x', { path: '/x' })).toBe('path: expected nothing with env, got "/x"');
  await ask('PUT', '/stream_routes/a', { upstream, protocol: { name: 'redis' } });
  await ask('PUT', '/stream_routes/b', { upstream, protocol: { name: 'redis', superior_id: 'a' } });
  expect(await refused('PATCH', '/stream_routes/a', { protocol: null })).toContain('stream route [b] is still using it: protocol mismatch');
  expect(await refused('PUT', '/stream_routes/a', { upstream, protocol: { name: 'redis', superior_id: 'b' } }))
    .toContain('stream route can not set itself as superior_id');
  expect((await ask('PATCH', '/stream_routes/a', { desc: 'x' })).status).toBe(200);
  await ask('PATCH', '/configs', { stream_routes: { a: null, b: null } });
});

test('a place whose name holds a slash or a colon is patched by its percent-encoded name', async () => {
  await ask('PUT', '/upstreams/p', { nodes: { '127.0.0.1:6379': 1 }, labels: { 'a/b': 'old' } });
  expect((await ask('PATCH', '/upstreams/p/labels/a%2Fb', 'new')).body.value.labels).toEqual({ 'a/b': 'new' });
  expect((await ask('PATCH', '/upstreams/p/nodes/127.0.0.1:6379', 5)).body.value.nodes).toEqual({ '127.0.0.1:6379': 5 });
  expect(await refused('PATCH', '/upstreams/p/desc/x', 'y')).toBe('desc: expected string, got object');
  expect(await refused('PATCH', '/upstreams/p/nodes/127.0.0.1:6379/weight', 1)).toBe('invalid sub-path: /nodes/127.0.0.1:6379/weight');
  expect(await refused('PATCH', '/upstreams/p/labels/__proto__', 'x')).toContain('invalid sub-path');
});

test('every write but DELETE takes ?ttl=', async () => {
  const now = Date.now() / 1000;
  for (const [method, path] of [['PUT', '/upstreams/t'], ['PATCH', '/upstreams/t'], ['POST', '/upstreams']] as const) {
    const { body } = await ask(method, `${path}?ttl=100`, upstream);
    expect([method, body.expires_at > now + 99, body.expires_at < now + 160]).toEqual([method, true, true]);
    for (const ttl of ['x', '', '1s', '-1', 'NaN']) {
      expect([method, ttl, await refused(method, `${path}?ttl=${ttl}`, upstream)]).toEqual([method, ttl, 'invalid argument ttl: should be a number']);
    }
  }
  expect((await ask('PUT', '/upstreams/t', upstream)).body.expires_at).toBeUndefined();
});

test('a password that reads *** stays with the entry that it belongs to', async () => {
  await using bench = await startAdmin();
  const entry = (count: number, password: string): object => ({ name: 'limit-count', conf: { count, password } });
  const put = (...logger: object[]): Promise<Answer> =>
    bench.ask('PUT', '/admin/stream_routes/1', { body: { upstream, protocol: { name: 'redis', logger } } }).then(({ status, json }) => ({ status, body: json }));
  const stored = (): unknown => (bench.store.get('stream_routes', '1')!.value as any).protocol.logger.map(({ conf }: any) => `${conf.count}${conf.password}`);
  await put(entry(1, 'one'), entry(2, 'two'));
  expect((await put(entry(2, '***'), entry(1, '***'))).status).toBe(200);
  expect(stored()).toEqual(['2two', '1one']);
  // One was changed: by its place it is known which.
  expect((await put(entry(3, '***'), entry(1, '***'))).status).toBe(200);
  expect(stored()).toEqual(['3two', '1one']);
  expect((await put(entry(4, '***'))).body.errors[0].path).toBe('protocol.logger[0].conf.password');
  expect((await put(entry(1, '***'))).status).toBe(200);
  expect(stored()).toEqual(['1one']);
  expect((await put(entry(1, '***'), entry(5, '***'))).status).toBe(400);
});

test('lists say where a resource comes from, find labels by key and value, and tell consumers\' credentials apart', async () => {
  await using bench = await startAdmin();
  await bench.file.put('upstreams', 'of-the-file', upstream);
  await bench.ask('PUT', '/admin/upstreams/of-the-store', { body: upstream });
  expect((await bench.ask('GET', '/admin/upstreams')).json.list.map(({ key, origin }: any) => [key, origin])).toEqual([
    ['/apisix/upstreams/of-the-store', undefined], ['/apisix/upstreams/of-the-file', 'file'],
  ]);
  await ask('PUT', '/upstreams/l', { nodes, labels: { env: 'a:b', team: 'x' } });
  for (const [label, total] of [['env', 1], ['env=a:b', 1], ['env:a:b', 1], ['env=x', 0], ['x', 0], ['nope,team=x', 1]] as const) {
    expect([label, (await ask('GET', `/upstreams?label=${encodeURIComponent(label)}`)).body.total]).toEqual([label, total]);
  }
  expect((await ask('GET', '/upstreams?uri=.*&name=')).status).toBe(200);
  await ask('PUT', '/consumers/jack', { username: 'jack' });
  await ask('PUT', '/consumers/jackson', { username: 'jackson' });
  for (const name of ['jack', 'jackson']) await ask('PUT', `/consumers/${name}/credentials/1`, { plugins: {} });
  expect((await ask('GET', '/consumers/jack/credentials')).body).toMatchObject({ total: 1, list: [{ key: '/apisix/consumers/jack/credentials/1' }] });
  expect((await ask('PATCH', '/configs', { consumers: { jack: null }, credentials: { 'jack/1': null } })).body.changes).toEqual([
    { key: '/apisix/consumers/jack', outcome: 'deleted' }, { key: '/apisix/consumers/jack/credentials/1', outcome: 'deleted' },
  ]);
  expect((await ask('GET', '/consumers/jackson/credentials')).body.total).toBe(1);
});
