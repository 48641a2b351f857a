// Answers that we give ourselves wait their turn among those of the server (D10, D14).
import { expect, test } from 'vitest';
import { startProxy, type ProxyOptions } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { RespError, type Value } from '../support/resp.ts';

const routes: Readonly<Record<string, ProxyOptions['route']>> = {
  'a route without plugins': {},
  'a route with metrics per command': { protocol: { name: 'redis', metric: { enable: true } } },
  'a route whose plugin looks at every command': { plugins: { 'fault-injection': { commands: ['get'], keys: ['deny*'], abort: { error: 'no $key' } } } },
  'a route with a plugin that delays some': { plugins: { 'fault-injection': { commands: ['get'], keys: ['deny*'], delay: { duration: 0.005 }, abort: { error: 'no $key' } } } },
};

const shown = (value: Value): string => (value instanceof RespError ? value.text : String(value));

test.for(Object.entries(routes))('answers of the door and of plugins stay in their places on %s', async ([name, route]) => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, route: route! });
  const client = await proxy.connect();
  await client.command('MSET', 'a', 'A', 'b', 'B', 'c', 'C');
  await client.command('CLIENT', 'SETNAME', 'me');
  const denies = name.includes('plugin that') || name.includes('whose plugin');
  const pieces: readonly (readonly [string[], string])[] = [
    [['GET', 'a'], 'A'], [['CLIENT', 'GETNAME'], 'me'], [['GET', 'b'], 'B'], [['GET', 'c'], 'C'],
    [['GET', 'deny1'], denies ? 'ERR no deny1' : 'null'], [['GET', 'a'], 'A'],
    [['GET', 'deny2'], denies ? 'ERR no deny2' : 'null'], [['CLIENT', 'GETNAME'], 'me'], [['GET', 'c'], 'C'],
    [['nosuch'], "ERR unknown command 'nosuch', with args beginning with: "], [['GET', 'b'], 'B'],
    [['MULTI'], 'OK'], [['EXEC'], ''], [['CLIENT', 'GETNAME'], 'me'], [['GET', 'a'], 'A'],
  ];
  // Every order of two pieces that follow each other, and all of them at once.
  const many = pieces.flatMap((first) => pieces.flatMap((second) => (first[0][0] === 'MULTI' || first[0][0] === 'EXEC'
    || second[0][0] === 'MULTI' || second[0][0] === 'EXEC' ? [] : [first, second])));
  for (const list of [pieces, many, [...many].reverse()]) {
    const replies = await client.pipeline(list.map(([args]) => args));
    expect(replies.map(shown)).toEqual(list.map(([, wanted]) => wanted));
  }
});

test('ordinary replies that come before a subscription is confirmed are counted as what they are', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const client = await proxy.connect();
  await client.command('RPUSH', 'names', 'message', 'subscribe', 'x');
  // An unknown command takes an own link; what is pipelined behind it goes the same way.
  const replies = await client.pipeline([
    ['nosuch'], ['HGETALL', 'none'], ['GET', 'none'], ['LRANGE', 'names', '0', '-1'], ['LRANGE', 'names', '1', '-1'],
    ['CLIENT', 'REPLY', 'ON'], ['SUBSCRIBE', 'ch'],
  ]);
  expect(replies.slice(1)).toEqual([
    [], null, ['message', 'subscribe', 'x'], ['subscribe', 'x'], 'OK', ['subscribe', 'ch', 1],
  ]);
  const other = await proxy.connect();
  expect(await other.command('PUBLISH', 'ch', 'hello')).toBe(1);
  expect(await client.read(1)).toEqual([['message', 'ch', 'hello']]);
  expect(await client.command('UNSUBSCRIBE')).toEqual(['unsubscribe', 'ch', 0]);
  expect(await client.command('LRANGE', 'names', '0', '-1')).toEqual(['message', 'subscribe', 'x']);
});

test('a RESP3 subscriber gets arrays that look like messages as replies', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const client = await proxy.connect();
  await client.command('HELLO', '3');
  await client.command('RPUSH', 'names', 'message', 'subscribe', 'x');
  client.send('SUBSCRIBE ch\r\n');
  expect((await client.readPushes(1))[0]?.items).toEqual(['subscribe', 'ch', 1]);
  const replies = await client.pipeline([['LRANGE', 'names', '0', '-1'], ['LRANGE', 'names', '1', '-1'], ['GET', 'none']]);
  expect(replies).toEqual([['message', 'subscribe', 'x'], ['subscribe', 'x'], null]);
});
