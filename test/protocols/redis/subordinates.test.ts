// Subordinate routes: commands of one connection that several upstreams answer, each in its place.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp.ts';

let [main, users, reads]: RedisServer[] = [];
beforeAll(async () => { [main, users, reads] = await Promise.all([startRedis(), startRedis(), startRedis()]); });
afterAll(async () => { for (const redis of [main!, users!, reads!]) await redis[Symbol.asyncDispose](); });

const admin = '/apisix/admin/stream_routes';
const to = (redis: RedisServer): object => ({ nodes: { [`127.0.0.1:${redis.port}`]: 1 } });
const below = (redis: RedisServer, match: object): object => ({
  upstream: to(redis), protocol: { name: 'redis', superior_id: '1', conf: { match } },
});

async function start(limits: Record<string, number> = {}): Promise<Proxy> {
  const proxy = await startProxy({ upstream: main!.port, limits });
  await proxy.put(`${admin}/users`, below(users!, { keys: ['user:*', 'session:*'] }));
  await proxy.put(`${admin}/reads`, below(reads!, { commands: ['GETRANGE', 'strlen'] }));
  return proxy;
}

async function keysOf(redis: RedisServer): Promise<unknown> {
  await using client = await RespClient.connect(redis.port);
  return (await client.command('KEYS', '*') as string[]).toSorted();
}

async function flush(): Promise<void> {
  for (const redis of [main!, users!, reads!]) {
    await using client = await RespClient.connect(redis.port);
    await client.command('FLUSHALL');
  }
}

test('each command goes where its key or name says, and answers come back in the order in which they were asked for', async () => {
  await flush();
  await using proxy = await start();
  const clients = await Promise.all([proxy.connect(), proxy.connect(), proxy.connect()]);
  await Promise.all(clients.map(async (client, n) => {
    const keys = Array.from({ length: 300 }, (_, i) => `${['user:', 'session:', 'other:', ''][(i * 7 + (i >> 3)) % 4]}${n}:${i}`);
    expect(await client.pipeline(keys.map((key) => ['SET', key, `of ${key}`]))).toEqual(keys.map(() => 'OK'));
    expect(await client.pipeline(keys.map((key) => ['GET', key]))).toEqual(keys.map((key) => `of ${key}`));
    // Values of any size among small ones.
    const large = 'x'.repeat(300_000);
    expect(await client.pipeline([['SET', `user:${n}`, large], ['SET', `${n}`, 'small'], ['GET', `user:${n}`], ['GET', `${n}`]]))
      .toEqual(['OK', 'OK', large, 'small']);
  }));
  const isTheirs = (key: string): boolean => /^(user|session):/.test(key);
  expect((await keysOf(users!) as string[]).every(isTheirs)).toBe(true);
  expect((await keysOf(main!) as string[]).some(isTheirs)).toBe(false);
  expect((await keysOf(users!) as string[]).length + (await keysOf(main!) as string[]).length).toBe(906);
  const [length, both, values] = await clients[0].pipeline([
    ['STRLEN', 'other:0:2'], ['EXISTS', 'user:0:0', 'session:0:3'], ['MGET', 'user:0:0', 'other:0:2'],
  ]);
  // By name it is asked of the reads' server, which has nothing; two keys of one side are asked of it; of both, of the superior.
  expect([length, both, (values as unknown[])[0]]).toEqual([0, 2, null]);
  expect(await keysOf(reads!)).toEqual([]);
});

test('transactions and blocking commands stay with the superior route, and what follows them is routed again', async () => {
  await flush();
  await using proxy = await start();
  const client = await proxy.connect();
  expect(await client.pipeline([['MULTI'], ['SET', 'user:1', 'in'], ['EXEC'], ['SET', 'user:1', 'out'], ['GET', 'user:1']]))
    .toEqual(['OK', 'QUEUED', ['OK'], 'OK', 'out']);
  expect([await keysOf(main!), await keysOf(users!)]).toEqual([['user:1'], ['user:1']]);
  expect(await client.command('BLPOP', 'user:list', '0.01')).toBe(null);
});

test('a subordinate that is away fails its own commands only; a change of the routes counts from the next command on', async () => {
  await flush();
  const gone = await startRedis();
  await using proxy = await start();
  await proxy.put(`${admin}/users`, below(gone, { keys: ['user:*'] }));
  const client = await proxy.connect();
  expect(await client.command('SET', 'user:1', 'a')).toBe('OK');
  await gone[Symbol.asyncDispose]();
  const [first, second] = await client.pipeline([['GET', 'user:1'], ['SET', 'a', '1']]);
  expect([first, second]).toEqual([expect.any(RespError), 'OK']);
  expect((await proxy.call('DELETE', `${admin}/users`)).status).toBe(200);
  expect(await client.pipeline([['SET', 'user:1', 'b'], ['GET', 'user:1'], ['GET', 'a']])).toEqual(['OK', 'b', '1']);
  expect(await keysOf(main!)).toEqual(['a', 'user:1']);
});

test('a value that is too large to be looked at whole is refused, not sent to the wrong server', async () => {
  await flush();
  await using proxy = await start({ request_bytes: 1_048_576 });
  const client = await proxy.connect();
  const [answer] = await client.pipeline([['SET', 'user:1', 'x'.repeat(3_000_000)]]);
  expect((answer as RespError).text).toContain('a route with subordinates takes commands of at most 1048576 bytes');
  await client.untilEnded();
  expect([await keysOf(main!), await keysOf(users!)]).toEqual([[], []]);
});
