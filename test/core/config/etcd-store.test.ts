// The store in etcd, against a real one.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EtcdStore, type EtcdStoreOptions } from '../../../core/config/etcd-store.ts';
import { silentLogger } from '../../../core/log.ts';
import { startEtcd, type EtcdServer } from '../../support/etcd-server.ts';
import { freePort } from '../../support/ports.ts';

const value = { nodes: { '127.0.0.1:6379': 1 } };
let folder = '';
let etcd: EtcdServer;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-etcd-store-'));
  etcd = await startEtcd();
});
afterEach(async () => {
  await etcd[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

let opened = 0;
function open(options: Partial<EtcdStoreOptions> = {}): Promise<EtcdStore> {
  return EtcdStore.open({
    endpoints: [etcd.endpoint], prefix: '/millrace', timeout: 2000, snapshot: join(folder, `${++opened}.json`), log: silentLogger, ...options,
  });
}

test('a resource is made, replaced and deleted, and its revisions are those of etcd', async () => {
  const store = await open();
  expect((await store.put('upstreams', 'a', value)).outcome).toBe('created');
  const first = store.get('upstreams', 'a')!;
  expect(first).toMatchObject({ kind: 'upstreams', id: 'a', origin: 'store', value, createdIndex: first.modifiedIndex });
  expect((await store.put('upstreams', 'a', { type: 'memory' }, first.modifiedIndex)).outcome).toBe('replaced');
  expect((await store.put('upstreams', 'a', {}, first.modifiedIndex)).outcome).toBe('conflict');
  expect((await store.put('upstreams', 'b', {}, 7)).outcome).toBe('conflict');
  expect(store.get('upstreams', 'a')).toMatchObject({ value: { type: 'memory' }, createdIndex: first.createdIndex });
  expect([await store.delete('upstreams', 'a'), await store.delete('upstreams', 'a')]).toEqual(['deleted', 'absent']);
  expect((await store.history()).versions.map(({ value: after, before }) => [before === null, after === null]))
    .toEqual([[false, true], [false, false], [true, false]]);
  await store.close();
});

test('what was written is there when the write is answered, also in the first moment of a store, and beside writes of others', async () => {
  let stop = false;
  const others = (async () => {
    while (!stop) await etcd.call('/v3/kv/put', { key: 'L290aGVy', value: 'e30=' });
  })();
  for (let n = 0; n < 20; n++) {
    const store = await open();
    await store.put('upstreams', 'a', { retries: n });
    const { modifiedIndex } = store.get('upstreams', 'a')!;
    expect(store.get('upstreams', 'a')!.value).toEqual({ retries: n });
    expect(await store.put('upstreams', 'a', {}, modifiedIndex - 1)).toMatchObject({ outcome: 'conflict', resource: { modifiedIndex } });
    await store.close();
    expect(readFileSync(join(folder, `${opened}.json`), 'utf8')).toContain(`"retries":${n}`);
  }
  stop = true;
  await others;
});

test('several changes are one, or none', async () => {
  const store = await open();
  await store.put('upstreams', 'a', value);
  const heard: number[] = [];
  store.onChange(({ resources }) => heard.push(resources.upstreams.size));
  const done = await store.write([
    { kind: 'upstreams', id: 'b', value }, { kind: 'upstreams', id: 'c', value, revision: 0 }, { kind: 'upstreams', id: 'a', value: null },
  ]);
  expect([done.outcome, heard, store.list('upstreams').map(({ id }) => id)]).toEqual(['written', [2], ['b', 'c']]);
  expect(await store.write([{ kind: 'upstreams', id: 'd', value }, { kind: 'upstreams', id: 'c', value, revision: 1 }]))
    .toMatchObject({ outcome: 'conflict', index: 1, resource: { id: 'c' } });
  expect(store.get('upstreams', 'd')).toBeUndefined();
  await store.close();
});

test('of fifty writers in two processes on one revision one wins each round: nothing is lost', async () => {
  const stores = await Promise.all([open(), open()]);
  await stores[0].put('upstreams', 'counter', { n: 0 });
  await expect.poll(() => stores[1].get('upstreams', 'counter')?.value).toEqual({ n: 0 });
  const increment = async (store: EtcdStore): Promise<void> => {
    for (;;) {
      const seen = store.get('upstreams', 'counter')!;
      if ((await store.put('upstreams', 'counter', { n: Number(seen.value['n']) + 1 }, seen.modifiedIndex)).outcome !== 'conflict') return;
    }
  };
  await Promise.all(Array.from({ length: 50 }, (_, i) => increment(stores[i % 2]!)));
  for (const store of stores) await expect.poll(() => store.get('upstreams', 'counter')?.value).toEqual({ n: 50 });
  await Promise.all(stores.map((store) => store.close()));
});

test('while etcd is away the last configuration goes on and writes are refused; then everything is there again', async () => {
  const store = await open();
  await store.put('upstreams', 'a', value);
  const before = store.get('upstreams', 'a');
  await etcd.kill();
  await expect.poll(() => store.away).not.toBe(null);
  await expect(store.put('upstreams', 'b', value)).rejects.toMatchObject({ code: 'STORE_FAILED', message: expect.stringContaining('is away') });
  expect(store.get('upstreams', 'a')).toBe(before);
  await etcd.start();
  await expect.poll(() => store.away, { timeout: 15_000 }).toBe(null);
  // What did not change is the same object: nothing is built again for it.
  expect(store.get('upstreams', 'a')).toBe(before);
  expect((await store.put('upstreams', 'b', value)).outcome).toBe('created');
  await store.close();
});

test('what was changed and compacted while the connection was cut is there afterwards, in the order in which it was written', async () => {
  const port = await freePort();
  const [host, target] = ['127.0.0.1', Number(new URL(etcd.endpoint).port)];
  const sockets = new Set<Socket>();
  const forward = async (): Promise<Server> => {
    const server = createServer((client) => {
      const upstream = connect(target, host);
      for (const each of [client, upstream]) {
        sockets.add(each);
        each.on('error', () => undefined);
      }
      client.pipe(upstream).pipe(client);
    });
    await new Promise<void>((resolve) => { server.listen(port, host, resolve); });
    return server;
  };
  let way = await forward();
  const cut = await open({ endpoints: [`http://${host}:${port}`] });
  const other = await open();
  await other.put('upstreams', 'kept', value);
  await other.put('upstreams', 'gone', value);
  await expect.poll(() => cut.list('upstreams').length).toBe(2);
  way.close();
  for (const socket of sockets) socket.destroy();
  await expect.poll(() => cut.away).not.toBe(null);
  for (let n = 1; n <= 5; n++) await other.put('upstreams', 'changed', { n });
  await other.delete('upstreams', 'gone');
  await etcd.call('/v3/kv/compaction', { revision: String(other.config.revision), physical: true });
  const heard: unknown[] = [];
  cut.onChange((config) => heard.push(config.resources.upstreams.get('changed')?.value));
  way = await forward();
  await expect.poll(() => cut.list('upstreams').map(({ id }) => id).toSorted(), { timeout: 15_000 }).toEqual(['changed', 'kept']);
  await other.put('upstreams', 'changed', { n: 6 });
  await expect.poll(() => heard.at(-1)).toEqual({ n: 6 });
  expect(heard).toEqual([{ n: 5 }, { n: 6 }]);
  await Promise.all([cut.close(), other.close()]);
  for (const socket of sockets) socket.destroy();
  way.close();
});

test('a process that starts while etcd is away begins with what it saw last; one that never saw it does not start', async () => {
  const snapshot = join(folder, 'snap', 'etcd.json');
  const first = await open({ snapshot });
  await first.put('upstreams', 'a', { ...value, auth: { password: 'hunter2' } });
  await first.close();
  expect(statSync(snapshot).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(snapshot, 'utf8')).resources).toHaveLength(1);
  await etcd.kill();
  const second = await open({ snapshot });
  expect(second.get('upstreams', 'a')?.value).toMatchObject(value);
  await expect(second.put('upstreams', 'b', value)).rejects.toMatchObject({ code: 'STORE_FAILED' });
  await expect(open()).rejects.toThrow(/etcd at http:\/\/127\.0\.0\.1:\d+ does not answer \(.*\), and there is no snapshot/);
  await etcd.start();
  await expect.poll(() => second.away, { timeout: 15_000 }).toBe(null);
  await second.close();
});

test('a prefix keeps two clusters apart, and what is no JSON leaves what was there', async () => {
  const [one, other] = [await open({ prefix: '/one' }), await open({ prefix: '/other' })];
  await one.put('upstreams', 'a', value);
  expect(other.list('upstreams')).toEqual([]);
  const put = (key: string, text: string): Promise<unknown> => etcd.call('/v3/kv/put', {
    key: Buffer.from(key).toString('base64'), value: Buffer.from(text).toString('base64'),
  });
  await put('/one/upstreams/a', 'not json');
  await put('/one/nothing/b', '{}');
  await put('/one/upstreams/c', '{"type":"memory","id":"c","create_time":5}');
  await expect.poll(() => one.list('upstreams').map(({ id, value: seen, createTime }) => [id, seen, createTime ?? 0].slice(0, 2)))
    .toEqual([['a', value], ['c', { type: 'memory' }]]);
  expect(one.get('upstreams', 'c')?.createTime).toBe(5);
  await Promise.all([one.close(), other.close()]);
});

test('with users and passwords on, the right ones are needed', async () => {
  await etcd.call('/v3/auth/user/add', { name: 'root', password: 'secret' });
  await etcd.call('/v3/auth/role/add', { name: 'root' });
  await etcd.call('/v3/auth/user/grant', { user: 'root', role: 'root' });
  await etcd.call('/v3/auth/enable', {});
  const store = await open({ username: 'root', password: 'secret' });
  await store.put('upstreams', 'a', value);
  expect(store.get('upstreams', 'a')?.value).toEqual(value);
  await store.close();
  const wrong = await open({ username: 'root', password: 'wrong' }).catch((error: unknown) => error as Error);
  expect((wrong as Error).message).toMatch(/authentication failed/);
  expect((wrong as Error).message).not.toContain('wrong)');
  expect(existsSync(join(folder, `${opened}.json`))).toBe(false);
});
