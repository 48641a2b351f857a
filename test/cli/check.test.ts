import { expect, test, vi } from 'vitest';
import { Place } from './millrace.ts';

const resources = `
stream_routes:
  - id: 1
    server_port: 70000
    protocol: { name: redis, conf: { faults: a } }
    upstream: { nodes: { "127.0.0.1:0": 1 } }
  - id: 2
    protocol: { name: smtp }
    plugins: { limit-cuont: {} }
    upstream_id: u
`;

// Processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

test('a good file is ok', async () => {
  using place = new Place();
  place.write('millrace.yaml', 'workers: 2\n');
  expect(await place.run('check')).toEqual({ code: 0, out: 'ok\n', err: '' });
});

test('a resources file is checked with plugins and protocols, every mistake on a line of its own', async () => {
  using place = new Place();
  place.write('resources.yaml', resources);
  const { code, out, err } = await place.run('check', '-c', 'resources.yaml');
  expect([code, out]).toEqual([1, '']);
  expect(err.trim().split('\n')).toEqual([
    'warning: resources.yaml:10:18: stream_routes[1].upstream_id: failed to fetch upstream info by upstream id [u], response code: 404',
    'resources.yaml:4:18: stream_routes[0].server_port: expected 1..65535, got 70000',
    'resources.yaml:5:46: stream_routes[0].protocol.conf.faults: expected array, got string "a"',
    'resources.yaml:6:41: stream_routes[0].upstream.nodes["127.0.0.1:0"]: invalid port 0, expected 1..65535',
    'resources.yaml:8:23: stream_routes[1].protocol.name: unknown protocol [smtp]',
    'resources.yaml:9:16: stream_routes[1].plugins.limit-cuont: unknown plugin [limit-cuont], did you mean "limit-count"?',
  ]);
});

test('a misspelt kind is told as one', async () => {
  using place = new Place();
  place.write('r.yaml', 'stream_route:\n  - id: 1\n');
  expect(await place.run('check', '-c', 'r.yaml')).toMatchObject({
    code: 1, err: 'r.yaml:1:1: unknown property "stream_route", did you mean "stream_routes"?\n' });
});

test('settings are checked together with the resources they name', async () => {
  using place = new Place();
  place.write('conf/millrace.yaml', 'resources: routes.yaml\n');
  place.write('conf/routes.yaml', 'stream_routes: [{ id: 1, upstream: { nodes: { a: x } } }]\n');
  const { code, err } = await place.run('check', '-c', 'conf/millrace.yaml');
  expect(code).toBe(1);
  expect(err).toMatch(/routes\.yaml:1:\d+: stream_routes\[0\]\.upstream\.nodes/);
});

test('what has no effect yet is a warning, and the check passes', async () => {
  using place = new Place();
  place.write('resources.yaml', 'stream_routes:\n  - { id: 1, upstream_id: u, server_port: 9100 }\n');
  const { code, out, err } = await place.run('check', '-c', 'resources.yaml');
  expect([code, out]).toEqual([0, 'ok\n']);
  expect(err).toMatch(/^warning: resources\.yaml:2:\d+: stream_routes\[0\]\.upstream_id: failed to fetch upstream/);
});

test('a plugin file that cannot be loaded is a mistake', async () => {
  using place = new Place();
  place.write('plugins/broken.ts', 'export default { name: "broken" };\n');
  place.write('millrace.yaml', 'plugins: [plugins]\n');
  const { code, err } = await place.run('check');
  expect(code).toBe(1);
  expect(err).toMatch(/plugins\/broken\.ts: priority: expected number, got nothing\n$/);
});

test('a plugin file that throws or cannot be parsed is told with its line', async () => {
  using place = new Place();
  place.write('plugins/a-throws.ts', '\n\nthrow new Error("boom");\n');
  place.write('plugins/b-enum.ts', 'const x = 1;\nenum Kind { A }\nexport default x;\n');
  place.write('plugins/c-imports.ts', "import table from './c-imports/table.ts';\nexport default table;\n");
  place.write('plugins/c-imports/table.ts', '\nexport default undefined.x;\n');
  place.write('millrace.yaml', 'plugins: [plugins]\n');
  const { code, err } = await place.run('check');
  expect([code, err.trim().split('\n').map((line) => line.slice(line.indexOf('/plugins/') + 9))]).toEqual([1, [
    'a-throws.ts: line 3: boom',
    'b-enum.ts: line 2: TypeScript enum is not supported in strip-only mode',
    expect.stringMatching(/^c-imports\.ts: table\.ts, line 2: Cannot read properties of undefined/),
  ]]);
});

test('certificates, protocols and folders of the settings are looked for', async () => {
  using place = new Place();
  place.write('no.pem', 'no certificate');
  place.write('millrace.yaml', `
listeners:
  - { port: 9101, protocol: rediss }
  - { port: 9102, tls: { cert: none.pem, key: no.pem } }
  - { port: 9103, tls: { certificates: [{ cert: no.pem, key: no.pem }] } }
plugins: [mine]
`);
  const { code, err } = await place.run('check');
  expect([code, err.trim().split('\n')]).toEqual([1, [
    expect.stringMatching(/^warning: plugins: there is no folder \/.*\/mine$/),
    'millrace.yaml: listeners[0].protocol: unknown protocol [rediss], did you mean "redis"?',
    expect.stringMatching(/^millrace\.yaml: listeners\[1\]\.tls\.cert: ENOENT.*none\.pem'$/),
    expect.stringMatching(/^millrace\.yaml: listeners\[2\]\.tls\.certificates\[0\]\.cert: \S+no\.pem: expected .*PEM.*, got /),
  ]]);
});

test('without a settings file the environment is checked', async () => {
  using place = new Place();
  expect(await place.run('check')).toMatchObject({ code: 0, out: 'ok\n' });
  const { code, err } = await place.start(['check'], { MILLRACE_WORKERS: 'many', MILLRACE_UPSTREAM: '127.0.0.1:99999' }).ended;
  expect([code, err]).toEqual([1, 'MILLRACE_WORKERS: workers: expected 1..256 or "auto", got "many"\n'
    + 'MILLRACE_UPSTREAM: expected host:port, got "127.0.0.1:99999"\n']);
});

test('a file that is missing or unreadable is told with its name', async () => {
  using place = new Place();
  place.write('half.yaml', 'stream_routes: [\n');
  for (const [file, start] of [['none.yaml', 'none.yaml: there is no such file\n'], ['half.yaml', 'half.yaml: 2:1: ']] as const) {
    const { code, err } = await place.run('check', '-c', file);
    expect([code, err]).toEqual([1, expect.stringContaining(start)]);
  }
});
