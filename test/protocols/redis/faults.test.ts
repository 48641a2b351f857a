// protocol.conf.faults: which commands they meet by command and key, and what they do.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp.ts';

let redis: RedisServer;
let proxy: Proxy;
beforeAll(async () => {
  redis = await startRedis();
  proxy = await startProxy({ upstream: redis.port });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await redis.stop();
});

const put = (faults: readonly object[]): Promise<void> => proxy.put('/apisix/admin/stream_routes/1', {
  upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis', conf: { faults } },
});

// Every class of commands: a call in which `hit` is a key, and one in which it is anything else.
const keys: readonly (readonly [hit: string, miss: string])[] = [
  ['get hit', 'set other hit'], ['hget hit f', 'hget other hit'], ['hmset hit f v', 'hmset other hit v'],
  ['zadd hit 1 m', 'zadd other 1 hit'], ['expire hit 1', 'append other hit'],
  ['del a hit', 'lpush other hit'], ['mget a b hit', 'sadd other hit'], ['exists a hit', 'getset other hit'],
  ['pfmerge a hit', 'pfadd other hit'], ['sinterstore a b hit', 'sismember other hit'], ['watch a hit', 'setnx other hit'],
  ['mset a 1 hit 2', 'mset a hit'], ['msetnx a 1 hit 2', 'msetnx a hit b hit'],
  ['blpop hit 0.01', 'blpop other 0.01'], ['brpop a hit 0.01', 'brpop a b 0.01'], ['bzpopmin a hit 0.01', 'zincrby other 1 hit'],
  ['blmove a hit left left 0.01', 'linsert other before hit x'], ['rename hit b', 'echo hit'], ['smove a hit m', 'smove a b hit'],
  ['lcs a hit', 'lrem other 1 hit'], ['bitop and a b hit', 'bitop and a b c'], ['object encoding hit', 'object help'],
  ['memory usage hit', 'memory doctor'], ['eval return(1) 1 hit', 'eval return(1) 0 hit'],
  ['evalsha x 2 a hit', 'evalsha x 1 a hit'], ['fcall f 1 hit', 'fcall f 0 hit'], ['zunion 2 a hit', 'zunion 1 a weights 1'],
  ['zunionstore hit 1 a', 'zinterstore b 1 a'], ['lmpop 2 a hit left', 'lmpop 1 a left'], ['sintercard 2 a hit', 'sintercard 1 a limit 1'],
  ['blmpop 0.01 2 a hit left', 'blmpop 0.01 1 a left'], ['xread streams hit 0', 'xread count 1 streams other 0'],
  ['xread block 1 streams a hit 0 0', 'xread streams other hit'], ['xreadgroup group g c streams hit >', 'xreadgroup group hit c streams other >'],
  ['xadd hit * f v', 'xadd other * hit v'], ['xgroup create hit g $ mkstream', 'xgroup create other hit $ mkstream'],
  ['xinfo stream hit', 'xinfo stream other'], ['sort hit', 'sort other by hit'], ['sort a store hit', 'sort other limit 0 1'],
  ['georadius a 1 1 1 km store hit', 'georadius a 1 1 1 km'], ['geosearchstore a hit fromlonlat 1 1 byradius 1 km', 'geoadd other 1 1 hit'],
  ['copy a hit', 'setrange other 1 hit'], ['getdel hit', 'publish ch hit'],
];

describe.each([['as typed', (line: string): string => line], ['in upper case', (line: string): string => line.replace(/^\S+/, (name) => name.toUpperCase())]] as const)(
  'keys are found in commands %s', (_case, typed) => {
    beforeAll(() => put([{ key: 'hit', error: 'ERR met', commands: [...new Set(keys.flat().map((line) => line.split(' ')[0]!))]
      // Of commands without keys a key is ignored, as in the reference: they are not asked about one here.
      .filter((name) => !['echo', 'publish'].includes(name)) }]));

    test.each(keys)('%s; not in: %s', async (hit, miss) => {
      const client = await proxy.connect();
      expect(await client.command(...typed(hit).split(' '))).toEqual(new RespError('ERR met'));
      expect(await client.command(...typed(miss).split(' '))).not.toEqual(new RespError('ERR met'));
      await client.close();
    });
  });

test('of the keys of a command the first that has a rule decides, then the rule for any key', async () => {
  await put([
    { commands: ['MGET'], key: 'a', error: 'ERR a' }, { commands: ['mget'], key: 'b', error: 'ERR b' },
    { commands: ['mget', 'get'], error: 'ERR any' }, { commands: ['get'], key: 'a', error: 'ERR first' },
    { commands: ['get'], key: 'a', error: 'ERR last' },
  ]);
  const client = await proxy.connect();
  const replies = await client.pipeline([['MGET', 'x', 'b', 'a'], ['mget', 'a', 'b'], ['mget', 'x'], ['get', 'a'], ['get', 'A'], ['SET', 'a', '1']]);
  expect(replies.map((reply) => (reply as RespError).text ?? reply)).toEqual(['ERR b', 'ERR a', 'ERR any', 'ERR last', 'ERR any', 'OK']);
});

test('a key is ignored where a command has none', async () => {
  await put([{ commands: ['ping', 'time'], key: 'ignored', error: 'ERR met' }]);
  const client = await proxy.connect();
  expect(await client.pipeline([['PING'], ['TIME'], ['ECHO', 'x']]))
    .toEqual([new RespError('ERR met'), new RespError('ERR met'), 'x']);
});

test('patterns are those of Redis', async () => {
  const patterns = ['user:*', 'a?c', '[xyz]1', '[^a-f]2', 'lit\\*eral', 'h**o', '.+', '[', 'é*', '[z-x]3', '[a\\]b]4', '[]5', '[rest', '\\'];
  await put([{ commands: ['get'], keys: patterns, error: 'ERR met' }]);
  const client = await proxy.connect();
  await using direct = await RespClient.connect(redis.port);
  for (const key of ['user:', 'user:1', 'xuser:1', 'abc', 'ac', 'a\nc', 'x1', 'w1', 'z2', 'c2', 'lit*eral', 'literal', 'hello', 'ho', '.+', 'aa', '[', 'école', 'ecole', 'y3', ']4', 'b4', '5', 'r', 'rest', '\\']) {
    // The server itself says what a pattern means.
    await direct.command('FLUSHALL');
    await direct.command('SET', key, '1');
    const found = await direct.pipeline(patterns.map((pattern) => ['KEYS', pattern])) as string[][];
    const expected = found.some((names) => names.length > 0) ? new RespError('ERR met') : '1';
    expect([key, await client.command('GET', key)]).toEqual([key, expected]);
  }
});

test('an error stands in its place among the replies, whatever its text', async () => {
  await put([{ commands: ['get'], key: 'oom', error: 'OOM command not allowed' }, { commands: ['get'], key: 'plain', error: 'broken on\r\n+OK purpose' }]);
  const client = await proxy.connect();
  expect(await client.pipeline([['ECHO', '1'], ['GET', 'oom'], ['ECHO', '2'], ['GET', 'plain'], ['ECHO', '3']])).toEqual([
    '1', new RespError('OOM command not allowed'), '2', new RespError('ERR broken on  +OK purpose'), '3',
  ]);
});

test('a close comes behind the answers that are owed, and the command is not run', async () => {
  await put([{ commands: ['set'], key: 'closing', close: true }, { commands: ['incr'], key: 'closing', close: true, error: 'ERR bye' }]);
  const client = await proxy.connect();
  client.send('PING\r\nECHO 1\r\nSET closing 1\r\nPING\r\n');
  expect((await client.readRaw({ idle: 200 })).toString()).toBe('+PONG\r\n$1\r\n1\r\n');
  expect(client.ended).not.toBeNull();
  const other = await proxy.connect();
  other.send('PING\r\nINCR closing\r\nPING\r\n');
  expect((await other.readRaw({ idle: 200 })).toString()).toBe('+PONG\r\n-ERR bye\r\n');
  expect(other.ended).not.toBeNull();
  expect(await (await proxy.connect()).command('EXISTS', 'closing')).toBe(0);
});

test('a percentage with a seed meets the same commands each time', async () => {
  const meet = async (seed: number, percentage: number): Promise<string> => {
    await put([{ commands: ['echo'], percentage, seed, error: 'ERR met' }]);
    const client = await proxy.connect();
    const replies = await client.pipeline(Array.from({ length: 400 }, () => ['ECHO', 'x']));
    await client.close();
    return replies.map((reply) => (reply === 'x' ? '.' : '!')).join('');
  };
  const first = await meet(7, 25);
  // An equal configuration goes on where it was: another one comes between.
  expect(await meet(8, 25)).not.toBe(first);
  expect(await meet(7, 25)).toBe(first);
  const met = first.split('!').length - 1;
  expect(met).toBeGreaterThan(60);
  expect(met).toBeLessThan(140);
  expect(await meet(1, 0)).toBe('.'.repeat(400));
  expect(await meet(1, 100)).toBe('!'.repeat(400));
});

test('a delay holds back its own client only (D14)', async () => {
  await put([{ commands: ['get'], key: 'slow', delay: 1 }]);
  const [slow, quick] = await Promise.all([proxy.connect(), proxy.connect()]);
  const from = performance.now();
  let over = false;
  const held = slow.pipeline([['ECHO', '1'], ['GET', 'slow'], ['ECHO', '2']]).then((replies) => {
    over = true;
    return [replies, performance.now() - from] as const;
  });
  for (let i = 0; i < 20; i++) await quick.command('ECHO', 'x');
  expect(over).toBe(false);
  const [replies, took] = await held;
  expect(replies).toEqual(['1', null, '2']);
  expect(took).toBeGreaterThanOrEqual(999);
});

test.each([
  [{ commands: [] }, 'commands'], [{ commands: ['get'] }, 'delay'], [{ commands: ['get'], delay: -1 }, 'delay'],
  [{ commands: ['get'], delay: 1, key: '' }, 'key'], [{ commands: ['get'], delay: 1, percentage: 101 }, 'percentage'],
  [{ commands: ['get'], delay: 1, dealy: 2 }, 'dealy'], [{ delay: 1 }, 'commands'],
])('a wrong rule is refused: %j', async (fault, named) => {
  const { status, body } = await proxy.call('PUT', '/apisix/admin/stream_routes/2', {
    upstream: { nodes: { '127.0.0.1:1': 1 } }, protocol: { name: 'redis', conf: { faults: [fault] } },
  });
  expect(status).toBe(400);
  expect(JSON.stringify(body)).toContain('protocol.conf.faults[0]');
  expect(JSON.stringify(body)).toContain(named);
});

describe.each(['shared', 'dedicated'])('on %s links, in any state of the client', (upstream_connection) => {
  const route = (faults: readonly object[]): Promise<void> => proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis', conf: { upstream_connection, faults } },
  });

  test('a fault meets a queued command, a blocking one, a subscription and a script, and leaves the rest as it is', async () => {
    await route([
      { commands: ['set', 'blpop', 'subscribe', 'eval', 'watch', 'select', 'xread'], key: 'bad', error: 'ERR met' },
      { commands: ['psubscribe', 'exec'], error: 'ERR met' },
    ]);
    const client = await proxy.connect();
    const met = new RespError('ERR met');
    expect(await client.pipeline([['MULTI'], ['SET', 'good', '1'], ['SET', 'bad', '1'], ['GET', 'good'], ['DISCARD'], ['GET', 'bad']]))
      .toEqual(['OK', 'QUEUED', met, 'QUEUED', 'OK', null]);
    expect(await client.pipeline([['BLPOP', 'other', 'bad', '0'], ['BLPOP', 'other', '0.01'], ['XREAD', 'BLOCK', '0', 'STREAMS', 'bad', '$']]))
      .toEqual([met, null, met]);
    expect(await client.pipeline([['WATCH', 'bad'], ['EVAL', 'return 1', '1', 'bad'], ['EVAL', 'return 1', '1', 'good'], ['PSUBSCRIBE', 'a*'], ['PING']]))
      .toEqual([met, met, 1, met, 'PONG']);
    // EXEC that a fault took the place of did not run: the transaction is still open.
    expect(await client.pipeline([['MULTI'], ['INCR', 'n'], ['EXEC'], ['DISCARD'], ['GET', 'n']])).toEqual(['OK', 'QUEUED', met, 'OK', null]);
    await client.close();
  });

  test('a delay inside a transaction and before a blocking command holds back what stands behind it, and no more', async () => {
    await route([{ commands: ['incr', 'blpop'], key: 'slow', delay: 0.15 }]);
    const [client, other] = [await proxy.connect(), await proxy.connect()];
    const from = performance.now();
    const replies = client.pipeline([['MULTI'], ['INCR', 'slow'], ['EXEC'], ['BLPOP', 'slow', 'none', '0.01'], ['ECHO', 'x']]);
    expect(await other.command('ECHO', 'free')).toBe('free');
    const answered = await replies;
    expect(answered.slice(0, 2)).toEqual(['OK', 'QUEUED']);
    expect(answered[2]).toHaveLength(1);
    expect(answered.at(-1)).toBe('x');
    expect(performance.now() - from).toBeGreaterThanOrEqual(299);
    await client.close();
  });

  test('nothing that stands behind a close is run, in a transaction or without one', async () => {
    await (await proxy.connect()).command('DEL', 'counted', 'behind');
    await route([{ commands: ['set'], key: 'closing', close: true }]);
    const client = await proxy.connect();
    client.send('MULTI\r\nINCR counted\r\nSET closing 1\r\nEXEC\r\n');
    expect((await client.readRaw({ idle: 200 })).toString()).toBe('+OK\r\n+QUEUED\r\n');
    expect(client.ended).not.toBeNull();
    const other = await proxy.connect();
    expect(await other.pipeline([['GET', 'counted'], ['MULTI'], ['PING'], ['EXEC']])).toEqual([null, 'OK', 'QUEUED', ['PONG']]);
    // The answer before it is still owed when the close is decided.
    const piped = await proxy.connect();
    piped.send('ECHO owed\r\nSET closing 1\r\nINCR behind\r\nINCR behind\r\n');
    expect((await piped.readRaw({ idle: 200 })).toString()).toBe('$4\r\nowed\r\n');
    expect(piped.ended).not.toBeNull();
    expect(await other.command('GET', 'behind')).toBeNull();
  });

  test('without a seed a percentage meets about as many as it says', async () => {
    await route([{ commands: ['echo'], percentage: 30, error: 'ERR met' }]);
    const client = await proxy.connect();
    const replies = await client.pipeline(Array.from({ length: 1000 }, () => ['ECHO', 'x']));
    const met = replies.filter((reply) => reply instanceof RespError).length;
    expect(met).toBeGreaterThan(200);
    expect(met).toBeLessThan(400);
  });
});
