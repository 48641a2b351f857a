// ioredis through the proxy. It connects as applications do: with its own handshake, INFO check and CLIENT SETINFO.
import { Redis, type RedisOptions } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sleep } from '../support/sleep.ts';
import { allKinds, realKinds, startStage, type Stage, type UpstreamKind } from './upstream-kinds.ts';

type Options = Pick<RedisOptions, 'db' | 'keyPrefix' | 'connectionName' | 'retryStrategy'>;
const protocols = [2, 3] as const;
const matrix = (kinds: readonly UpstreamKind[]) => kinds.flatMap((kind) => protocols.map((each) => [kind, each] as const));

describe.each(matrix(allKinds))('ioredis on %s, RESP%i', (kind, protocol) => {
  let stage: Stage;
  const open: Redis[] = [];
  beforeAll(async () => { stage = await startStage(kind); });
  afterAll(async () => {
    for (const client of open) client.disconnect();
    await stage[Symbol.asyncDispose]();
  });

  const connect = async (options: Options = {}): Promise<Redis> => {
    const client: Redis = new Redis({
      host: '127.0.0.1', port: stage.port, protocol, ...options, lazyConnect: true,
    });
    client.on('error', () => undefined);
    open.push(client);
    await client.connect();
    return client;
  };

  test('it becomes ready, names itself and sees only its own client state', async () => {
    const [a, b] = [await connect({ connectionName: 'worker-a' }), await connect()];
    expect(await a.client('GETNAME')).toBe('worker-a');
    expect(await b.client('GETNAME')).toBe(null);
    const info = String(await a.call('CLIENT', 'INFO'));
    expect(info).toContain('name=worker-a ');
    // A server before 7.2 does not know it; the door does.
    expect(info).toContain(kind === 'shared' ? 'lib-name=ioredis' : 'id=');
    expect(await a.client('ID')).not.toBe(await b.client('ID'));
  });

  test('values of every kind come back, binary and large ones too', async () => {
    const client = await connect();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const large = Buffer.alloc(3_000_000, 'x');
    await client.set('bin', bytes);
    await client.set('large', large);
    expect(await client.getBuffer('bin')).toEqual(bytes);
    expect((await client.getBuffer('large'))!.equals(large)).toBe(true);
    await client.hset('hash', { a: '1', b: '2' });
    await client.zadd('zset', 1, 'one', 2.5, 'two');
    expect(await client.hgetall('hash')).toEqual({ a: '1', b: '2' });
    expect(await client.call('ZRANGE', 'zset', '0', '-1', 'WITHSCORES')).toEqual(
      protocol === 3 ? [['one', '1'], ['two', '2.5']] : ['one', '1', 'two', '2.5']);
    await expect(client.lpush('hash', 'x')).rejects.toThrow(/WRONGTYPE/);
  });

  test('a pipeline of 5000 commands is answered in order', async () => {
    const client = await connect();
    const pipeline = client.pipeline();
    for (let i = 0; i < 2500; i++) pipeline.set(`p:${i}`, i).get(`p:${i}`);
    const results = (await pipeline.exec())!;
    for (let i = 0; i < 2500; i++) {
      expect(results[i * 2]).toEqual([null, 'OK']);
      expect(results[i * 2 + 1]).toEqual([null, String(i)]);
    }
  });

  test('MULTI is atomic, and WATCH makes EXEC fail when another client wrote', async () => {
    const [a, b] = [await connect(), await connect()];
    await a.set('n', 1);
    expect(await a.multi().incr('n').incr('n').get('n').exec()).toEqual([[null, 2], [null, 3], [null, '3']]);
    await a.watch('n');
    await b.set('n', 10);
    expect(await a.multi().incr('n').exec()).toBe(null);
    expect(await a.get('n')).toBe('10');
    await a.watch('n');
    expect(await a.multi().incr('n').exec()).toEqual([[null, 11]]);
  });

  test('subscribers and pattern subscribers get messages, and unsubscribe', async () => {
    const [subscriber, publisher] = [await connect(), await connect()];
    const got: string[] = [];
    subscriber.on('message', (channel, text) => got.push(`${channel} ${text}`));
    subscriber.on('pmessage', (pattern, channel, text) => got.push(`${pattern} ${channel} ${text}`));
    expect(await subscriber.subscribe('ch1', 'ch2')).toBe(2);
    expect(await subscriber.psubscribe('p*')).toBe(3);
    expect(await publisher.publish('ch1', 'hello')).toBe(1);
    expect(await publisher.publish('pq', 'there')).toBe(1);
    await expect.poll(() => got).toEqual(['ch1 hello', 'p* pq there']);
    await subscriber.unsubscribe('ch1', 'ch2');
    await subscriber.punsubscribe();
    expect(await publisher.publish('ch1', 'nobody')).toBe(0);
    expect(await subscriber.set('after', 'works')).toBe('OK');
  });

  test('a blocking pop waits without holding anybody else up', async () => {
    const [blocked, other] = [await connect(), await connect()];
    let over = false;
    const popped = blocked.blpop('jobs', 5).finally(() => { over = true; });
    await sleep(50);
    expect(await other.ping()).toBe('PONG');
    expect(over).toBe(false);
    await other.rpush('jobs', 'a');
    expect(await popped).toEqual(['jobs', 'a']);
    expect(await blocked.blpop('empty', 0.05)).toBe(null);
  });

  test('keyPrefix is put before keys and the database number holds for one client only', async () => {
    const [prefixed, plain, second] = [await connect({ keyPrefix: 'app:' }), await connect(), await connect({ db: 2 })];
    await prefixed.mset('x', '1', 'y', '2');
    expect(await plain.mget('app:x', 'app:y', 'x')).toEqual(['1', '2', null]);
    await second.set('only-in-2', 'yes');
    expect(await plain.get('only-in-2')).toBe(null);
    await plain.select(2);
    expect(await plain.get('only-in-2')).toBe('yes');
    expect(await prefixed.get('only-in-2')).toBe(null);
  });

  test('it reconnects by itself after the proxy lost it, and resubscribes', async () => {
    const client = await connect({ retryStrategy: () => 20 });
    const subscriber = await connect({ retryStrategy: () => 20 });
    const got: string[] = [];
    subscriber.on('message', (_channel, text) => got.push(text));
    await subscriber.subscribe('again');
    await client.set('kept', '1');
    // Its next command finds the route gone; the default route serves it when it comes back.
    await stage.proxy.call('DELETE', '/apisix/admin/stream_routes/1');
    subscriber.stream.destroy();
    expect(await client.get('kept')).toBe('1');
    expect(stage.proxy.records).toContainEqual(expect.objectContaining({ code: 'ROUTE_REMOVED' }));
    await expect.poll(() => client.status, { timeout: 5000 }).toBe('ready');
    await expect.poll(() => subscriber.status, { timeout: 5000 }).toBe('ready');
    expect(await client.get('kept')).toBe('1');
    await expect.poll(() => client.publish('again', 'back'), { timeout: 3000 }).toBe(1);
    await expect.poll(() => got[0]).toBe('back');
    await stage.proxy.put('/apisix/admin/stream_routes/1', routeOf(stage, kind));
  });

  test('scanStream visits every key once', async () => {
    const client = await connect({ db: 5 });
    await client.flushdb();
    const pipeline = client.pipeline();
    for (let i = 0; i < 500; i++) pipeline.set(`scan:${i}`, '');
    await pipeline.exec();
    const seen = new Set<string>();
    for await (const keys of client.scanStream({ match: 'scan:*', count: 50 })) for (const key of keys as string[]) seen.add(key);
    expect(seen.size).toBe(500);
  });

  test('quit is answered and ends the connection', async () => {
    const client = await connect({ retryStrategy: () => null });
    expect(await client.quit()).toBe('OK');
    await expect.poll(() => client.status).toBe('end');
  });
});

describe.each(matrix(realKinds))('ioredis on %s, RESP%i, a real server behind', (kind, protocol) => {
  let stage: Stage;
  let client: Redis;
  beforeAll(async () => {
    stage = await startStage(kind);
    client = new Redis({ host: '127.0.0.1', port: stage.port, protocol });
  });
  afterAll(async () => {
    client.disconnect();
    await stage[Symbol.asyncDispose]();
  });

  test('custom commands load their script once and run it by its digest', async () => {
    client.defineCommand('addTo', { numberOfKeys: 1, lua: 'return redis.call("INCRBY", KEYS[1], ARGV[1])' });
    const scripted = client as Redis & { addTo(key: string, by: number): Promise<number> };
    expect(await scripted.addTo('counted', 5)).toBe(5);
    expect(await scripted.addTo('counted', 5)).toBe(10);
    await client.script('FLUSH');
    expect(await scripted.addTo('counted', 5)).toBe(15);
    const results = await (client.pipeline() as unknown as { addTo(k: string, n: number): { exec(): Promise<unknown> } })
      .addTo('counted', 1).exec();
    expect(results).toEqual([[null, 16]]);
  });

  test('streams and consumer groups work, blocking reads among them', async () => {
    await client.xgroup('CREATE', 'stream', 'group', '$', 'MKSTREAM');
    const reader = client.duplicate();
    const read = reader.xreadgroup('GROUP', 'group', 'me', 'COUNT', 10, 'BLOCK', 5000, 'STREAMS', 'stream', '>');
    await sleep(50);
    const id = await client.xadd('stream', '*', 'field', 'value');
    // In RESP3 a map of streams, which ioredis gives as it is.
    expect(JSON.stringify(await read)).toContain(JSON.stringify(['stream', [[id, ['field', 'value']]]]).slice(1, -1));
    expect(await client.xack('stream', 'group', id!)).toBe(1);
    reader.disconnect();
  });

  test('MONITOR shows what others send', async () => {
    const monitor = await client.monitor();
    const seen: string[][] = [];
    monitor.on('monitor', (_time: string, args: string[]) => seen.push(args));
    await client.set('monitored', '1');
    await expect.poll(() => seen).toContainEqual(['set', 'monitored', '1']);
    monitor.disconnect();
  });
});

function routeOf(stage: Stage, kind: UpstreamKind): unknown {
  const conf = kind === 'dedicated' ? { upstream_connection: 'dedicated' } : {};
  const upstream = stage.redis === null ? { type: 'memory' } : { nodes: { [`127.0.0.1:${stage.redis.port}`]: 1 } };
  return { upstream, protocol: { name: 'redis', conf } };
}
