// node-redis through the proxy, in RESP2 and RESP3.
import { createClient, RESP_TYPES } from 'redis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sleep } from '../support/sleep.ts';
import { allKinds, realKinds, startStage, type Stage } from './upstream-kinds.ts';

const versions = [2, 3] as const;
const matrix = (kinds: readonly (typeof allKinds)[number][]) =>
  kinds.flatMap((kind) => versions.map((version) => [kind, version] as const));

function makeClient(port: number, RESP: 2 | 3) {
  const client = createClient({ url: `redis://127.0.0.1:${port}`, RESP });
  client.on('error', () => undefined);
  return client;
}
type Client = ReturnType<typeof makeClient>;

function clients(port: () => number, version: 2 | 3) {
  const open: Client[] = [];
  return {
    async connect(): Promise<Client> {
      const client = makeClient(port(), version);
      open.push(client);
      await client.connect();
      return client;
    },
    close() {
      for (const client of open.splice(0)) if (client.isOpen) client.destroy();
    },
  };
}

describe.each(matrix(allKinds))('node-redis on %s, RESP%i', (kind, version) => {
  let stage: Stage;
  const { connect, close } = clients(() => stage.port, version);
  beforeAll(async () => { stage = await startStage(kind); });
  afterAll(async () => {
    close();
    await stage[Symbol.asyncDispose]();
  });

  test('it introduces itself and gets replies of its version', async () => {
    const client = await connect();
    await client.clientSetName('who');
    const info = await client.clientInfo();
    expect(info).toMatchObject({ name: 'who', resp: version, libName: expect.stringContaining('node-redis') });
    await client.hSet('h', { a: '1', b: '2' });
    expect({ ...await client.hGetAll('h') }).toEqual({ a: '1', b: '2' });
    await client.zAdd('z', [{ score: 1.5, value: 'x' }]);
    expect(await client.zScore('z', 'x')).toBe(1.5);
    expect(await client.get('missing')).toBe(null);
    await expect(client.sendCommand(['LPUSH', 'h', 'x'])).rejects.toThrow(/WRONGTYPE/);
  });

  test('thousands of commands at once are answered each with its own value', async () => {
    const client = await connect();
    await Promise.all(Array.from({ length: 3000 }, (_, i) => client.set(`k:${i}`, `v:${i}`)));
    const values = await Promise.all(Array.from({ length: 3000 }, (_, i) => client.get(`k:${i}`)));
    expect(values).toEqual(Array.from({ length: 3000 }, (_, i) => `v:${i}`));
  });

  test('buffers come back as they were', async () => {
    const client = (await connect()).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await client.set('bin', bytes);
    expect(await client.get('bin')).toEqual(bytes);
  });

  test('MULTI runs as one, WATCH notices others', async () => {
    const [a, b] = [await connect(), await connect()];
    await a.set('n', '1');
    expect(await a.multi().incr('n').incr('n').get('n').exec()).toEqual([2, 3, '3']);
    await a.watch('n');
    await b.set('n', '10');
    await expect(a.multi().incr('n').exec()).rejects.toThrow(/watch/i);
    expect(await a.get('n')).toBe('10');
  });

  test('publish and subscribe, patterns too; in RESP3 the subscriber can go on asking', async () => {
    const [subscriber, publisher] = [await connect(), await connect()];
    const got: string[] = [];
    await subscriber.subscribe(['one', 'two'], (text, channel) => got.push(`${channel} ${text}`));
    await subscriber.pSubscribe('p*', (text, channel) => got.push(`p* ${channel} ${text}`));
    expect(await publisher.publish('one', 'a')).toBe(1);
    expect(await publisher.publish('pq', 'b')).toBe(1);
    await expect.poll(() => got).toEqual(['one a', 'p* pq b']);
    // In RESP2 the client itself refuses.
    const asked = version === 3 ? [await subscriber.set('while', 'subscribed'), await subscriber.get('while')] : null;
    expect(asked).toEqual(version === 3 ? ['OK', 'subscribed'] : null);
    await subscriber.unsubscribe();
    await subscriber.pUnsubscribe();
    expect(await publisher.publish('one', 'nobody')).toBe(0);
    // In RESP2 this client gives a buffer after it was a subscriber.
    expect(String(await subscriber.ping())).toBe('PONG');
  });

  test('scan iterators visit every key and field once', async () => {
    const client = await connect();
    await client.select(4);
    await client.flushDb();
    await Promise.all(Array.from({ length: 300 }, (_, i) => client.set(`s:${i}`, '')));
    await client.hSet('fields', Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`f${i}`, String(i)])));
    const keys = new Set<string>();
    for await (const batch of client.scanIterator({ MATCH: 's:*', COUNT: 20 })) for (const key of batch) keys.add(key);
    expect(keys.size).toBe(300);
    const fields = new Map<string, string>();
    for await (const batch of client.hScanIterator('fields')) for (const { field, value } of batch) fields.set(field, value);
    expect(fields.size).toBe(300);
    expect(fields.get('f7')).toBe('7');
  });

  test('a blocking pop on one client does not stop another', async () => {
    const [blocked, other] = [await connect(), await connect()];
    const popped = blocked.blPop('jobs', 5);
    await sleep(50);
    expect(await other.ping()).toBe('PONG');
    await other.rPush('jobs', 'a');
    expect(await popped).toEqual({ key: 'jobs', element: 'a' });
  });

  test('a client that is destroyed in the middle leaves no trace for the next one', async () => {
    const first = await connect();
    await first.select(7);
    void first.blPop('never', 30).catch(() => undefined);
    await sleep(30);
    first.destroy();
    const second = await connect();
    await second.set('where', 'db0');
    const zero = await connect();
    expect(await zero.get('where')).toBe('db0');
    expect(await zero.clientInfo()).toMatchObject({ db: 0 });
  });

  test('close waits for what is under way', async () => {
    const client = await connect();
    const answers = Promise.all(Array.from({ length: 100 }, () => client.incr('closing')));
    await client.close();
    expect(await answers).toHaveLength(100);
  });
});

describe.each(realKinds)('node-redis client-side caching on %s', (kind) => {
  let stage: Stage;
  beforeAll(async () => { stage = await startStage(kind); });
  afterAll(() => stage[Symbol.asyncDispose]());

  test('a cached key is asked for once, and forgotten when another client writes it', async () => {
    const client = createClient({
      url: `redis://127.0.0.1:${stage.port}`, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 100, evictPolicy: 'LRU' },
    });
    client.on('error', () => undefined);
    const writer = makeClient(stage.port, 3);
    const watcher = createClient({ url: `redis://127.0.0.1:${stage.redis!.port}` });
    await Promise.all([client.connect(), writer.connect(), watcher.connect()]);
    await writer.set('cached', 'one');
    const asked = async (): Promise<number> =>
      Number(/cmdstat_get:calls=(\d+)/.exec(await watcher.info('commandstats'))?.[1] ?? 0);
    for (let i = 0; i < 20; i++) expect(await client.get('cached')).toBe('one');
    expect(await asked()).toBe(1);
    await writer.set('cached', 'two');
    await expect.poll(() => client.get('cached')).toBe('two');
    for (let i = 0; i < 20; i++) await client.get('cached');
    expect(await asked()).toBeLessThanOrEqual(3);
    for (const each of [client, writer, watcher]) each.destroy();
  });
});
