// Transactions, blocking commands, WAIT and logins of several clients at once.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand, RespError, type Value } from '../../support/resp.ts';
import { sleep } from '../../support/sleep.ts';

let redis: RedisServer;
let admin: RespClient;
let proxies: Record<'shared' | 'dedicated', Proxy>;
beforeAll(async () => {
  redis = await startRedis();
  admin = await RespClient.connect(redis.port);
  const route = { protocol: { name: 'redis', conf: { upstream_connection: 'dedicated' } } };
  proxies = {
    shared: await startProxy({ upstream: redis.port }), dedicated: await startProxy({ upstream: redis.port, route }),
  };
});
afterAll(async () => {
  await proxies.shared[Symbol.asyncDispose]();
  await proxies.dedicated[Symbol.asyncDispose]();
  await admin.close();
  await redis.stop();
});

const text = (value: Value | undefined): string => (value instanceof RespError ? value.text : JSON.stringify(value));

/** The server's connections that are blocked in this command. */
async function running(command: string): Promise<number> {
  const list = String(await admin.command('CLIENT', 'LIST'));
  return list.split('\n').filter((line) => line.includes(` cmd=${command} `) && / flags=\w*b/.test(line)).length;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (await holds()) return;
    await sleep(5);
  }
  throw new Error('expected it to hold within 5 s');
}

describe.each(['shared', 'dedicated'] as const)('%s links', (mode) => {
  const connect = (): Promise<RespClient> => proxies[mode].connect();

  test('a key that another client changes fails the transaction that watches it', async () => {
    const [one, two] = await Promise.all([connect(), connect()]);
    await one.command('SET', 'w', '1');
    await one.command('WATCH', 'w');
    expect(await one.command('GET', 'w')).toBe('1');
    await two.command('SET', 'w', '2');
    expect(await one.pipeline([['MULTI'], ['SET', 'w', '3'], ['EXEC'], ['GET', 'w']])).toEqual(['OK', 'QUEUED', null, '2']);
    await one.command('WATCH', 'w');
    expect(await one.pipeline([['MULTI'], ['SET', 'w', '3'], ['EXEC'], ['GET', 'w']])).toEqual(['OK', 'QUEUED', ['OK'], '3']);
  });

  test('50 clients that count with WATCH lose no update', async () => {
    await admin.command('SET', `count:${mode}`, '0');
    const clients = await Promise.all(Array.from({ length: 50 }, connect));
    await Promise.all(clients.map(async (client) => {
      for (let done = 0; done < 2;) {
        await client.command('WATCH', `count:${mode}`);
        const now = Number(await client.command('GET', `count:${mode}`));
        const replies = await client.pipeline([['MULTI'], ['SET', `count:${mode}`, now + 1], ['EXEC']]);
        if (replies[2] !== null) done++;
      }
      await client.close();
    }));
    expect(await admin.command('GET', `count:${mode}`)).toBe('100');
  }, 20_000);

  test('a transaction sees no command of another client between its own', async () => {
    const [one, two] = await Promise.all([connect(), connect()]);
    await one.command('MULTI');
    await one.command('INCR', `between:${mode}`);
    expect(await two.command('INCR', `between:${mode}`)).toBe(1);
    expect(await two.command('EXEC')).toEqual(new RespError('ERR EXEC without MULTI'));
    expect(await one.command('EXEC')).toEqual([2]);
  });

  const blocking: readonly (readonly [command: readonly string[], wakes: readonly string[], answer: RegExp])[] = [
    [['BLPOP', 'b:l', '0'], ['RPUSH', 'b:l', 'x'], /^\["b:l","x"\]$/],
    [['BRPOP', 'b:l', 'b:m', '0'], ['RPUSH', 'b:m', 'x'], /^\["b:m","x"\]$/],
    [['BLMOVE', 'b:l', 'b:to', 'LEFT', 'RIGHT', '0'], ['RPUSH', 'b:l', 'x'], /^"x"$/],
    [['BRPOPLPUSH', 'b:l', 'b:to', '0'], ['RPUSH', 'b:l', 'x'], /^"x"$/],
    [['BLMPOP', '0', '2', 'b:l', 'b:m', 'LEFT'], ['RPUSH', 'b:m', 'x'], /^\["b:m",\["x"\]\]$/],
    [['BZPOPMIN', 'b:z', '0'], ['ZADD', 'b:z', '1', 'x'], /^\["b:z","x","1"\]$/],
    [['BZPOPMAX', 'b:z', '0'], ['ZADD', 'b:z', '1', 'x'], /^\["b:z","x","1"\]$/],
    [['BZMPOP', '0', '1', 'b:z', 'MIN'], ['ZADD', 'b:z', '1', 'x'], /^\["b:z",\[\["x","1"\]\]\]$/],
    [['XREAD', 'BLOCK', '0', 'STREAMS', 'b:s', '$'], ['XADD', 'b:s', '*', 'f', 'v'], /^\[\["b:s",/],
    [['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '0', 'STREAMS', 'b:g', '>'], ['XADD', 'b:g', '*', 'f', 'v'], /^\[\["b:g",/],
  ];

  test.each(blocking)('%j waits alone, is woken, and is cancelled when its client goes', async (command, wakes, answer) => {
    await admin.command('FLUSHALL');
    await admin.command('XGROUP', 'CREATE', 'b:g', 'g', '$', 'MKSTREAM');
    const name = command[0]!.toLowerCase();
    const client = await connect();
    const other = await connect();
    client.send(Buffer.concat([encodeCommand(command), encodeCommand(['ECHO', 'behind'])]));
    await until(async () => (await running(name)) === 1);
    expect(await other.command('ECHO', 'free')).toBe('free');
    await other.command(...wakes);
    const [reply, behind] = await client.read(2);
    expect(text(reply)).toMatch(answer);
    expect(behind).toBe('behind');
    client.send(encodeCommand(command));
    await until(async () => (await running(name)) === 1);
    await client.close();
    await until(async () => (await running(name)) === 0);
    await admin.command(...wakes);
    const type = await admin.command('TYPE', wakes[1]!);
    // Nobody took it away.
    expect(type).not.toBe('none');
  });

  test('a blocked client that resets, or ends its side, frees its link', async () => {
    for (const leave of ['reset', 'end'] as const) {
      const client = await connect();
      client.send(encodeCommand(['BLPOP', 'b:never', '0']));
      await until(async () => (await running('blpop')) === 1);
      client[leave]();
      await until(async () => (await running('blpop')) === 0);
    }
  });

  test('a blocking command outlives the reply timeout of its route', async () => {
    await proxies[mode].put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 }, timeout: { connect: 1, send: 1, read: 0.2 } },
      protocol: { name: 'redis', conf: mode === 'dedicated' ? { upstream_connection: 'dedicated' } : {} },
    });
    const client = await connect();
    client.send(encodeCommand(['BLPOP', 'b:later', '0']));
    await sleep(700);
    await admin.command('RPUSH', 'b:later', 'x');
    expect(await client.read(1)).toEqual([['b:later', 'x']]);
    expect(await client.command('BLPOP', 'b:later', '0.4')).toBeNull();
  });
});

test('WAIT behind a write tells the truth about a replica that stopped', async () => {
  await using replica = await startRedis(['--replicaof', '127.0.0.1', String(redis.port)]);
  await using direct = await RespClient.connect(replica.port);
  for (let i = 0; i < 400; i++) {
    if (String(await direct.command('INFO', 'replication')).includes('master_link_status:up')) break;
    await sleep(20);
  }
  const client = await proxies.shared.connect();
  await client.command('SET', 'waited', '1');
  expect(await client.command('WAIT', '1', '3000')).toBe(1);
  replica.process.kill('SIGSTOP');
  await client.command('SET', 'waited', '2');
  expect(await client.command('WAIT', '1', '150')).toBe(0);
  expect(await client.pipeline([['SET', 'waited', '3'], ['WAIT', '1', '150'], ['GET', 'waited']])).toEqual(['OK', 0, '3']);
  replica.process.kill('SIGCONT');
}, 30_000);

test('a login serves its own client and nobody else, also when it fails later', async () => {
  await using locked = await startRedis(['--requirepass', 'right']);
  await using proxy = await startProxy({ upstream: locked.port });
  const [known, stranger] = await Promise.all([proxy.connect(), proxy.connect()]);
  const refused = new RespError('NOAUTH Authentication required.');
  expect(await known.command('GET', 'a')).toEqual(refused);
  expect(text(await known.command('AUTH', 'wrong'))).toMatch(/^WRONGPASS/);
  expect(await known.command('GET', 'a')).toEqual(refused);
  expect(await known.command('AUTH', 'right')).toBe('OK');
  expect(await known.command('GET', 'a')).toBeNull();
  expect(text(await known.command('AUTH', 'wrong'))).toMatch(/^WRONGPASS/);
  expect(await known.command('GET', 'a')).toBeNull();
  expect(await stranger.command('GET', 'a')).toEqual(refused);
  expect(await stranger.pipeline([['MULTI'], ['SET', 'a', '1'], ['EXEC']])).toEqual([refused, refused,
    new RespError('EXECABORT Transaction discarded because of: NOAUTH Authentication required.')]);
  const hello = await stranger.command('HELLO', '3', 'AUTH', 'default', 'right', 'SETNAME', 'me');
  expect(hello).toBeInstanceOf(Map);
  expect((hello as Map<Value, Value>).get('id')).toBe(await stranger.command('CLIENT', 'ID'));
  expect(await stranger.command('CLIENT', 'GETNAME')).toBe('me');
  expect(await stranger.pipeline([['MULTI'], ['SET', 'a', '1'], ['EXEC']])).toEqual(['OK', 'QUEUED', ['OK']]);
  expect(await known.command('RESET')).toBe('RESET');
  expect(await known.command('GET', 'a')).toEqual(refused);
});

test('CLIENT LIST and INFO show the clients of the proxy as they are', async () => {
  const client = await proxies.shared.connect();
  await client.pipeline([['CLIENT', 'SETNAME', 'lister'], ['CLIENT', 'SETINFO', 'lib-name', 'lib'], ['SELECT', '3'],
    ['CLIENT', 'NO-EVICT', 'ON']]);
  const id = await client.command('CLIENT', 'ID') as number;
  const info = String(await client.command('CLIENT', 'INFO'));
  expect(info).toMatch(new RegExp(`^id=${id} addr=127\\.0\\.0\\.1:${client.localPort} .* name=lister .* flags=e db=3 .* lib-name=lib `));
  const other = await proxies.shared.connect();
  expect(await other.command('CLIENT', 'GETNAME')).toBeNull();
  const lines = String(await other.command('CLIENT', 'LIST')).trim().split('\n');
  expect(lines.filter((line) => line.includes('name=lister'))).toHaveLength(1);
  expect(String(await other.command('CLIENT', 'LIST', 'ID', String(id)))).toContain('name=lister');
  await other.command('MULTI');
  expect(String(await client.command('CLIENT', 'LIST'))).toMatch(/flags=x .* multi=0/);
});

describe('commands that would harm others', () => {
  const harmful: readonly (readonly string[])[] = [
    ['DEBUG', 'SLEEP', '0'], ['SHUTDOWN', 'NOSAVE'], ['REPLICAOF', 'NO', 'ONE'], ['SLAVEOF', 'NO', 'ONE'], ['FAILOVER'],
    ['CLIENT', 'KILL', 'TYPE', 'normal'], ['CLIENT', 'PAUSE', '1000'], ['client', 'unblock', '1'], ['MIGRATE', 'h', '1', 'k', '0', '1'],
    ['MODULE', 'LOAD', '/x'], ['SCRIPT', 'KILL'], ['FUNCTION', 'KILL'], ['CLUSTER', 'RESET'], ['SYNC'], ['PSYNC', '?', '-1'],
    ['REPLCONF', 'ack', '1'],
  ];

  test.each(harmful)('%s %s is refused with the setting that allows it', async (...words) => {
    const command = words.filter((word) => word !== undefined);
    const client = await proxies.shared.connect();
    expect(text(await client.command(...command))).toMatch(/protocol\.conf\.allow_commands|never passed on/);
    expect(await client.pipeline([['MULTI'], command, ['DISCARD']])).toEqual(['OK', expect.any(RespError), 'OK']);
    expect(await client.command('PING')).toBe('PONG');
  });

  test('a route allows them by name, with or without a subcommand; replication never', async () => {
    const conf = { allow_commands: ['debug', 'client kill', 'SCRIPT|KILL'] };
    await using proxy = await startProxy({ upstream: redis.port, route: { protocol: { name: 'redis', conf } } });
    const client = await proxy.connect();
    expect(await client.command('DEBUG', 'SLEEP', '0')).toBe('OK');
    expect(await client.command('CLIENT', 'KILL', 'ID', '999999999')).toBe(0);
    expect(text(await client.command('SCRIPT', 'KILL'))).toMatch(/^NOTBUSY/);
    expect(text(await client.command('CLIENT', 'PAUSE', '1'))).toMatch(/allow_commands: \["client pause"\] allows it$/);
    expect(text(await client.command('SYNC'))).toMatch(/never passed on/);
  });

  test('a route that would allow replication is refused when it is written', async () => {
    await using proxy = await startProxy();
    const answer = await proxy.call('PUT', '/apisix/admin/stream_routes/2', {
      upstream: { type: 'memory' }, protocol: { name: 'redis', conf: { allow_commands: ['debug', 'SYNC', 'cluster syncslots'] } },
    });
    expect([answer.status, answer.body.errors.map((each: { message: string }) => each.message)]).toEqual([400, [
      'protocol.conf.allow_commands[1]: expected a command that a proxy can pass on, got "SYNC"',
      'protocol.conf.allow_commands[2]: expected a command that a proxy can pass on, got "cluster syncslots"',
    ]]);
  });

  test('a dedicated route allows all but replication', async () => {
    const client = await proxies.dedicated.connect();
    expect(await client.command('DEBUG', 'SLEEP', '0')).toBe('OK');
    expect(await client.command('CLIENT', 'UNPAUSE')).toBe('OK');
    expect(text(await client.command('PSYNC', '?', '-1'))).toMatch(/never passed on/);
  });
});
