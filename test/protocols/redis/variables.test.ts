// What filters and logs know of a command, on every way that a command can take; and what they must never show.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tcpLogSink } from '../../support/log-sinks.ts';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand } from '../../support/resp.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(() => redis.stop());

const log_format = {
  line: '$redis_cmd_line', command: '$command', key: '$key', keys: '$keys', in: '$bytes_in', out: '$bytes_out', node: '$upstream_addr',
  client: '$remote_addr', route: '$route_id', outcome: '$outcome', took: '$rpc_time',
};

async function logging(conf: object): Promise<{ proxy: Proxy; sink: Awaited<ReturnType<typeof tcpLogSink>> } & AsyncDisposable> {
  const sink = await tcpLogSink();
  const proxy = await startProxy({
    upstream: redis.port, route: {
      protocol: { name: 'redis', conf, logger: [{ name: 'logger', conf: { tcp: { host: '127.0.0.1', port: sink.port }, log_format, batch_max_size: 1 } }] },
    },
  });
  return { proxy, sink, async [Symbol.asyncDispose]() { await proxy[Symbol.asyncDispose](); await sink[Symbol.asyncDispose](); } };
}

describe.each(['shared', 'dedicated'])('on %s links', (upstream_connection) => {
  test('each command is told with its sizes, node and outcome, whichever way it went', async () => {
    await using on = await logging({ upstream_connection, faults: [{ commands: ['incr'], error: 'ERR fault' }] });
    const client = await on.proxy.connect();
    const node = `127.0.0.1:${redis.port}`;
    const big = 'v'.repeat(3_000_000);
    const calls: [args: string[], row: Record<string, unknown>][] = [
      [['SET', 'a', '1'], { command: 'set', key: 'a', outcome: 'ok', node, out: 5 }],
      [['GET', 'a'], { command: 'get', key: 'a', outcome: 'ok', node, out: 7 }],
      [['MGET', 'a', 'b'], { command: 'mget', key: 'a', keys: 'a,b', outcome: 'ok', node }],
      [['LPUSH', 'a', 'x'], { command: 'lpush', key: 'a', outcome: 'error', node }],
      [['SET', 'big', big], { command: 'set', key: 'big', outcome: 'ok', node, out: 5 }],
      [['GET', 'big'], { command: 'get', key: 'big', outcome: 'ok', node, out: 3_000_000 + 12 }],
      [['BLPOP', 'none', '0.01'], { command: 'blpop', key: 'none', outcome: 'ok', node, out: 5 }],
      [['MULTI'], { command: 'multi', key: '', outcome: 'ok', node, out: 5 }],
      [['INCRBY', 'n', '2'], { command: 'incrby', key: 'n', outcome: 'ok', node, out: 9 }],
      [['EXEC'], { command: 'exec', key: '', outcome: 'ok', node, out: 8 }],
      [['CLIENT', 'ID'], { command: 'client', key: '', outcome: 'ok', node: '' }],
      [['INCR', 'a'], { command: 'incr', key: 'a', outcome: 'fault_injected', node: '', out: 12 }],
      [['EVAL', 'return 1', '2', 'k1', 'k2'], { command: 'eval', key: 'k1', keys: 'k1,k2', outcome: 'ok', node, out: 4 }],
      [['NOPE', 'x'], { command: 'nope', key: '', outcome: 'error' }],
    ];
    for (const [args] of calls) await client.command(...args);
    const rows = (await on.sink.wait(calls.length)).map((text) => JSON.parse(text) as Record<string, unknown>);
    for (const [i, [args, wanted]] of calls.entries()) {
      const row = rows[i]!;
      expect(row).toMatchObject({ ...wanted, in: encodeCommand(args).length, client: '127.0.0.1', route: '1', took: expect.any(Number) });
      expect(String(row['line'])).toMatch(new RegExp(`^${args[0]!.toLowerCase()}\\b`));
      expect(String(row['line']).length).toBeLessThan(300);
    }
    expect(rows[6]!['took']).toBeGreaterThan(0.008);
  });

  test('no secret is in a record, however its command was typed and whatever became of it', async () => {
    await using on = await logging({ upstream_connection, allow_commands: ['migrate', 'module', 'debug'] });
    const words = [
      'AUTH hush', 'auth someone hush', 'AUTH a b hush', 'HELLO 3 AUTH default hush', 'HELLO 3 AUTH default hush SETNAME me', 'HELLO AUTH u hush',
      'CONFIG SET masterauth hush', 'CONFIG SET maxmemory 0 masterauth hush', 'config set MASTERUSER hush', 'CONFIG SET requirepass',
      'CONFIG SET tls-key-file-pass hush', 'ACL SETUSER bob on >hush ~* +@all', 'ACL SETUSER bob <hush', 'ACL SETUSER bob #hush', 'ACL SETUSER bob !hush',
      'MIGRATE 127.0.0.1 1 k 0 1 AUTH hush', 'MIGRATE 127.0.0.1 1 "" 0 1 AUTH2 u hush KEYS k', 'MIGRATE 127.0.0.1 1 k 0 1 COPY REPLACE AUTH hush',
      'ACL DRYRUN default AUTH hush', 'COMMAND GETKEYS MIGRATE h 1 k 0 1 AUTH hush', 'MODULE LOADEX /none CONFIG m.password hush',
      'SENTINEL SET m auth-pass hush',
    ];
    const split = (line: string): string[] => line.split(' ').map((word) => (word === '""' ? '' : word));
    // As arrays, inline, inside a transaction, and cut at every place.
    const client = await on.proxy.connect();
    for (const line of words) {
      await client.command(...split(line));
      client.send(`${line}\r\n`);
      await client.read(1);
    }
    const other = await on.proxy.connect();
    await other.pipeline([['MULTI'], ...words.slice(6).map(split), ['DISCARD']]);
    const sliced = await on.proxy.connect();
    for (const line of words.slice(0, 12)) {
      for (const byte of encodeCommand(split(line))) {
        sliced.send(Buffer.of(byte));
        await new Promise((done) => { setImmediate(done); });
      }
      await sliced.read(1);
    }
    const total = words.length * 2 + words.length - 6 + 2 + 12;
    const records = await on.sink.wait(total);
    expect(records.filter((text) => text.includes('hush'))).toEqual([]);
    expect(records.filter((text) => text.includes('(redacted)')).length).toBeGreaterThan(total * 0.8);
    // What is no secret stays readable.
    expect(records.join('\n')).toContain('acl SETUSER bob on (redacted) ~* +@all');
    expect(JSON.stringify(on.proxy.records)).not.toContain('hush');
    expect(await on.proxy.metrics()).not.toContain('hush');
    const list = String(await client.command('CLIENT', 'LIST'));
    expect(list).not.toContain('hush');
    await using direct = await RespClient.connect(redis.port);
    await direct.pipeline([['CONFIG', 'SET', 'masterauth', '', 'masteruser', '', 'tls-key-file-pass', ''], ['ACL', 'DELUSER', 'bob']]);
  });
});
