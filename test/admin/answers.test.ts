// What scripts and people read in answers: where a mistake is, which of several is meant, all of them at once.
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startAdmin } from './admin.ts';

const admin = '/apisix/admin';

test('dry_run is true or false: anything else writes nothing and says so', async () => {
  await using bench = await startAdmin();
  for (const value of ['1', 'yes', 'True', '', 'true,true']) {
    const path = `${admin}/upstreams/u?dry_run=${value}`;
    expect(await bench.ask('PUT', path, { body: { type: 'memory' } })).toMatchObject({
      status: 400, json: { errors: [{ path: 'dry_run', expected: 'true or false', got: JSON.stringify(value) }] },
    });
  }
  expect((await bench.ask('DELETE', `${admin}/upstreams/u?dry_run=no`)).status).toBe(400);
  expect(bench.store.get('upstreams', 'u')).toBeUndefined();
  expect((await bench.ask('PUT', `${admin}/upstreams/u?dry_run=false`, { body: { type: 'memory' } })).status).toBe(201);
  // The reference ignores what it does not know here, and so do its users' scripts.
  expect((await bench.ask('DELETE', `${admin}/upstreams/u?force=yes`)).status).toBe(200);
});

test('of several changes, the one that cannot be is named: deleted although it is used, or not there', async () => {
  await using bench = await startAdmin();
  const patch = (body: unknown) => bench.ask('PATCH', `${admin}/configs`, { body });
  expect((await patch({ upstreams: { a: { type: 'memory' }, b: { type: 'memory' } }, services: { s: { upstream_id: 'a' } } })).status).toBe(200);
  const used = await patch({ upstreams: { a: null, b: null } });
  expect(used).toMatchObject({ status: 400, json: {
    error_msg: 'can not delete this upstream, service [s] is still using it now', errors: [{ path: 'upstreams.a' }] } });
  expect(await patch({ upstreams: { b: null, nobody: null } })).toMatchObject({
    status: 404, json: { message: 'Key not found', error_msg: 'upstreams.nobody: expected an existing upstream, got the id of none' } });
  expect(bench.store.get('upstreams', 'b')).toBeDefined();
  expect((await bench.ask('DELETE', `${admin}/upstreams/nobody`)).json).toEqual({ message: 'Key not found' });
});

test('every secret that is not found is told with its place, of each of several resources', async () => {
  await using proxy = await startProxy({ route: null, environment: { GIVEN: 'a' } });
  const upstream = { nodes: { '127.0.0.1:1': 1 }, auth: { username: '$env://NO_USERNAME', password: '$env://NO_PASSWORD' } };
  const one = await proxy.call('PUT', `${admin}/upstreams/u`, upstream);
  expect(one.status).toBe(400);
  expect(one.body).toEqual({
    error_msg: 'auth.username: expected a secret at $env://NO_USERNAME, got nothing',
    errors: ['username', 'password'].map((name) => {
      const expected = `a secret at $env://NO_${name.toUpperCase()}`;
      return { path: `auth.${name}`, expected, got: 'nothing', message: `auth.${name}: expected ${expected}, got nothing` };
    }),
  });
  const several = await proxy.call('PATCH', `${admin}/configs`, { upstreams: {
    u: upstream, v: { ...upstream, auth: { password: '$env://GIVEN' } }, w: { ...upstream, auth: { password: '$env://GIVEN/member' } } } });
  expect(several.body.errors.map(({ path, got }: Record<string, string>) => [path, got])).toEqual([
    ['upstreams.u.auth.username', 'nothing'], ['upstreams.u.auth.password', 'nothing'], ['upstreams.w.auth.password', 'no JSON']]);
  expect((await proxy.call('GET', `${admin}/upstreams`)).body.total).toBe(0);
});

test('secrets of all managers are listed together, and of one manager alone', async () => {
  await using bench = await startAdmin({ keys: [{ name: 'files', key: 'a-key-of-files-0123456789', role: 'viewer', scopes: ['secrets/file/*'] }] });
  await bench.ask('PUT', `${admin}/secrets/env/a`, { body: { prefix: 'A_' } });
  await bench.ask('PUT', `${admin}/secrets/file/b`, { body: { path: '/run/secrets' } });
  const keys = async (path: string, headers = {}): Promise<string[]> =>
    (await bench.ask('GET', `${admin}/${path}`, { headers })).json.list.map(({ key }: { key: string }) => key);
  expect(await keys('secrets')).toEqual(['/apisix/secrets/env/a', '/apisix/secrets/file/b']);
  expect(await keys('secrets/file')).toEqual(['/apisix/secrets/file/b']);
  expect(await keys('secrets', { 'X-API-KEY': 'a-key-of-files-0123456789' })).toEqual(['/apisix/secrets/file/b']);
  expect((await bench.ask('PUT', `${admin}/secrets`, { body: { id: 'env/x' } })).status).toBe(404);
  for (const path of ['relative', './x', '~/x']) {
    expect((await bench.ask('PUT', `${admin}/secrets/file/c`, { body: { path } })).json.error_msg).toContain('path: expected an absolute path');
  }
});

test('configs/validate tells everything at once: misspelt kinds, versions, items that are wrong, and what they name', async () => {
  await using bench = await startAdmin();
  const validate = async (body: unknown): Promise<readonly string[]> => {
    const { status, json } = await bench.ask('POST', `${admin}/configs/validate`, { body });
    return status === 200 ? [] : json.errors.map(({ path, error }: Record<string, string>) => `${path}: ${error}`);
  };
  const redis = { name: 'redis' };
  expect(await validate({
    stream_route: [], services: {}, upstreams_conf_version: 'x', routes_conf_version: -1,
    upstreams: [{ id: '1', type: 'memory' }, { id: '1', type: 'memory' }, 3],
    stream_routes: [{ id: 'a', protocol: redis, upstream_id: 'none', plugins: { 'limit-count': {} } }],
  })).toEqual([
    'upstreams_conf_version: upstreams_conf_version must be a number',
    'routes_conf_version: routes_conf_version must be greater than or equal to (0)',
    'stream_route: unknown property "stream_route", did you mean "stream_routes"?', 'services: expected a list, got object',
    'stream_routes[0].plugins.limit-count.count: expected integer, got nothing',
    'upstreams[1].id: found duplicate id 1 in upstreams', 'upstreams[2]: expected object, got 3',
  ]);
  // Where no kind is missing, what leads nowhere is told beside what is wrong in the same item.
  expect(await validate({
    stream_routes: [
      { id: 'a', protocol: { ...redis, superior_id: 'b' }, upstream_id: 'none', plugin_config_id: 7, plugins: { 'limit-count': { count: 0 } } },
      { id: 'b', protocol: redis, upstream_id: [] },
    ],
    upstreams_conf_version: 3,
  })).toEqual([
    'stream_routes[0].plugins.limit-count.count: expected at least 1, got 0',
    expect.stringMatching(/^stream_routes\[1\]\.upstream_id: expected /),
    'stream_routes[0].plugin_config_id: failed to fetch plugin config info by plugin config id [7], response code: 404',
    'stream_routes[0].upstream_id: failed to fetch upstream info by upstream id [none], response code: 404',
  ]);
  expect(await validate({ upstreams: [{ id: '1', type: 'memory' }], upstreams_conf_version: 3 })).toEqual([]);
});

test('what GET shows may be sent back with PATCH, times and id with it; other times or ids are refused', async () => {
  await using bench = await startAdmin();
  const kinds: readonly [string, object][] = [
    ['upstreams/u', { type: 'memory' }], ['consumers/jack', { username: 'jack' }], ['consumers/jack/credentials/c', { plugins: {} }],
    ['secrets/env/e', { prefix: 'A_' }], ['plugin_metadata/limit-count', { count: 1 }],
  ];
  for (const [path, value] of kinds) {
    await bench.ask('PUT', `${admin}/${path}`, { body: value });
    const { value: shown } = (await bench.ask('GET', `${admin}/${path}`)).json;
    expect(shown.create_time, path).toEqual(expect.any(Number));
    const again = await bench.ask('PATCH', `${admin}/${path}`, { body: shown });
    expect([again.status, again.json.value], path).toEqual([200, shown]);
    for (const [name, text] of [['create_time', 'the property is forbidden:  create_time'], ['update_time', 'the property is forbidden:  update_time']] as const) {
      expect((await bench.ask('PATCH', `${admin}/${path}`, { body: { ...shown, [name]: 1 } })).json.error_msg, path).toBe(text);
      // A PUT says everything anew: the reference refuses them there, whatever they say.
      expect((await bench.ask('PUT', `${admin}/${path}`, { body: { ...value, [name]: shown[name] } })).json.error_msg, path).toBe(text);
    }
    const idMember = path === 'consumers/jack' ? 'username' : 'id';
    expect((await bench.ask('PATCH', `${admin}/${path}`, { body: { [idMember]: 'other' } })).json.error_msg, path).toMatch(/^wrong .* id$/);
  }
});

test('names of headers and cookies that are hashed are letters, digits, - and _', async () => {
  await using bench = await startAdmin();
  const put = async (hashOn: string, key: string): Promise<readonly [number, string | undefined]> => {
    const { status, json } = await bench.ask('PUT', `${admin}/upstreams/u`, { body: { type: 'chash', nodes: { 'a:1': 1 }, hash_on: hashOn, key } });
    return [status, json.error_msg];
  };
  for (const hashOn of ['header', 'cookie']) {
    expect((await put(hashOn, 'X-User_1'))[0]).toBeLessThan(300);
    for (const key of ['a b', 'a:b', '$a', 'ä']) {
      expect(await put(hashOn, key)).toEqual([400, `key: expected the name of a ${hashOn}: letters, digits, - and _, got ${JSON.stringify(key)}`]);
    }
  }
});

test('PATCH configs tells every mistake of every change, with kind and id, also of one alone', async () => {
  await using bench = await startAdmin();
  const wrong = async (body: unknown): Promise<readonly string[]> => {
    const { status, json } = await bench.ask('PATCH', `${admin}/configs`, { body });
    expect(status).toBe(400);
    return json.errors.map(({ message }: { message: string }) => message);
  };
  const memory = { type: 'memory' };
  expect(await wrong({ stream_routes: { 1: { id: '2', upstream: memory } } })).toEqual(['stream_routes.1.id: wrong stream route id']);
  expect(await wrong({
    upstreams: { a: 3, b: { ...memory, auth: { password: '***' } }, 'c d': memory },
    stream_routes: { r: { upstream_id: 'a', protocol: { name: 'redi' } } },
    plugin_metadata: { nobody: {} },
  })).toEqual([
    'upstreams.a: expected object, got 3',
    'upstreams.b.auth.password: expected a secret, got "***", which stands for one that is not shown',
    'plugin_metadata.nobody.id: invalid plugin name',
    'upstreams["c d"].id: expected 1..64 letters, digits, -, _, . or an integer from 1, got "c d"',
    'stream_routes.r.protocol.name: unknown protocol [redi]',
  ]);
  expect(await wrong([])).toEqual(['expected an object of kinds, got array of 0']);
  expect(await wrong({ upstreams: [memory] })).toEqual(['upstreams: expected an object of ids, got array of 1']);
  expect(bench.store.config.revision).toBe(0);
});

test('a number that no program can keep is refused with its place, wherever it stands', async () => {
  await using bench = await startAdmin();
  for (const number of ['1e400', '-1e999', '1' + '0'.repeat(309)]) {
    const { status, json } = await bench.ask('PUT', `${admin}/plugin_metadata/fault-injection`, { body: `{"a": [{"b": ${number}}]}` });
    expect([status, json.error_msg]).toEqual([400, 'a[0].b: expected a number up to 1.7e308, got a larger one']);
  }
  expect((await bench.ask('PUT', `${admin}/plugin_metadata/fault-injection`, { body: '{"a": 1e300, "b": "1e999"}' })).status).toBe(201);
});

test('what is no request is answered like everything else that is refused, and the connection ends', async () => {
  await using bench = await startAdmin();
  const said = (bytes: string): Promise<string> => new Promise((resolve, reject) => {
    const socket = connect(bench.admin.port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => { text += String(chunk); }).on('end', () => resolve(text)).on('error', reject);
  });
  const wrong = '{"error_msg":"the request is not well formed"}';
  for (const bytes of ['FOO / HTTP/1.1\r\nHost: localhost\r\n\r\n', 'GET / HTTP/1.1\r\nHost: local\x01host\r\n\r\n', '*1\r\n$4\r\nPING\r\n']) {
    expect(await said(bytes)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect((await said(bytes)).split('\r\n\r\n')[1]).toBe(wrong);
  }
  expect(await said(`GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(100_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 .*"the headers are too large"/s);
});

test('schema/validate takes the id of a credential in both of its forms', async () => {
  await using bench = await startAdmin();
  await bench.ask('PUT', `${admin}/consumers/jack`, { body: { username: 'jack' } });
  const validate = async (id: string): Promise<readonly [number, string | undefined]> => {
    const { status, json } = await bench.ask('POST', `${admin}/schema/validate/credentials`, { body: { id, plugins: {} } });
    return [status, json?.error_msg];
  };
  for (const id of ['1', 'jack/1', 'jack/credentials/1']) expect((await validate(id))[0], id).toBe(200);
  expect(await validate('jill/credentials/1')).toEqual([400, 'id: consumer jill not found']);
  expect((await validate('jack/credentials/1/2'))[0]).toBe(400);
});
