import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonSchema } from '../../../core/schema.ts';
import { defaultLimits } from '../../../core/limits.ts';
import { limitsOf } from '../../../core/settings-limits.ts';
import { loadSettings, portRange, settingsSchema } from '../../../core/settings.ts';

let folder = '';
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'millrace-settings-')); });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function load(text: string | null, environment: Record<string, string> = {},
  name = 'millrace.yaml'): ReturnType<typeof loadSettings> {
  if (text === null) return loadSettings(null, environment, folder);
  writeFileSync(join(folder, name), text);
  return loadSettings(name, environment, folder);
}
const told = (text: string, environment: Record<string, string> = {}): string[] =>
  load(text, environment).problems.map((each) => each.located);

test('without a file everything has a default, on loopback only', () => {
  const { settings, warnings } = load(null);
  expect(warnings).toEqual([]);
  expect(settings).toMatchObject({
    listeners: [{ address: '127.0.0.1', port: 9101, protocol: 'redis' }],
    stream_ports: { open: true, range: '1024-65535', address: '127.0.0.1' },
    workers: 'auto', admin: { address: '127.0.0.1', port: 9180, key_file: join(folder, 'data/admin.key') },
    store: { path: join(folder, 'data/millrace.db') }, plugins: [], protocols: [], log: { level: 'info' },
      drain_timeout_s: 30,
  });
});

test('the default limits are those of the reliability rules', () => {
  expect(load(null).settings?.limits).toEqual({
    inline_bytes: 65536, unauthenticated_arguments: 10, unauthenticated_bulk_bytes: 16384,
    unauthenticated_unsent_bytes: 1024, bulk_bytes: 536870912, arguments: 1048576, request_bytes: 67108864, stream_from_bytes: 1048576, reply_nesting: 128,
    pipelined_requests: 1024, reply_window_bytes: 524288, unsent_reply_pause_bytes: 1048576, unsent_reply_close_bytes: 67108864,
    slow_client_s: 60, buffered_bytes: 268435456, memory_bytes: 0, link_pending_bytes: 8388608, link_spent_slots: 100,
    own_links_per_node: 256, own_link_wait_s: 1, clients_per_listener: 10000, clients_per_address: 1000,
    auth_failures_per_minute: 10, request_timeout_s: 60, connect_timeout_s: 2, tls_handshake_timeout_s: 10,
    client_idle_timeout_s: 0,
  });
});

test('the engine\'s limits without settings are those of the settings without a file', () => {
  const { settings } = load(null);
  expect(settings && limitsOf(settings.limits)).toEqual(defaultLimits);
});

test('a file sets what it names and leaves the rest; its paths count from its folder', () => {
  const { settings } = load(`
listeners:
  - { port: 6380, address: "::1", protocol: redis, tls: { cert: a.pem, key: /abs/b.pem } }
workers: 3
resources: conf/resources.yaml
plugins: [my-plugins]
limits: { link_spent_slots: 1 }
`);
  expect(settings).toMatchObject({
    listeners: [{ port: 6380, address: '::1', tls: { cert: join(folder, 'a.pem'), key: '/abs/b.pem' } }],
    workers: 3, resources: join(folder, 'conf/resources.yaml'), plugins: [join(folder, 'my-plugins')],
    limits: { link_spent_slots: 1, own_links_per_node: 256 }, admin: { port: 9180 },
  });
});

test('an empty file is all defaults', () => {
  expect(load('# nothing\n').settings).toEqual(load(null).settings);
});

test('JSON settings read the same', () => {
  expect(load('{"workers": 2}', {}, 'millrace.json').settings?.workers).toBe(2);
});

test('variables are replaced in the file, and variables of Millrace win over it', () => {
  const quoted = load('workers: ${N:-4}\nadmin:\n  port: ${{PORT}}\n  key_file: "${HOME_}/k"\n', {
    PORT: '7001', HOME_: '/h', MILLRACE_WORKERS: '2', MILLRACE_LISTEN: '0.0.0.0:7000',
      MILLRACE_ADMIN_KEY: 'k'.repeat(32),
  });
  expect(quoted.problems).toEqual([]);
  expect(quoted.settings).toMatchObject({
    workers: 2, listeners: [{ address: '0.0.0.0', port: 7000, protocol: 'redis' }],
    admin: { port: 7001, key: 'k'.repeat(32), key_file: '/h/k' },
  });
});

test('a variable may stand in braces and brackets, where YAML would take its braces for its own', () => {
  const text = 'admin: { port: ${{ PORT }} , key_file: "${HOME_}/k" }\n'
    + 'listeners: [{ port: ${FIRST:-9101}, protocol: ${NAME:-redis} }]\nplugins: [${A}, "${B:-b,c}", ${C:-[x]}]\n';
  const environment = { PORT: '7001', HOME_: '/h', A: '/a, {b}', FIRST: '9' };
  const { settings, problems } = load(text, environment);
  expect(problems).toEqual([]);
  expect(settings).toMatchObject({
    admin: { port: 7001, key_file: '/h/k' }, listeners: [{ port: 9, protocol: 'redis' }],
    plugins: ['/a, {b}', join(folder, 'b,c'), join(folder, '[x]')],
  });
  expect(told(text, { ...environment, FIRST: '0' })).toEqual(['millrace.yaml:2:21: listeners[0].port: expected 1..65535, got 0']);
});

test.each<[string, Record<string, string>, object]>([
  ['a port alone keeps the address', { MILLRACE_LISTEN: '7000' },
    { listeners: [{ address: '127.0.0.1', port: 7000 }] }],
  ['IPv6 in brackets', { MILLRACE_LISTEN: '[::]:7000' }, { listeners: [{ address: '::', port: 7000 }] }],
  ['the admin listener', { MILLRACE_ADMIN_LISTEN: '127.0.0.2:1' },
    { admin: { address: '127.0.0.2', port: 1 } }],
  ['paths and level', { MILLRACE_STORE: '/s', MILLRACE_RESOURCES: '/r', MILLRACE_LOG_LEVEL: 'debug' },
    { store: { path: '/s' }, resources: '/r', log: { level: 'debug' } }],
])('a variable sets %s', (_what, environment, expected) => {
  expect(load(null, environment).settings).toMatchObject(expected);
});

test('all problems are told at once, each with its place', () => {
  expect(told(`
listeners:
  - port: 0
  - { port: 9000, tls: { cert: a } }
workers: many
admn: {}
limits: { arguments: 0, replay_nesting: 1 }
`, { MILLRACE_LOG_LEVEL: 'loud', MILLRACE_ADMIN_LISTEN: 'localhost:9180' }).toSorted()).toEqual([
    'MILLRACE_ADMIN_LISTEN: admin.address: expected IP address, got "localhost"',
    'MILLRACE_LOG_LEVEL: log.level: expected one of "trace", "debug", "info", "warn", "error", "fatal", "silent", got "loud"',
    'millrace.yaml:3:11: listeners[0].port: expected 1..65535, got 0',
    'millrace.yaml:4:19: listeners[1].tls.key: expected beside cert, got nothing',
    'millrace.yaml:5:10: workers: expected 1..256 or "auto", got "many"',
    'millrace.yaml:6:1: unknown property "admn", did you mean "admin"?',
    'millrace.yaml:7:25: limits: unknown property "replay_nesting", did you mean "reply_nesting"?',
    'millrace.yaml:7:22: limits.arguments: expected 1..9007199254740991, got 0',
  ].toSorted());
});

test.each<[string, string, string]>([
  ['two listeners on one port', 'listeners: [{ port: 7000 }, { port: 7000 }]',
    'millrace.yaml:1:37: listeners[1].port: expected a port that listeners[0] does not use, got 7000'],
  ['a listener on the admin port', 'listeners: [{ port: 9180 }]',
    'millrace.yaml:1:21: listeners[0].port: expected a port that admin does not use, got 9180'],
  ['a range backwards', 'stream_ports: { range: 9000-8000 }',
    'millrace.yaml:1:24: stream_ports.range: expected a port range within 1-65535, lower first, got "9000-8000"'],
  ['a range beyond ports', 'stream_ports: { range: 1-70000 }',
    'millrace.yaml:1:24: stream_ports.range: expected a port range within 1-65535, lower first, got "1-70000"'],
  ['an exposed admin listener', 'admin: { address: 0.0.0.0 }',
    'millrace.yaml:1:19: admin.address: expected a loopback address, or allow_remote: true, got "0.0.0.0"'],
  ['a publicly known key on an exposed listener',
    'admin: { address: 0.0.0.0, allow_remote: true, key: edd1c9f034335f136f87ad84b625c8f1 }',
    'millrace.yaml:1:53: admin.key: expected a secret key, got one that is publicly known'],
  ['an empty key', 'admin: { key: "" }',
    'millrace.yaml:1:15: admin.key: expected 16..1024 characters, got string (hidden)'],
  ['a pause beyond the close', 'limits: { unsent_reply_close_bytes: 2000 }',
    'millrace.yaml:1:1: limits.unsent_reply_pause_bytes: expected at most unsent_reply_close_bytes (2000), got 1048576'],
  ['standalone without its API', 'admin: { standalone: true, api: false }',
    'millrace.yaml:1:22: admin.standalone: expected false beside admin.api: false, which lets nothing come, got true'],
  ['an unset variable', 'log: { file: "${NOWHERE}" }',
    'millrace.yaml:1:14: log.file: environment variable NOWHERE is not set'],
  ['a forbidden name', '__proto__: { workers: 1 }', 'millrace.yaml:1:1: __proto__: the name is forbidden'],
  ['a duplicate key', 'workers: 1\nworkers: 2', 'millrace.yaml: 2:1: Map keys must be unique'],
  ['no object', '[]', 'millrace.yaml:1:1: expected object, got array of 0'],
])('%s is refused', (_what, text, expected) => {
  expect(told(text)).toEqual([expected]);
});

test('a publicly known key is accepted on loopback, with a warning', () => {
  const { settings, warnings } = load('admin: { key: edd1c9f034335f136f87ad84b625c8f1 }');
  expect(settings).not.toBeNull();
  expect(warnings).toEqual(['admin.key is publicly known; it is accepted on loopback only']);
});

test('a file that is not there is told by its name', () => {
  expect(loadSettings('nowhere.yaml', {}, folder).problems.map((each) =>
    each.located)[0]).toMatch(/^nowhere\.yaml: there is no such file/);
});

test('a wrong admin key from the environment is not shown', () => {
  const { problems } = load(null, { MILLRACE_ADMIN_KEY: 'S3CR3T' });
  expect(problems.map((each) => each.located)).toEqual(['MILLRACE_ADMIN_KEY: admin.key: expected 16..1024 characters, got string (hidden)']);
});

test('every key is described, for the documentation is made from it', () => {
  const bare: string[] = [];
  const visit = (schema: JsonSchema, name: string): void => {
    if (schema.description === undefined) bare.push(name);
    for (const [key, child] of Object.entries(schema.properties ?? {})) visit(child, `${name}.${key}`);
    if (schema.items !== undefined && !Array.isArray(schema.items) && (schema.items as JsonSchema).properties !== undefined) {
      visit(schema.items as JsonSchema, `${name}[]`);
    }
  };
  visit(settingsSchema, 'settings');
  expect(bare).toEqual([]);
});

test('a port range has a first and a last port', () => {
  expect(portRange('1024-65535')).toEqual({ first: 1024, last: 65535 });
});
