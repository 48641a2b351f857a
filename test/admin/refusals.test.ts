import { expect, test } from 'vitest';
import { startAdmin } from './admin.ts';

const upstream = { nodes: { '127.0.0.1:6379': 1 } };
const route = { upstream, protocol: { name: 'redis' } };
const r = '/apisix/admin/stream_routes/1';
const u = '/apisix/admin/upstreams/1';
const json = (body: unknown): string => JSON.stringify(body);

const wrongId = 'id: expected 1..64 letters, digits, -, _, . or an integer from 1, got';

/** Each with the whole error text. */
const invalid: readonly (readonly [path: string, body: string, text: string])[] = [
  [r, '', 'missing configurations'],
  [r, '{', 'invalid request body: not valid JSON, line 1, column 2'],
  [r, '{"a":1}{', 'invalid request body: not valid JSON, line 1, column 8'],
  [r, '{\n"desc": S3CR3T}', 'invalid request body: not valid JSON'],
  [r, '{"desc": "S3CR3T', 'invalid request body: not valid JSON, it ends too early'],
  [r, '{\n"desc": "a" "b"}', 'invalid request body: not valid JSON, line 2, column 13'],
  [r, '{"desc":"a","desc":"b"}', 'invalid request body: duplicate key in an object, line 1, column 13'],
  [r, '{"desc":"a",\n"d\\u0065sc":"b"}', 'invalid request body: duplicate key in an object, line 2, column 1'],
  [r, '{"labels":{"x":"1"},"upstream":{"nodes":{"a:1":1,"a:1":2}}}',
    'invalid request body: duplicate key in an object, line 1, column 50'],
  [r, '[]', 'expected object, got array of 0'], [r, 'null', 'expected object, got null'],
  [r, '1', 'expected object, got 1'], [r, '"x"', 'expected object, got string "x"'],
  [r, 'true', 'expected object, got boolean true'],
  [r, '{"__proto__":{"x":1}}', '__proto__: the name is forbidden'],
  [r, '{"labels":{"constructor":"x"}}', 'labels.constructor: the name is forbidden'],
  [r, '{"plugins":{"limit-count":{"prototype":1}}}', 'plugins.limit-count.prototype: the name is forbidden'],
  [r, json({ ...route, id: '2' }), 'wrong stream route id'],
  [r, json({ ...route, create_time: 1 }), 'the property is forbidden:  create_time'],
  [r, json({ ...route, update_time: 1 }), 'the property is forbidden:  update_time'],
  [r, json({ upstream: { ...upstream, create_time: 1 } }), 'the property is forbidden:  create_time'],
  [r, json({ ...route, plugins: { 'mqttt-proxy': {} } }), 'unknown plugin [mqttt-proxy]'],
  [r, json({ ...route, protocol: { name: 'xxx' } }), 'unknown protocol [xxx]'],
  [r, json({ ...route, protocol: { name: 'redis', conf: { faults: 'a' } } }),
    'protocol.conf.faults: expected array, got string "a"'],
  [r, json({ ...route, remote_addr: ':/8' }), 'invalid remote_addr: :/8, expected IPv4 or IPv6 address or CIDR'],
  [r, json({ ...route, protocol: { name: 'redis', superior_id: '1' } }),
    'stream route can not set itself as superior_id'],
  [r, json({ ...route, protocol: { name: 'redis', superior_id: '999' } }),
    'failed to fetch stream routes[999], response code: 404'],
  [r, json({ protocol: { name: 'redis' }, upstream_id: '9' }),
    'failed to fetch upstream info by upstream id [9], response code: 404'],
  [r, json({}), 'upstream: expected upstream, upstream_id or service_id, got none of them'],
  [r, json({ ...route, server_port: 0 }), 'server_port: expected 1..65535, got 0'],
  [r, json({ ...route, server_port: 65536 }), 'server_port: expected 1..65535, got 65536'],
  [r, json({ ...route, server_port: '9100' }), 'server_port: expected integer, got string "9100"'],
  [r, json({ ...route, status: 2 }), 'status: expected one of 0, 1, got 2'],
  [r, json({ ...route, colour: 'red' }), 'unknown property "colour"'],
  [r, json({ ...route, protcol: {} }), 'unknown property "protcol", did you mean "protocol"?'],
  [r, json({ ...route, plugins: { 'limit-count': { count: 0 } } }),
    'plugins.limit-count.count: expected at least 1, got 0'],
  ['/apisix/admin/stream_routes/*invalid', json(route), `${wrongId} "*invalid"`],
  ['/apisix/admin/stream_routes/a%2Fb', json(route), `${wrongId} "a/b"`],
  ['/apisix/admin/stream_routes/__proto__', json(route), 'id: expected another id, got "__proto__"'],
  ['/apisix/admin/stream_routes', json(route), 'missing stream route id'],
  [u, json({ nodes: { 'redis:0': 1 } }), 'nodes["redis:0"]: invalid port 0, expected 1..65535'],
  [u, json({ nodes: { 'redis:6379': -1 } }), 'nodes["redis:6379"]: expected 0..1000000, got -1'],
  [u, json({ nodes: [{ host: 'a', port: 0, weight: 1 }] }), 'nodes[0].port: expected 1..65535, got 0'],
  [u, json({ ...upstream, retries: -1 }), 'retries: expected 0..255, got -1'],
  [u, json({ ...upstream, type: 'chash' }), 'missing key: type chash expects one, such as remote_addr'],
];

/** Further ones, of which it counts that they change nothing. */
const alsoInvalid: readonly (readonly [path: string, body: unknown])[] = [
  ...[-1, 1.5, '1', null, [], {}, -0.5].map((port) => [r, { ...route, server_port: port }] as const),
  ...['x y', '', 'a'.repeat(254), 1].map((sni) => [r, { ...route, sni }] as const),
  ...[0, 'x', [], null].map((protocol) => [r, { ...route, protocol }] as const),
  ...[-1, 'x', 0].map((connect) => [u, { ...upstream, timeout: { connect } }] as const),
  ...['', 'a b', 'h:x', '10.0.0.256:1'].map((node) => [u, { nodes: { [node]: 1 } }] as const),
  ['/apisix/admin/plugin_metadata/limit-count', { count: 'x' }],
  ['/apisix/admin/plugin_metadata/nobody', {}],
];

test('an invalid body is 400 with place, expectation and what came, and changes nothing', async () => {
  await using bench = await startAdmin();
  await bench.ask('PUT', r, { body: { ...route, desc: 'as it was' } });
  await bench.ask('PUT', u, { body: upstream });
  const before = bench.config.config;
  expect(invalid.length + alsoInvalid.length).toBeGreaterThanOrEqual(60);
  const answers = [];
  for (const [path, body] of invalid) {
    const { status, json: answered, text } = await bench.ask('PUT', path, { body });
    expect(text).not.toContain('S3CR3T');
    const listed = answered.errors as readonly { readonly expected: string; readonly got: string }[] | undefined;
    expect(listed?.filter(({ expected, got }) => expected === '' || got === '') ?? []).toEqual([]);
    answers.push([path, body, status, answered.error_msg]);
  }
  expect(answers).toEqual(invalid.map(([path, body, text]) => [path, body, 400, text]));
  for (const [path, body] of alsoInvalid) {
    const { status, json: answered } = await bench.ask('PUT', path, { body });
    expect({ body, status }).toEqual({ body, status: 400 });
    expect(answered.errors).not.toHaveLength(0);
  }
  expect(bench.config.config).toBe(before);
  expect(bench.store.config.revision).toBe(2);
  expect(({} as { x?: unknown }).x).toBeUndefined();
});

test('all mistakes are listed at once', async () => {
  await using bench = await startAdmin();
  const { json: answer } = await bench.ask('PUT', r, { body: { ...route, server_port: 0, status: 2 } });
  expect(answer).toEqual({
    error_msg: 'server_port: expected 1..65535, got 0',
    errors: [
      { path: 'server_port', expected: '1..65535', got: '0', message: 'server_port: expected 1..65535, got 0' },
      { path: 'status', expected: 'one of 0, 1', got: '2', message: 'status: expected one of 0, 1, got 2' },
    ],
  });
});

test('what there is no route for is named as in the reference', async () => {
  await using bench = await startAdmin();
  const cases = [
    ['GET', '/apisix/admin/routs', 404, 'Unsupported resource type: routs'],
    ['PUT', '/admin/routs/1', 404, 'Unsupported resource type: routs'],
    ['GET', '/apisix/admin/stream_routes/1/plugins', 404, 'not found'],
    ['COPY', '/apisix/admin/stream_routes/1', 404, 'not found'],
    ['OPTIONS', '/apisix/admin/stream_routes/1', 404, 'not found'],
    ['POST', '/apisix/admin/consumers', 405, 'not supported `POST` method for consumer'],
    ['POST', '/apisix/admin/plugin_metadata', 405, 'not supported `POST` method for plugin_metadata'],
    ['GET', '/', 404, '404 Route Not Found'],
    ['GET', '/apisix/admin/schema/route', 400, 'not found schema: route'],
    ['GET', '/apisix/admin/plugins/nobody', 404, 'plugin not found in subsystem stream'],
    ['GET', '/apisix/admin/plugins/limit-count?schema_type=consumer', 400, 'not found schema'],
    ['GET', '/apisix/admin/stream_routes/%zz', 400, 'the path is not well formed'],
  ] as const;
  for (const [method, path, status, text] of cases) {
    const answer = await bench.ask(method, path, { body: '{}' });
    expect([answer.status, answer.json.error_msg], `${method} ${path}`).toEqual([status, text]);
  }
});

test('a body over the limit is refused, whether it says its size or not', async () => {
  await using bench = await startAdmin({ bodyLimit: 2000 });
  const body = JSON.stringify({ ...route, desc: 'x'.repeat(3000) });
  const start = 'invalid request body: request size';
  const told = await bench.ask('PUT', r, { body });
  expect([told.status, told.json.error_msg])
    .toEqual([400, `${start} ${body.length} is greater than the maximum size 2000 allowed`]);
  const streamed = await bench.ask('PUT', r, { body, chunked: true });
  expect([streamed.status, streamed.json.error_msg])
    .toEqual([400, `${start} over 2000 is greater than the maximum size 2000 allowed`]);
  expect(bench.store.config.revision).toBe(0);
});

test('a body is read as JSON whatever its type says', async () => {
  await using bench = await startAdmin();
  for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'application/json']) {
    const { status } = await bench.ask('PUT', r, { body: route, headers: { 'content-type': type } });
    expect([type, status]).toEqual([type, expect.toBeOneOf([200, 201])]);
  }
});

test('odd names are refused or kept, never confused', async () => {
  await using bench = await startAdmin();
  const good = ['a-b-c-ABC_0123', '1', '007', 'a.b', 'hasOwnProperty', 'toString', 'x'.repeat(64)];
  for (const id of good) {
    const { status } = await bench.ask('PUT', `/admin/upstreams/${id}`, { body: upstream });
    expect([id, status]).toEqual([id, 201]);
  }
  const bad = [
    'constructor', 'prototype', '%00', 'a%20b', '%2e%2e', 'x'.repeat(65), 'y'.repeat(9000), '%C3%BC',
    '%3Cscript%3E',
  ];
  for (const id of bad) {
    const put = await bench.ask('PUT', `/admin/upstreams/${id}`, { body: upstream });
    const get = await bench.ask('GET', `/admin/upstreams/${id}`);
    expect([id, put.status, get.status]).toEqual([id, 400, 404]);
  }
  const { json: list } = await bench.ask('GET', '/admin/upstreams');
  expect(list.list.map((each: { value: { id: string } }) => each.value.id)).toEqual(good);
});
