// XR-01 … XR-28: what the reference's Redis protocol does, and the right behaviour where it errs (GAP rows).
// Written against a real server. Times: a lower bound is what the fault owes; an upper bound leaves room for a busy
// machine but not for one delay more.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bestTime } from '../../support/best-time.ts';
import { udpLogSink } from '../../support/log-sinks.ts';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand, RespError } from '../../support/resp.ts';

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

const route = '/apisix/admin/stream_routes/1';

/** PUTs the route with this protocol configuration and answers the status. */
async function put(protocol: object, more: object = {}): Promise<number> {
  const { status } = await proxy.call('PUT', route, {
    upstream: { type: 'none', nodes: { [`127.0.0.1:${redis.port}`]: 1 } },
    protocol: { name: 'redis', ...protocol }, ...more,
  });
  return status;
}

/** Milliseconds that something takes. */
async function timed(run: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await run();
  return performance.now() - from;
}

/** The least of up to twenty times, until one is below the bound: for what must not take longer, on a busy machine. */
function quickest(bound: number, run: () => Promise<unknown>): Promise<number> {
  return bestTime(bound, () => timed(run), 20);
}

async function fresh(): Promise<RespClient> {
  await using direct = await RespClient.connect(redis.port);
  await direct.command('FLUSHALL');
  return proxy.connect();
}

describe('commands and replies', () => {
  test('XR-01 a stream route with protocol.name redis and no conf is accepted', async () => {
    expect(await put({})).toBeLessThan(300);
  });

  test('XR-02 HMSET, HMGET, HGET and a missing field', async () => {
    const client = await fresh();
    expect(await client.command('HMSET', 'animals', 'dog', 'bark', 'cat', 'meow')).toBe('OK');
    expect(await client.command('HMGET', 'animals', 'dog', 'cat')).toEqual(['bark', 'meow']);
    expect(await client.command('HGET', 'animals', 'dog')).toBe('bark');
    expect(await client.command('HGET', 'animals', 'not_found')).toBeNull();
  });

  test('XR-03 an error of the server passes unchanged and the connection goes on', async () => {
    const client = await fresh();
    await client.command('HMSET', 'animals', 'dog', 'bark');
    expect(await client.command('GET', 'animals'))
      .toEqual(new RespError('WRONGTYPE Operation against a key holding the wrong kind of value'));
    expect(await client.command('HGET', 'animals', 'dog')).toBe('bark');
  });

  test('XR-04 a value of 32 MiB of CRLF pairs comes back identical', async () => {
    const client = await RespClient.connect(proxy.port, { bulk: 'buffer', timeout: 15_000 });
    const value = Buffer.alloc(32 * 1024 * 1024, '\r\n');
    client.send(encodeCommand(['SET', 'big', value]));
    await client.read(1);
    const got = (await client.command('GET', 'big')) as Buffer;
    expect(got.equals(value)).toBe(true);
    await client.command('DEL', 'big');
    await client.close();
  });

  test('XR-05 180 connections that pipeline SET, GET, GET and four INCR get all replies in order', async () => {
    await (await fresh()).close();
    const clients = await Promise.all(Array.from({ length: 180 }, () => proxy.connect()));
    const replies = await Promise.all(clients.map((client, i) => client.pipeline([
      ['SET', `mark_${i}`, `value ${i}`], ['GET', `mark_${i}`], ['GET', 'counter'],
      ['INCR', 'counter'], ['INCR', 'counter'], ['INCR', 'counter'], ['INCR', 'counter'],
    ])));
    for (const [i, [set, get, , ...counts]] of replies.entries()) {
      expect([set, get]).toEqual(['OK', `value ${i}`]);
      // Commands of one pipeline run one behind the other, other clients may come between.
      const numbers = counts as number[];
      expect(numbers.every((n, at) => at === 0 || n > numbers[at - 1]!)).toBe(true);
    }
    const all = replies.flatMap((each) => each.slice(3) as number[]).toSorted((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: 720 }, (_, i) => i + 1));
    await Promise.all(clients.map((client) => client.close()));
  });
});

describe('faults', () => {
  test('XR-06 faults by command in any case, with a key that commands without keys ignore, are accepted', async () => {
    expect(await put({ conf: { faults: [{ delay: 0.01, key: 'ignored', commands: ['Ping', 'time'] }] } })).toBeLessThan(300);
  });

  test('XR-07 a pipeline is delayed by each of its faulty commands', async () => {
    const client = await fresh();
    expect(await timed(() => client.command('PING'))).toBeGreaterThanOrEqual(9.5);
    expect(await timed(() => client.command('TIME'))).toBeGreaterThanOrEqual(9.5);
    const both = await quickest(40, () => client.pipeline([['TIME'], ['TIME'], ['GET', 'A']]));
    expect(both).toBeGreaterThanOrEqual(19.5);
    expect(both).toBeLessThan(40);
  });

  test('XR-08 faults for one key and for any key of the same command are accepted', async () => {
    expect(await put({ conf: { faults: [
      { commands: ['get'], key: 'a', delay: 0.02 }, { commands: ['get', 'set'], delay: 0.01 },
    ] } })).toBeLessThan(300);
  });

  test('XR-09 the fault of a key wins over that of any key, and keys are compared byte by byte', async () => {
    const client = await fresh();
    expect(await timed(() => client.command('GET', 'a'))).toBeGreaterThanOrEqual(19.5);
    expect(await timed(() => client.command('SET', 'a', 'a'))).toBeGreaterThanOrEqual(9.5);
    const both = await quickest(40, () => client.pipeline([['GET', 'b'], ['SET', 'A', 'a']]));
    expect(both).toBeGreaterThanOrEqual(19.5);
    expect(both).toBeLessThan(40);
  });

  test('XR-10 faults for keys of commands with several keys are accepted', async () => {
    expect(await put({ conf: { faults: [
      { commands: ['del'], key: 'b', delay: 0.06 }, { commands: ['mset'], key: 'a', delay: 0.04 },
      { commands: ['mset'], key: 'b', delay: 0.02 },
    ] } })).toBeLessThan(300);
  });

  test.each(['lower', 'upper'])('XR-11 the first key with a fault decides, values are no keys (%s case)', async (letters) => {
    const client = await fresh();
    const command = (name: string, ...args: string[]): Promise<unknown> =>
      client.command(letters === 'upper' ? name.toUpperCase() : name, ...args);
    expect(await timed(() => command('mset', 'c', '1', 'a', '2', 'b', '3'))).toBeGreaterThanOrEqual(39.5);
    const b = await quickest(39, () => command('mset', 'b', '1', 'a', '2'));
    expect(b).toBeGreaterThanOrEqual(19.5);
    expect(b).toBeLessThan(39);
    expect(await quickest(19, () => command('mset', 'c', 'a'))).toBeLessThan(19);
    expect(await timed(() => command('del', 'a', 'b'))).toBeGreaterThanOrEqual(55);
  });
});

describe('pub/sub and the log', () => {
  const log_format = { line: '$redis_cmd_line' };
  const logged = (port: number): object => ({
    logger: [{ name: 'logger', conf: { udp: { host: '127.0.0.1', port }, log_format, batch_max_size: 1 } }],
  });
  const lines = (records: string[]): string[] => records.map((record) => (JSON.parse(record) as { line: string }).line);

  test('XR-12 subscribe, publish, read, unsubscribe, SET; the log has one line per command', async () => {
    await using sink = await udpLogSink();
    expect(await put(logged(sink.port))).toBeLessThan(300);
    const client = await fresh();
    const other = await proxy.connect();
    expect(await client.command('subscribe', 'dog')).toEqual(['subscribe', 'dog', 1]);
    expect(await client.command('subscribe', 'cat')).toEqual(['subscribe', 'cat', 2]);
    expect(await other.command('publish', 'dog', 'Hello')).toBe(1);
    expect(await client.read(1)).toEqual([['message', 'dog', 'Hello']]);
    expect((await client.readRaw({ idle: 50 })).toString()).toBe('');
    client.send(encodeCommand(['unsubscribe']));
    const gone = await client.read(2) as [string, string, number][];
    expect(gone.map(([kind, , left]) => [kind, left])).toEqual([['unsubscribe', 1], ['unsubscribe', 0]]);
    expect(gone.map(([, channel]) => channel).toSorted()).toEqual(['cat', 'dog']);
    expect(await client.command('set', 'dog', '1')).toBe('OK');
    expect(lines(await sink.wait(5))).toEqual(['subscribe dog', 'subscribe cat', 'publish dog Hello', 'unsubscribe', 'set dog 1']);
    await new Promise((resolve) => { setTimeout(resolve, 30); });
    expect(sink.records.length).toBe(5);
  });

  test('XR-13 psubscribe, publish, punsubscribe, SET; the log has one line per command', async () => {
    await using sink = await udpLogSink();
    expect(await put(logged(sink.port))).toBeLessThan(300);
    const client = await fresh();
    const other = await proxy.connect();
    client.send(encodeCommand(['psubscribe', 'dog*', 'cat*']));
    expect(await client.read(2)).toEqual([['psubscribe', 'dog*', 1], ['psubscribe', 'cat*', 2]]);
    expect(await other.command('publish', 'dog1', 'Hello')).toBe(1);
    expect(await client.read(1)).toEqual([['pmessage', 'dog*', 'dog1', 'Hello']]);
    client.send(encodeCommand(['punsubscribe', 'cat*', 'dog*']));
    expect(await client.read(2)).toEqual([['punsubscribe', 'cat*', 1], ['punsubscribe', 'dog*', 0]]);
    expect(await client.command('set', 'dog', '1')).toBe('OK');
    expect(lines(await sink.wait(4))).toEqual(['psubscribe dog* cat*', 'publish dog1 Hello', 'punsubscribe cat* dog*', 'set dog 1']);
    await new Promise((resolve) => { setTimeout(resolve, 30); });
    expect(sink.records.length).toBe(4);
  });
});

describe('requests that are none', () => {
  const seen = async (bytes: string): Promise<{ text: string; ended: boolean }> => {
    const client = await proxy.connect();
    client.send(bytes);
    const text = (await client.readRaw({ idle: 150 })).toString();
    return { text, ended: client.ended !== null };
  };

  test('XR-14 *-1 is ignored, as Redis does', async () => {
    expect(await seen('*-1\r\nPING\r\n')).toEqual({ text: '+PONG\r\n', ended: false });
  });

  test('XR-15 *1e9 is answered with a protocol error, then the connection closes', async () => {
    expect(await seen('*1e9\r\n')).toEqual({ text: '-ERR Protocol error: invalid multibulk length\r\n', ended: true });
  });

  test('XR-16 a negative length of the command is answered with a protocol error, then the connection closes', async () => {
    expect(await seen('*1\r\n$-1\r\n')).toEqual({ text: '-ERR Protocol error: invalid bulk length\r\n', ended: true });
  });

  test('XR-17 a negative length of an argument is answered with a protocol error, then the connection closes', async () => {
    expect(await seen('*2\r\n$3\r\nGET\r\n$-1\r\n'))
      .toEqual({ text: '-ERR Protocol error: invalid bulk length\r\n', ended: true });
  });
});

describe('log with a filter', () => {
  test('XR-18 the log format of the syslog plugin is set by its metadata', async () => {
    const { status } = await proxy.call('PUT', '/apisix/admin/plugin_metadata/syslog', {
      log_format: { rpc_time: '$rpc_time', redis_cmd_line: '$redis_cmd_line' },
    });
    expect(status).toBeLessThan(300);
  });

  test('XR-19 XR-20 only commands that took long enough are logged, with their command line', async () => {
    await using sink = await udpLogSink();
    expect(await put({
      conf: { faults: [{ delay: 0.01, commands: ['hmset', 'hmget', 'ping'] }] },
      logger: [{
        name: 'syslog', filter: [['rpc_time', '>=', 0.001]],
        conf: { host: '127.0.0.1', port: sink.port, sock_type: 'udp', batch_max_size: 1 },
      }],
    })).toBeLessThan(300);
    const client = await fresh();
    expect(await client.command('hmset', 'animals', 'dog', 'bark', 'cat', 'meow')).toBe('OK');
    expect(await client.command('hmget', 'animals', 'dog', 'cat')).toEqual(['bark', 'meow']);
    expect(await client.command('ping')).toBe('PONG');
    const records = (await sink.wait(3)).map((record) =>
      JSON.parse(record.slice(record.indexOf('{'))) as { rpc_time: number; redis_cmd_line: string });
    expect(records.map((record) => record.redis_cmd_line))
      .toEqual(['hmset animals dog bark cat meow', 'hmget animals dog cat', 'ping']);
    for (const { rpc_time: time } of records) {
      expect(time).toBeGreaterThanOrEqual(0.0095);
      expect(time).toBeLessThan(1);
    }
  });
});

describe('metrics per command', () => {
  const delays = { faults: [{ delay: 0.06, commands: ['hmset'] }, { delay: 0.3, commands: ['hmget'] }] };
  /** The value of one series; 0 when there is none. */
  const value = async (series: string): Promise<number> => {
    const line = (await proxy.metrics()).split('\n').find((each) => each.startsWith(`${series} `));
    return Number(line?.split(' ')[1] ?? 0);
  };
  const totals = async (): Promise<number[]> => Promise.all(['hmget', 'hmset'].map((command) =>
    value(`apisix_redis_commands_total{command="${command}",route="1"}`)));
  /** Seconds that each command took for its client. */
  const traffic = async (): Promise<{ hmset: number; hmget: number }> => {
    const client = await fresh();
    const hmset = await timed(async () => expect(await client.command('hmset', 'animals', 'dog', 'bark', 'cat', 'meow')).toBe('OK'));
    const hmget = await timed(async () => expect(await client.command('hmget', 'animals', 'dog', 'cat')).toEqual(['bark', 'meow']));
    await client.close();
    return { hmset: hmset / 1000, hmget: hmget / 1000 };
  };

  test('XR-21 XR-22 XR-23 with metric.enable each command is counted and timed', async () => {
    expect(await put({ metric: { enable: true }, conf: delays })).toBeLessThan(300);
    const took = await traffic();
    expect(await totals()).toEqual([1, 1]);
    const bucket = (command: string, le: string): Promise<number> =>
      value(`apisix_redis_commands_latency_seconds_bucket{command="${command}",route="1",le="${le}"}`);
    // In the bucket of the delay; a busy machine may add to it, but never more than the client saw.
    const around = (from: string[], seconds: number): string => from.find((le) => Number(le) >= seconds) ?? '+Inf';
    expect(await bucket('hmget', around(['0.5', '1'], took.hmget))).toBe(1);
    expect(await bucket('hmget', '0.2')).toBe(0);
    expect(await bucket('hmset', around(['0.1', '0.2', '0.5', '1'], took.hmset))).toBe(1);
    expect(await bucket('hmset', '0.05')).toBe(0);
  });

  test('XR-24 XR-25 without metric.enable the same traffic works and nothing is counted', async () => {
    const before = await totals();
    expect(await put({ conf: delays })).toBeLessThan(300);
    await traffic();
    expect(await totals()).toEqual(before);
  });

  test('XR-26 XR-27 XR-28 with metric.enable false nothing is counted', async () => {
    const before = await totals();
    expect(await put({ metric: { enable: false } })).toBeLessThan(300);
    await traffic();
    expect(await totals()).toEqual(before);
  });
});
