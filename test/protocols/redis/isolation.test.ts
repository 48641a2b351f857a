// S2–S4, S6–S8: users, own links, RESP versions and scripts of clients that share links.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Dice } from '../../support/dice.ts';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand, RespError, type Argument } from '../../support/resp.ts';
import { sleep } from '../../support/sleep.ts';

let redis: RedisServer;
let admin: RespClient;
let proxy: Proxy;
beforeAll(async () => {
  redis = await startRedis();
  admin = await RespClient.connect(redis.port);
  proxy = await startProxy({ upstream: redis.port });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await admin.close();
  await redis.stop();
});

test('two users with keys of their own never run as the other (S2)', async () => {
  await using locked = await startRedis(['--requirepass', 'admin']);
  await using limited = await startProxy({ upstream: locked.port, limits: { auth_failures_per_minute: 100_000 } });
  await using direct = await RespClient.connect(locked.port);
  await direct.command('AUTH', 'admin');
  for (const user of ['ann', 'bob']) {
    await direct.command('ACL', 'SETUSER', user, 'on', `>${user}pw`, `~${user}:*`, '&*', '+@all');
  }
  await direct.command('ACL', 'LOG', 'RESET');
  await Promise.all(Array.from({ length: 60 }, async (_, i) => {
    const user = i % 2 === 0 ? 'ann' : 'bob';
    const dice = new Dice(i);
    for (let round = 0; round < 4; round++) {
      const client = await limited.connect();
      if (dice.chance(0.5)) expect(await client.command('AUTH', user, `${user}pw`)).toBe('OK');
      else await client.command('HELLO', dice.of(['2', '3']), 'AUTH', user, `${user}pw`);
      for (let turn = 0; turn < 5; turn++) {
        const key = `${user}:${i}`;
        const replies = await client.pipeline([
          ['SET', key, `${user}${turn}`], ['GET', key], ['ACL', 'WHOAMI'], ['MULTI'], ['GET', key], ['EXEC'],
          ['BLPOP', `${user}:list${i}`, '0.001'], ['EVAL', 'return redis.call("get", KEYS[1])', '1', key],
        ].slice(0, dice.chance(0.3) ? 8 : 6));
        expect(replies.slice(0, 6)).toEqual(['OK', `${user}${turn}`, user, 'OK', 'QUEUED', [`${user}${turn}`]]);
      }
      if (dice.chance(0.5)) client.reset();
      else await client.close();
    }
  }));
  expect(await direct.command('ACL', 'LOG')).toEqual([]);
}, 20_000);

describe('own links (S3, S4)', () => {
  const steps: readonly (() => readonly (readonly Argument[])[])[] = [
    () => [['MULTI'], ['SET', 's3:a', '1'], ['EXEC']], () => [['MULTI'], ['SELECT', '5']], () => [['MULTI'], ['DISCARD']],
    () => [['WATCH', 's3:a']], () => [['UNWATCH']], () => [['BLPOP', 's3:full', '0']], () => [['SUBSCRIBE', 's3:ch']],
    () => [['UNSUBSCRIBE']], () => [['SELECT', '7']], () => [['SELECT', '0']], () => [['HELLO', '3']], () => [['HELLO', '2']],
    () => [['CLIENT', 'SETNAME', 'walker']], () => [['CLIENT', 'TRACKING', 'ON']], () => [['MONITOR']], () => [['NOPE']],
    () => [['CLIENT', 'REPLY', 'SKIP']], () => [['CLIENT', 'NO-EVICT', 'ON']], () => [['RESET']], () => [['SCRIPT', 'DEBUG', 'NO']],
    () => [['MULTI'], ['SUBSCRIBE', 's3:ch'], ['EXEC']], () => [['MULTI'], ['NOPE'], ['EXEC']], () => [['READONLY']],
    () => [['ACL', 'WHOAMI']], () => [['XREAD', 'BLOCK', '1', 'STREAMS', 's3:none', '$']], () => [['DISCARD']],
  ];

  test.each([1, 2, 3, 4, 5, 6])('after random walks of others a borrowed link is as new, seed %i', async (seed) => {
    const dice = new Dice(seed);
    await admin.command('FLUSHALL');
    await admin.command('RPUSH', 's3:full', ...Array.from({ length: 5000 }, () => 'x'));
    for (let walk = 0; walk < 40; walk++) {
      const walker = await proxy.connect();
      const length = dice.between(1, 8);
      for (let i = 0; i < length; i++) {
        for (const args of dice.of(steps)()) walker.send(encodeCommand(args));
        if (dice.chance(0.3)) await sleep(1);
      }
      if (dice.chance(0.3)) await sleep(3);
      if (dice.chance(0.3)) walker.reset();
      else await walker.close();
      // Own links of the pool, each for one transaction: what a transaction says is what the link is.
      const probes = await Promise.all([0, 1, 2].map(async () => {
        const client = await proxy.connect();
        const replies = await client.pipeline([
          ['MULTI'], ['CLIENT', 'INFO'], ['ACL', 'WHOAMI'], ['SET', `s3:probe${seed}`, '0'], ['EXEC'],
        ]);
        await client.close();
        return replies;
      }));
      for (const replies of probes) {
        expect(replies.slice(0, 4)).toEqual(['OK', 'QUEUED', 'QUEUED', 'QUEUED']);
        const [info, user, set] = replies[4] as string[];
        expect([user, set]).toEqual(['default', 'OK']);
        expect(info).toMatch(/ name= .* flags=x db=0 sub=0 psub=0 ssub=0 multi=\d+ .* user=default redir=-1 resp=2/);
      }
    }
    for (const database of [5, 7]) {
      const replies = await admin.pipeline([['SELECT', database], ['EXISTS', `s3:probe${seed}`], ['SELECT', '0']]);
      expect(replies[1]).toBe(0);
    }
  }, 20_000);

  test('links that a client gives back are used again, and what is dirty is closed', async () => {
    const accepted = async (): Promise<number> =>
      Number(/total_connections_received:(\d+)/.exec(String(await admin.command('INFO', 'stats')))![1]);
    const client = await proxy.connect();
    await client.pipeline([['MULTI'], ['EXEC']]);
    const before = await accepted();
    for (let i = 0; i < 50; i++) await client.pipeline([['MULTI'], ['SET', 'again', i], ['EXEC']]);
    expect(await accepted()).toBe(before);
  });

  test('when all own links are taken the next client gets a clear error, and shared traffic goes on (S4)', async () => {
    await using small = await startProxy({ upstream: redis.port, limits: { own_links_per_node: 5, own_link_wait_s: 1 } });
    const holders = await Promise.all(Array.from({ length: 5 }, () => small.connect()));
    for (const holder of holders) expect(await holder.command('MULTI')).toBe('OK');
    const late = await small.connect();
    const other = await small.connect();
    const from = performance.now();
    const waiting = late.command('MULTI');
    for (let i = 0; i < 50; i++) expect(await other.command('ECHO', `free${i}`)).toBe(`free${i}`);
    expect(await waiting).toEqual(new RespError('ERR millrace: no free upstream connection'));
    expect(performance.now() - from).toBeLessThan(4000);
    expect(await late.command('ECHO', 'still here')).toBe('still here');
    const queued = late.command('MULTI');
    await sleep(30);
    expect(await holders[0]!.command('EXEC')).toEqual([]);
    expect(await queued).toBe('OK');
    expect(await late.command('EXEC')).toEqual([]);
  }, 20_000);
});

describe('RESP2 and RESP3 side by side (S6, S7)', () => {
  const types = ['string', 'integer', 'double', 'null', 'array', 'set', 'map', 'attrib', 'push', 'verbatim', 'true', 'false', 'bignum'];

  test('every type of the server arrives as a direct client gets it, in both versions at once', async () => {
    const conf = { allow_commands: ['debug'] };
    await using open = await startProxy({ upstream: redis.port, route: { protocol: { name: 'redis', conf } } });
    const frames = async (port: number, resp: number): Promise<string[]> => {
      await using client = await RespClient.connect(port);
      await client.command('HELLO', resp);
      const said: string[] = [];
      for (const type of types) {
        client.send(Buffer.concat([encodeCommand(['DEBUG', 'PROTOCOL', type]), encodeCommand(['ECHO', 'end'])]));
        said.push((await client.readRaw({ until: '$3\r\nend\r\n' })).toString('latin1'));
      }
      return said;
    };
    const [two, three] = await Promise.all([frames(redis.port, 2), frames(redis.port, 3)]);
    const rounds = await Promise.all(Array.from({ length: 10 }, (_, i) => frames(open.port, i % 2 === 0 ? 2 : 3)));
    for (const [i, said] of rounds.entries()) expect(said).toEqual(i % 2 === 0 ? two : three);
    expect(two).not.toEqual(three);
  });

  test('replies of shared links follow the version of their client', async () => {
    await admin.pipeline([['HSET', 's7:h', 'f', 'v'], ['ZADD', 's7:z', '1.5', 'm'], ['SADD', 's7:s', 'm']]);
    const commands = [['HGETALL', 's7:h'], ['ZSCORE', 's7:z', 'm'], ['SMEMBERS', 's7:s'], ['GET', 's7:none'], ['ZRANGE', 's7:z', '0', '-1', 'WITHSCORES']];
    const bytes = Buffer.concat(commands.map((args) => encodeCommand(args)));
    const ask = async (port: number, resp: number): Promise<string> => {
      await using client = await RespClient.connect(port);
      await client.command('HELLO', resp);
      client.send(bytes);
      return Buffer.concat(await client.readFrames(commands.length)).toString();
    };
    const expected = [await ask(redis.port, 2), await ask(redis.port, 3)];
    const got = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(proxy.port, 2 + (i % 2))));
    for (const [i, text] of got.entries()) expect(text).toBe(expected[i % 2]);
  });
});

test('NOSCRIPT passes unchanged and no script is run again by itself (S8)', async () => {
  const client = await proxy.connect();
  const sha = await client.command('SCRIPT', 'LOAD', 'return redis.call("incr", "s8")') as string;
  expect(await client.command('EVALSHA', sha, '0')).toBe(1);
  await admin.command('SCRIPT', 'FLUSH');
  expect(await client.command('EVALSHA', sha, '0')).toEqual(new RespError('NOSCRIPT No matching script. Please use EVAL.'));
  expect(await admin.command('GET', 's8')).toBe('1');
});
