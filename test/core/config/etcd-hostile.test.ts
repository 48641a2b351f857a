// An etcd that is not what it was, or that is none: what runs goes on, nothing hangs, nothing grows, nothing falls over.
import { createServer, type ServerResponse } from 'node:http';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EtcdStore, type EtcdStoreOptions } from '../../../core/config/etcd-store.ts';
import { EtcdClient } from '../../../core/config/etcd/client.ts';
import { silentLogger } from '../../../core/log.ts';
import { fill, mountDisk } from '../../support/disk.ts';
import { startEtcd } from '../../support/etcd-server.ts';
import { startProxy } from '../../support/proxy.ts';

const value = { nodes: { '127.0.0.1:6379': 1 } };
const base64 = (text: string): string => Buffer.from(text).toString('base64');
let folder = '';
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'millrace-etcd-hostile-')); });
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(endpoint: string, options: Partial<EtcdStoreOptions> = {}): Promise<EtcdStore> {
  return EtcdStore.open({
    endpoints: [endpoint], prefix: '/millrace', timeout: 1000, snapshot: join(folder, 'snapshot.json'), log: silentLogger, ...options,
  });
}

test('an etcd that comes back empty takes no route away until somebody says so (O4)', async () => {
  await using etcd = await startEtcd();
  const store = await open(etcd.endpoint);
  for (const id of ['a', 'b', 'c']) await store.put('upstreams', id, value);
  await etcd.kill();
  await expect.poll(() => store.away).not.toBe(null);
  await etcd.forget();
  await etcd.start();
  await expect.poll(() => store.away, { timeout: 15_000 })
    .toMatch(/^it is another one than before: its revision went back from \d+ to 1, and it has no key under \/millrace\/; put one there/);
  await expect(store.put('upstreams', 'd', value)).rejects.toMatchObject({ code: 'STORE_FAILED' });
  expect(store.list('upstreams').map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  await store.close();
  // Nor at the next start.
  const next = await open(etcd.endpoint);
  expect(next.list('upstreams').map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  expect(next.away).toMatch(/another one than before/);
  await etcd.call('/v3/kv/put', { key: base64('/millrace/empty'), value: base64('yes') });
  await expect.poll(() => next.away, { timeout: 15_000 }).toBe(null);
  expect(next.list('upstreams')).toEqual([]);
  expect((await next.put('upstreams', 'd', value)).outcome).toBe('created');
  await next.close();
});

test('an etcd that was filled anew is followed, also where revisions are the same as before', async () => {
  await using etcd = await startEtcd();
  const store = await open(etcd.endpoint);
  await store.put('upstreams', 'a', value);
  for (let n = 0; n < 20; n++) await store.put('upstreams', 'b', { ...value, retries: n });
  const { modifiedIndex } = store.get('upstreams', 'a')!;
  await etcd.kill();
  await expect.poll(() => store.away).not.toBe(null);
  await etcd.forget();
  await etcd.start();
  const put = await etcd.call('/v3/kv/put', { key: base64('/millrace/upstreams/a'), value: base64('{"type":"memory"}') });
  expect(Number(put.header.revision)).toBe(modifiedIndex);
  await expect.poll(() => store.get('upstreams', 'a')?.value, { timeout: 15_000 }).toEqual({ type: 'memory' });
  expect(store.list('upstreams').map(({ id }) => id)).toEqual(['a']);
  await store.put('upstreams', 'a', { retries: 1 });
  expect(store.get('upstreams', 'a')?.value).toEqual({ retries: 1 });
  await store.close();
});

test('keys and values that nobody should write are refused one by one; the routes beside them are served', async () => {
  await using etcd = await startEtcd();
  const hostile: readonly (readonly [key: string, text: string])[] = [
    ['upstreams/__proto__', JSON.stringify(value)], ['upstreams/constructor', JSON.stringify(value)],
    ['stream_routes/a\nb\u0000c', JSON.stringify({ upstream: value, server_port: 9 })], [`upstreams/${'x'.repeat(5000)}`, JSON.stringify(value)],
    ['upstreams/../../etc/passwd', JSON.stringify(value)], ['consumers//credentials/', '{}'], ['plugin_metadata/../x', '{}'],
    ['upstreams/deep', `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`], ['upstreams/list', '[]'], ['upstreams/text', '"text"'], ['upstreams/null', 'null'],
    ['upstreams/polluted', '{"__proto__":{"polluted":1},"nodes":{"127.0.0.1:1":1}}'],
    ['upstreams/times', '{"create_time":1e999,"update_time":{},"expires_at":-5,"nodes":{"127.0.0.1:1":1}}'],
    ['stream_routes/types', '{"server_port":"x","plugins":7,"protocol":[],"upstream":"y"}'],
    ['secrets/vault/1', '{}'], ['ssls/1', '{"cert":1,"key":{}}'], ['global_rules/1', '{"plugins":null}'],
  ];
  const put = (key: string, text: string): Promise<unknown> => etcd.call('/v3/kv/put', { key: base64(`/millrace/${key}`), value: base64(text) });
  // Half of them before the start, half of them while it runs.
  for (const [index, [key, text]] of hostile.entries()) if (index % 2 === 0) await put(key, text);
  await using proxy = await startProxy({
    route: null, settings: { store: { etcd: { endpoints: [etcd.endpoint], snapshot: join(folder, 'proxy.json') } } },
  });
  for (const [index, [key, text]] of hostile.entries()) if (index % 2 === 1) await put(key, text);
  await etcd.call('/v3/kv/put', { key: Buffer.concat([Buffer.from('/millrace/upstreams/'), Buffer.from([0xff, 0xfe])]).toString('base64'), value: base64('{}') });
  await put('stream_routes/good', JSON.stringify({ protocol: { name: 'redis' }, upstream: { type: 'memory' } }));
  await expect.poll(async () => (await proxy.call('GET', '/apisix/admin/stream_routes/good')).status).toBe(200);
  const client = await proxy.connect();
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  for (const kind of ['upstreams', 'stream_routes', 'consumers', 'ssls', 'secrets', 'global_rules', 'plugin_metadata', 'configs', 'configs/status', 'history']) {
    expect([kind, (await proxy.call('GET', `/apisix/admin/${kind}`)).status]).toEqual([kind, 200]);
  }
  expect((await proxy.call('PUT', '/apisix/admin/upstreams/mine', value)).status).toBe(201);
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
  expect(await client.command('GET', 'a')).toBe('1');
});

test.for(['full', 'read-only'])('a disk that is %s costs a node its snapshot, nothing else; the one before stays whole', async (how, { skip }) => {
  using disk = mountDisk('1m');
  if (disk === null) return skip('disks cannot be mounted here');
  await using etcd = await startEtcd();
  const snapshot = join(disk.path, 'data', 'snapshot.json');
  const said: string[] = [];
  const log = { ...silentLogger, error: (_record: object, text: string) => void said.push(text) } as unknown as typeof silentLogger;
  const store = await open(etcd.endpoint, { snapshot, log });
  await store.put('upstreams', 'a', value);
  await expect.poll(() => readFileSync(snapshot, 'utf8')).toContain('"a"');
  if (how === 'full') fill(disk.path);
  else disk.remount('ro');
  const large = { ...value, desc: 'x'.repeat(200), labels: Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`l${n}`, 'y'.repeat(100)])) };
  expect((await store.put('upstreams', 'b', large)).outcome).toBe('created');
  expect((await store.put('upstreams', 'c', large)).outcome).toBe('created');
  expect(store.list('upstreams').map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  expect(said).toContain('the snapshot of the configuration could not be written');
  expect(JSON.parse(readFileSync(snapshot, 'utf8')).resources.map(({ id }: { id: string }) => id)).toEqual(['a']);
  if (how === 'full') rmSync(join(disk.path, 'filler'));
  else disk.remount('rw');
  await store.put('upstreams', 'd', value);
  await expect.poll(() => JSON.parse(readFileSync(snapshot, 'utf8')).resources.length).toBe(4);
  await store.close();
});

/** A server in etcd's place. */
async function imitation(answer: (path: string, response: ServerResponse) => void): Promise<{ endpoint: string } & AsyncDisposable> {
  const server = createServer((request, response) => {
    request.resume();
    answer(request.url ?? '', response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const good = '{"header":{"revision":"7"},"kvs":[]}';

test.each([
  ['null', 'no message'], ['[]', 'without revision'], ['{}', 'without revision'], ['{"header":{"revision":"x"}}', 'without revision'],
  ['{"header":{"revision":"-4"}}', 'without revision'], ['<html>', 'no answer of etcd'], ['{"header":{"revision":"1"},"kvs":7}', 'not a function'],
  ['{"header":{"revision":"1"},"kvs":[null,{"key":{},"value":1}]}', 'no message'],
])('an answer %s is no configuration', async (text, reason) => {
  await using server = await imitation((_path, response) => response.end(text));
  await expect(open(server.endpoint)).rejects.toMatchObject({ code: 'STORE_FAILED', message: expect.stringContaining(reason === 'no message' ? 'etcd' : reason) });
});

test.each(['null', '7', '[]', '{"result":null}', '{"result":{"events":7}}', '{"result":{"header":{"revision":"8"},"events":[null]}}',
  '{"result":{"header":{"revision":"8"},"events":[{"kv":{"key":5}}]}}', '{"error":null}', '{"error":{}}', '{', '{"result":{"canceled":true}}',
])('a watch that says %s is begun anew', async (line) => {
  let watches = 0;
  await using server = await imitation((path, response) => {
    if (path !== '/v3/watch') return response.end(good);
    watches++;
    response.write(`${line}\n`);
    response.write('{"result":{"header":{"revision":"9"}}}\n');
  });
  const store = await open(server.endpoint);
  if (line === '{"result":{"header":{"revision":"8"},"events":[null]}}') {
    // An event without a key is about nothing.
    await expect.poll(() => store.config.revision).toBe(9);
  } else {
    await expect.poll(() => watches, { timeout: 10_000 }).toBeGreaterThan(1);
  }
  await store.close();
});

test('an answer in drops is given up at its deadline, and one without end is cut off', async () => {
  await using slow = await imitation((_path, response) => {
    const timer = setInterval(() => response.write(' '), 100);
    response.on('close', () => clearInterval(timer));
  });
  const client = new EtcdClient({ endpoints: [slow.endpoint], timeout: 600 });
  const from = performance.now();
  await expect(client.range('/millrace/')).rejects.toThrow('no answer in 600 ms');
  expect(performance.now() - from).toBeLessThan(3000);
  client.close();

  const part = Buffer.alloc(1024 * 1024, 0x20);
  let sent = 0;
  await using endless = await imitation((_path, response) => {
    const more = (error?: Error | null): void => {
      if (error instanceof Error) return;
      sent += part.length;
      response.write(part, more);
    };
    more();
  });
  const patient = new EtcdClient({ endpoints: [endless.endpoint], timeout: 30_000 });
  await expect(patient.range('/millrace/')).rejects.toThrow(/longer than 268435456 bytes/);
  expect(sent).toBeLessThan(300 * 1024 * 1024);
  patient.close();
});

test('a watch that nobody answers is given up; one line in many pieces is one message, one without end is none', async () => {
  let mode: 'silent' | 'pieces' | 'endless' = 'silent';
  let watches = 0;
  const key = base64('/millrace/upstreams/big');
  const big = { nodes: { '127.0.0.1:6379': 1 }, desc: 'x'.repeat(8 * 1024 * 1024) };
  await using server = await imitation((path, response) => {
    if (path !== '/v3/watch') return response.end(good);
    watches++;
    if (mode === 'silent') return;
    if (mode === 'pieces') {
      const kv = { key, value: base64(JSON.stringify(big)), create_revision: '8', mod_revision: '8' };
      response.write('{"result":{"header":{"revision":"7"}}}\n{"result":{"header":{"revision":"8"},"events":[{"kv":');
      response.write(`${JSON.stringify(kv)}}]}}`);
      response.write('\n{"result":{"header":{"revision":"9"}}}\n');
      return;
    }
    const more = (error?: Error | null): void => { if (!(error instanceof Error)) response.write('x'.repeat(1024 * 1024), more); };
    more();
  });
  const store = await open(server.endpoint, { timeout: 300 });
  await expect.poll(() => store.away, { timeout: 5000 }).toBe('no answer in 300 ms');
  mode = 'pieces';
  // It may have been away for several turns: the waits between them grow up to 7.5 s.
  await expect.poll(() => store.config.revision, { timeout: 20_000 }).toBe(9);
  expect(store.get('upstreams', 'big')?.value).toEqual(big);
  await store.close();
  mode = 'endless';
  const before = watches;
  const other = await open(server.endpoint, { timeout: 2000, snapshot: join(folder, 'other.json') });
  await expect.poll(() => other.away, { timeout: 20_000 }).toBe('a message of etcd is too long');
  expect(watches).toBeGreaterThan(before);
  await other.close();
}, 60_000);
