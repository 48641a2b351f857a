// Several keys: who they are, what they may, until when.
import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyRequest } from 'fastify';
import { expect, test } from 'vitest';
import { AdminKeys } from '../../admin/keys.ts';
import { Permissions } from '../../admin/permissions.ts';
import { prefixes } from '../../admin/server.ts';
import type { AdminKeyEntry } from '../../core/settings-admin.ts';
import { loadSettings } from '../../core/settings.ts';
import { startProxy } from '../support/proxy.ts';
import { freePort } from '../support/ports.ts';
import { startAdmin, temporaryFolder, type Answer, type Asked, type Bench } from './admin.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const texts = { viewer: 'key-of-the-viewer-1', team: 'key-of-the-team-22', scrape: 'key-of-prometheus1', old: 'key-that-is-over-1', hashed: 'key-by-its-hash-12' };
const keys: readonly AdminKeyEntry[] = [
  { name: 'watcher', key: texts.viewer, role: 'viewer' },
  { name: 'team', key: texts.team, role: 'admin', scopes: ['stream_routes', 'upstreams/cache-*', 'credentials/jack/*'] },
  { name: 'scrape', key: texts.scrape, role: 'viewer', scopes: ['metrics'] },
  { name: 'old', key: texts.old, role: 'admin', expires: '2020-01-01T00:00:00Z' },
  { name: 'hashed', key_sha256: sha256(texts.hashed).toUpperCase(), role: 'admin', expires: '2999-01-01T00:00:00+02:00' },
];

type Ask = (method: string, path: string, body?: unknown, headers?: Asked['headers']) => Promise<Answer>;

function by(bench: Bench, name: keyof typeof texts): Ask {
  return (method, path, body, headers = {}) =>
    bench.ask(method, path, { body, headers: { 'x-api-key': texts[name], ...headers } });
}

const outside = (what: string): string =>
  `${what} is outside the scopes of this key; the key team has stream_routes, upstreams/cache-*, credentials/jack/*`;
const needsAll = 'this needs a key without scopes; the key team has stream_routes, upstreams/cache-*, credentials/jack/*';

test('AA-04 a viewer reads everything and writes nothing, on no route', async () => {
  await using bench = await startAdmin({ keys });
  const viewer = by(bench, 'viewer');
  await bench.ask('PUT', '/admin/upstreams/1', { body: { type: 'memory' } });
  expect((await viewer('GET', '/apisix/admin/upstreams/1')).status).toBe(200);
  expect((await viewer('HEAD', '/apisix/admin/upstreams/1')).status).toBe(200);
  const put = await viewer('PUT', '/apisix/admin/upstreams/1', { type: 'memory' });
  expect([put.status, put.json]).toEqual([401, { error_msg: 'failed to check token', description: 'invalid method for role viewer' }]);
  const writing = bench.admin.routes.map((route) => route.split(' ') as [string, string])
    .filter(([method]) => method !== 'GET' && method !== 'HEAD');
  expect(writing.length).toBeGreaterThan(60);
  for (const [method, path] of writing) {
    expect((await viewer(method, path.replaceAll(/:\w+/g, '1'), '{}')).status, `${method} ${path}`).toBe(401);
  }
  expect(bench.store.config.revision).toBe(1);
});

test('a key with scopes reads and writes what is in them, however the id is said', async () => {
  await using bench = await startAdmin({ keys });
  const team = by(bench, 'team');
  const memory = { type: 'memory' };
  expect((await team('PUT', '/admin/upstreams/cache-1', memory)).status).toBe(201);
  expect((await team('PUT', '/admin/upstreams', { id: 'cache-2', ...memory })).status).toBe(201);
  expect((await team('PATCH', '/admin/upstreams/cache-2', { desc: 'x' })).status).toBe(200);
  expect((await team('PATCH', '/admin/upstreams/cache-2/desc', '"y"')).status).toBe(200);
  expect((await team('GET', '/admin/upstreams/cache-2/history')).json.list).toHaveLength(3);
  expect((await team('DELETE', '/admin/upstreams/cache-2')).status).toBe(200);
  expect((await team('POST', '/admin/stream_routes', { upstream_id: 'cache-1' })).status).toBe(201);
  expect((await team('POST', '/admin/schema/validate/upstreams', memory)).status).toBe(200);
  expect((await team('GET', '/admin/consumers/jack/credentials/1')).status).toBe(404);
  for (const path of ['/admin/plugins/list', '/admin/schema/upstream', '/admin/openapi.json']) {
    expect((await team('GET', path)).status, path).toBe(200);
  }
});

test('what is outside the scopes of a key is 403 and unchanged', async () => {
  await using bench = await startAdmin({ keys });
  const team = by(bench, 'team');
  const memory = { type: 'memory' };
  await bench.ask('PUT', '/admin/upstreams/other', { body: memory });
  await bench.ask('PUT', '/admin/upstreams/cache-1', { body: memory });
  const { revision } = bench.store.config;
  const refused: readonly (readonly [string, string, unknown, string])[] = [
    ['PUT', '/admin/upstreams/other', memory, outside('upstreams/other')],
    ['PUT', '/admin/upstreams/%6fther', memory, outside('upstreams/other')],
    ['PUT', '/admin//upstreams/other/', memory, outside('upstreams/other')],
    ['PUT', '/admin/upstreams', { id: 'other', ...memory }, outside('upstreams/other')],
    ['POST', '/admin/upstreams', memory, outside('upstreams')],
    ['PATCH', '/admin/upstreams/other', { desc: 'x' }, outside('upstreams/other')],
    ['PATCH', '/admin/upstreams/other/desc', '"x"', outside('upstreams/other')],
    ['DELETE', '/admin/upstreams/other', undefined, outside('upstreams/other')],
    ['DELETE', '/admin/upstreams/not-cache-1', undefined, outside('upstreams/not-cache-1')],
    ['GET', '/admin/upstreams/other', undefined, outside('upstreams/other')],
    ['GET', '/admin/upstreams/other/history', undefined, outside('upstreams/other')],
    ['GET', '/admin/services', undefined, outside('services')],
    ['PUT', '/admin/consumers/jack', { username: 'jack' }, outside('consumers/jack')],
    ['PUT', '/admin/consumers/jill/credentials/1', {}, outside('credentials/jill/1')],
    ['POST', '/admin/schema/validate/services', {}, needsAll],
    ['PATCH', '/admin/configs', { upstreams: { 'cache-1': null } }, needsAll],
    ['GET', '/admin/configs', undefined, needsAll],
    ['POST', '/admin/history/1/rollback', undefined, needsAll],
    ['GET', '/admin/history', undefined, needsAll],
    ['GET', '/admin/audit', undefined, needsAll],
    ['GET', '/admin/upstreams/status', undefined, needsAll],
    ['DELETE', '/admin/sessions/1', undefined, needsAll],
    ['PUT', '/admin/plugins/reload', undefined, needsAll],
  ];
  for (const [method, path, body, text] of refused) {
    const { status, json } = await team(method, path, body);
    expect([status, json], `${method} ${path}`).toEqual([403, { error_msg: text }]);
  }
  expect(bench.store.config.revision).toBe(revision);
  expect((await team('GET', '/admin/upstreams')).json).toMatchObject({ total: 1, list: [{ key: '/apisix/upstreams/cache-1' }] });
  expect((await team('GET', '/admin/routs')).status).toBe(404);
});

test('every route that is not of a kind is closed to a key with scopes, but for schemas and plugins', async () => {
  await using bench = await startAdmin({ keys: [{ name: 'narrow', key: texts.team, role: 'admin', scopes: ['secrets/vault/none'] }] });
  const narrow = by(bench, 'team');
  const unscoped = /^\/apisix\/admin$|^\/(healthz|status|metrics|v1|apisix\/prometheus)|\/admin\/(openapi\.json|schema|plugins$|plugins\/(list|:name))/;
  const closed = bench.admin.routes.map((route) => route.split(' ') as [string, string]).filter(([method, path]) =>
    !unscoped.test(path) && !(/\/secrets(\/:manager)?$/.test(path) && /GET|HEAD|PUT/.test(method)));
  expect(closed.length).toBeGreaterThan(100);
  for (const [method, path] of closed) {
    const { status } = await narrow(method, path.replaceAll(/:\w+/g, '1').replace('*', 'a'), '{}');
    expect(status, `${method} ${path}`).toBe(403);
  }
});

test('an expired key is as an unknown one, and the log says whose it was once a minute', async () => {
  await using proxy = await startProxy({ route: null, settings: { admin: { port: await freePort(), key: 'test-admin-key-0123456789abcdef', keys } } });
  const ask = (): Promise<Response> => fetch(`${proxy.admin}/admin/upstreams`, { headers: { 'x-api-key': texts.old } });
  for (let count = 0; count < 3; count++) {
    const answer = await ask();
    expect([answer.status, await answer.json()]).toEqual([401, { error_msg: 'failed to check token', description: 'wrong apikey' }]);
  }
  const said = proxy.records.map(({ msg }) => String(msg)).filter((msg) => msg.includes('old'));
  expect(said).toEqual([
    'admin.keys: the key old expired at 2020-01-01T00:00:00.000Z and is not accepted',
    'the key old was used, which expired at 2020-01-01T00:00:00.000Z',
  ]);
  expect(JSON.stringify(proxy.records)).not.toContain(texts.old);
});

test('a key that expires while it is used stops with the time', async () => {
  const expires = new Date(Date.now() + 1000);
  await using bench = await startAdmin({ keys: [{ name: 'short', key: texts.team, role: 'admin', expires: expires.toISOString() }] });
  const short = by(bench, 'team');
  expect((await short('GET', '/admin/upstreams')).status).toBe(200);
  await expect.poll(async () => (await short('GET', '/admin/upstreams')).status, { timeout: 3000 }).toBe(401);
  expect(Date.now()).toBeGreaterThanOrEqual(expires.getTime());
});

test('the audit log names the key of a change, and of what it may not do', async () => {
  await using bench = await startAdmin({ keys });
  await by(bench, 'hashed')('PUT', '/admin/upstreams/cache-1', { type: 'memory' });
  await by(bench, 'team')('PUT', '/admin/upstreams/cache-1', { type: 'memory', desc: 'x' });
  await bench.ask('DELETE', '/admin/upstreams/cache-1');
  await by(bench, 'viewer')('DELETE', '/admin/upstreams/cache-1');
  await by(bench, 'team')('DELETE', '/admin/services/1');
  await bench.ask('GET', '/admin/audit', { headers: { 'x-api-key': 'guessed' } });
  const { json } = await bench.ask('GET', '/admin/audit');
  expect(json.list.map(({ who, method }: any) => [who, method])).toEqual([['admin', 'DELETE'], ['team', 'PUT'], ['hashed', 'PUT']]);
  expect(json.denied.map(({ who, status }: any) => [who, status])).toEqual([[undefined, 401], ['team', 403], ['watcher', 401]]);
});

// On this machine metrics need no key, and a test has no other one.
test('elsewhere than on this machine metrics want a key without scopes, or with that one', () => {
  const known = AdminKeys.open({ address: '127.0.0.1', key: texts.hashed, key_file: 'none', keys: keys.slice(0, 4) });
  const permissions = new Permissions(prefixes);
  const admit = (text: string, route: string): void =>
    permissions.admit({ method: 'GET', params: {} } as FastifyRequest, known.find(text)!, route);
  for (const text of [texts.hashed, texts.viewer, texts.scrape]) expect(() => admit(text, '/metrics')).not.toThrow();
  expect(() => admit(texts.team, '/metrics')).toThrow('this needs a key without scopes');
  expect(() => admit(texts.scrape, '/v1/healthcheck')).toThrow('this needs a key without scopes');
  expect(() => admit(texts.scrape, '/admin/upstreams')).toThrow('upstreams is outside the scopes of this key');
});

test('wrong keys in the settings are told with their place and without the key', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'millrace.json');
  const problemsOf = (admin: unknown): string[] => {
    writeFileSync(file, JSON.stringify({ admin }));
    return loadSettings(file, {}).problems.map(({ message }) => message);
  };
  const secret = 'S3CR3T-S3CR3T-S3CR3T';
  const one = { name: 'a', key: secret, role: 'admin' };
  const found = problemsOf({ key: secret, keys: [
    { ...one, name: 'admin' }, { ...one, key_sha256: 'ab'.repeat(32) }, { name: 'b', role: 'viewer' },
    { name: 'b', key_sha256: 'ab'.repeat(32), role: 'viewer', expires: '2027-02-31T25:00:00Z' },
    { name: 'c', key_sha256: 'AB'.repeat(32), role: 'viewer', scopes: ['stream_route', 'metrics/x'] },
  ] });
  expect(found).toEqual([
    'admin.keys[0].name: expected a name that admin.key does not have, got "admin"',
    'admin.keys[0].key: expected a key of its own, got that of admin.key',
    'admin.keys[1]: expected either key or key_sha256, got both',
    'admin.keys[1].key: expected a key of its own, got that of admin.key',
    'admin.keys[2]: expected either key or key_sha256, got none of them',
    'admin.keys[3].expires: expected a time that there is, got "2027-02-31T25:00:00Z"',
    'admin.keys[3].name: expected a name that admin.keys[2] does not have, got "b"',
    'admin.keys[4].scopes[0]: expected a kind of resources such as stream_routes, got "stream_route"',
    expect.stringMatching(/^admin\.keys\[4\]\.scopes\[1\]: expected .*metrics.*, got "metrics\/x"$/),
    'admin.keys[4].key_sha256: expected a key of its own, got that of admin.keys[3]',
  ]);
  const known = { name: 'x', role: 'viewer', key_sha256: sha256('4054f7cf07e344346cd3f287985e76a2') };
  expect(problemsOf({ address: '10.0.0.1', allow_remote: true, keys: [known] })).toEqual([
    'admin.keys[0]: expected a secret key, got one that is publicly known',
  ]);
  const shapes = problemsOf({ keys: [{ name: 'a b', key: 'S3CR3T', role: 'root', scopes: [], expires: 'tomorrow' }, { key_sha256: 'S3CR3T' }] });
  expect(shapes).toHaveLength(8);
  expect([...found, ...shapes].join()).not.toContain('S3CR3T');
});

test('a key of the settings that is also in the key file is refused; one for everything makes the file unnecessary', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'admin.key');
  const whole: AdminKeyEntry = { name: 'ops', key: texts.team, role: 'admin' };
  const local = '127.0.0.1';
  const alone = AdminKeys.open({ address: local, key_file: file, keys: [whole] });
  expect([alone.file, existsSync(file), alone.find(texts.team)?.name]).toEqual([null, false, 'ops']);
  for (const less of [{ role: 'viewer' }, { scopes: ['upstreams'] }, { expires: '2999-01-01T00:00:00Z' }] as const) {
    const path = join(folder.path, `${Object.keys(less)[0]!}.key`);
    expect(AdminKeys.open({ address: local, key_file: path, keys: [{ ...whole, ...less }] }).generated).toBe(true);
  }
  writeFileSync(file, texts.team, { mode: 0o600 });
  expect(() => AdminKeys.open({ address: local, key_file: file, keys: [whole] }))
    .toThrow('admin.keys: expected a key of its own for ops, got that of admin');
  const wellKnown = { name: 'x', key_sha256: sha256('edd1c9f034335f136f87ad84b625c8f1'), role: 'admin' } as const;
  expect(() => AdminKeys.open({ address: '0.0.0.0', key: texts.team, key_file: file, keys: [wellKnown] })).toThrow(/admin\.keys\[0\].*publicly known/);
});
