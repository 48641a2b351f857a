// Who changed what: one record for each change and each refused attempt, and no secret in any of them.
import { expect, test } from 'vitest';
import { MemoryStore } from '../../core/config/memory-store.ts';
import { definePlugin } from '../../core/plugin.ts';
import { startProxy } from '../support/proxy.ts';
import { key, startAdmin } from './admin.ts';

const admin = '/apisix/admin';
const canary = 'S3CR3T-canary';

test('a change is one record with who, where from, what and which revision, in the log and in the table', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/upstreams/1`, { nodes: { '127.0.0.1:1': 1 }, auth: { password: canary } });
  await proxy.call('PATCH', `${admin}/upstreams/1?api_key=${proxy.key}`, { retries: 2, auth: { password: `${canary}-2` } });
  await proxy.call('PATCH', `${admin}/configs`, { upstreams: { 1: null, 2: { type: 'memory' } } });
  const { body } = await proxy.call('GET', `${admin}/audit`);
  const first = { who: 'admin', address: '127.0.0.1', outcome: 'done' };
  expect(body.list).toEqual([
    {
      ...first, number: 3, id: expect.any(String), time: expect.any(Number), method: 'PATCH', path: `${admin}/configs`, revision: 3,
      changes: [
        { kind: 'upstreams', id: '1', outcome: 'deleted', changed: [] }, { kind: 'upstreams', id: '2', outcome: 'created', changed: [] },
      ],
    },
    {
      ...first, number: 2, id: expect.any(String), time: expect.any(Number), method: 'PATCH', path: `${admin}/upstreams/1`, revision: 2,
      changes: [{ kind: 'upstreams', id: '1', outcome: 'replaced', changed: ['auth.password', 'retries'] }],
    },
    {
      ...first, number: 1, id: expect.any(String), time: expect.any(Number), method: 'PUT', path: `${admin}/upstreams/1`, revision: 1,
      changes: [{ kind: 'upstreams', id: '1', outcome: 'created', changed: [] }],
    },
  ]);
  const logged = proxy.records.filter(({ code }) => code === 'ADMIN_WRITE');
  expect(logged.map(({ who, outcome, revision }) => [who, outcome, revision])).toEqual([1, 2, 3].map((revision) => ['admin', 'done', revision]));
  const everything = JSON.stringify([body, proxy.records]);
  expect(everything).not.toContain(canary);
  expect(everything).not.toContain(proxy.key);
});

test('what is refused is a record, too; reads, checks and dry runs are none', async () => {
  await using bench = await startAdmin();
  await bench.ask('PUT', '/admin/upstreams/1', { body: { nodes: { 'a:0': 1 } } });
  await bench.ask('DELETE', '/admin/upstreams/7');
  await bench.ask('POST', '/admin/nonsense', { body: '{' });
  await bench.ask('PUT', '/admin/upstreams/1?dry_run=true', { body: { type: 'memory' } });
  await bench.ask('POST', '/admin/schema/validate/upstreams', { body: {} });
  await bench.ask('GET', '/admin/upstreams/7');
  const { json } = await bench.ask('GET', '/admin/audit');
  expect(json.list.map(({ method, outcome, status, error }: any) => [method, outcome, status, error])).toEqual([
    ['POST', 'refused', 404, 'Unsupported resource type: nonsense'],
    ['DELETE', 'refused', 404, 'Key not found'],
    ['PUT', 'refused', 400, 'nodes["a:0"]: invalid port 0, expected 1..65535'],
  ]);
  const page = (await bench.ask('GET', `/admin/audit?limit=1&before=${json.list[1].number}`)).json;
  expect(page.list.map(({ method }: any) => method)).toEqual(['PUT']);
  expect((await bench.ask('GET', '/admin/audit?limit=0')).json.error_msg).toBe('limit: expected 1..1000, got "0"');
});

test('a change that a plugin cannot run is one record that says it was taken back', async () => {
  const moody = definePlugin({
    name: 'moody', version: '1', priority: 1, schema: { type: 'object' },
    setup() {
      throw new Error('not today');
    },
  });
  await using proxy = await startProxy({ route: {}, plugins: [moody] });
  const { status } = await proxy.call('PATCH', `${admin}/stream_routes/1`, { plugins: { moody: {} } });
  expect(status).toBe(400);
  const { body } = await proxy.call('GET', `${admin}/audit`);
  expect(body.list.map(({ outcome, error }: any) => [outcome, error])).toEqual([
    ['taken back', expect.stringContaining('not today')], ['done', undefined],
  ]);
});

test('strangers are listed apart, without what they tried as a key, and only the last of them', async () => {
  await using bench = await startAdmin();
  await bench.ask('PUT', '/admin/upstreams/1', { headers: { 'x-api-key': canary }, body: { type: canary } });
  await bench.ask('GET', `/admin/upstreams?api_key=${canary}`, { withoutKey: true });
  for (let count = 0; count < 300; count++) await bench.ask('GET', '/admin/x', { withoutKey: true });
  const { json } = await bench.ask('GET', '/admin/audit?limit=1000');
  expect(json.list).toEqual([]);
  expect(json.denied).toHaveLength(200);
  expect(json.denied[0]).toMatchObject({ address: '127.0.0.1', method: 'GET', path: '/admin/x', status: 401, error: 'missing apikey' });
  expect(JSON.stringify(json)).not.toMatch(new RegExp(`${canary}|${key}`));
});

test('after a restart the records are still there', async () => {
  await using proxy = await startProxy({ route: {} });
  await proxy.app.drain(0);
  const { SqliteStore } = await import('../../core/config/sqlite-store.ts');
  const store = SqliteStore.open({ path: `${proxy.folder}/data/millrace.db`, keyFile: `${proxy.folder}/data/millrace.db.key` });
  expect(await store.audit.list({ limit: 10 })).toMatchObject([{ method: 'PUT', revision: 1, outcome: 'done' }]);
  await store.close();
});

test('with a store that keeps no records those of the process are shown', async () => {
  const store = new MemoryStore();
  const silent = new Proxy(store, {
    get: (target, name) => {
      const member: unknown = name === 'audit' ? undefined : Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) as unknown : member;
    },
  });
  await using bench = await startAdmin({ store: silent });
  await bench.ask('PUT', '/admin/upstreams/1', { body: { type: 'memory' } });
  await bench.ask('PUT', '/admin/upstreams/1', { body: { nodes: 1 } });
  const { json } = await bench.ask('GET', '/admin/audit');
  expect(json.list.map(({ outcome, revision }: any) => [outcome, revision])).toEqual([['refused', undefined], ['done', 1]]);
});
