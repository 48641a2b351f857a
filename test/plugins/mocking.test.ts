// mocking and request-id, on Redis and on the line protocol.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import requestId from '../../plugins/request-id.ts';
import { connectLines } from '../support/line-client.ts';
import { startLineProxy } from '../support/line-proxy.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { LineRequest } from '../support/line-request.ts';
import { startNamed } from '../support/named-server.ts';
import { setUp, testContext } from '../support/plugin-context.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(() => redis.stop());

const mocking = (...rules: readonly object[]): Record<string, unknown> => ({ mocking: { rules } });
const start = (plugins: object): Promise<Proxy> => startProxy({ upstream: redis.port, route: { plugins } });
const refusal = async (proxy: Proxy, value: object): Promise<unknown> => {
  const { status, body } = await proxy.call('PUT', '/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' }, ...value,
  });
  return [status, body.error_msg];
};

/** What comes back on the wire for one command. */
async function wire(proxy: Proxy, line: string, hello = false): Promise<string> {
  const client = await proxy.connect();
  if (hello) await client.command('HELLO', '3');
  client.send(line);
  const bytes = await client.readRaw({ idle: 50 });
  await client.close();
  return String(bytes);
}

describe('mocking on Redis', () => {
  test.each<[unknown, string, string]>([
    ['text ü', '$7\r\ntext ü\r\n', '$7\r\ntext ü\r\n'],
    ['', '$0\r\n\r\n', '$0\r\n\r\n'],
    [-5, ':-5\r\n', ':-5\r\n'],
    [0.5, '$3\r\n0.5\r\n', ',0.5\r\n'],
    [true, ':1\r\n', '#t\r\n'],
    [null, '$-1\r\n', '_\r\n'],
    [[], '*0\r\n', '*0\r\n'],
    [['a', [1, null]], '*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n', '*2\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n'],
    [{ status: 'FINE' }, '+FINE\r\n', '+FINE\r\n'],
    [{ error: 'OOM not now\r\n+OK' }, '-OOM not now  +OK\r\n', '-OOM not now  +OK\r\n'],
    [{ error: 'no' }, '-ERR no\r\n', '-ERR no\r\n'],
    [{ map: { a: 1 } }, '*2\r\n$1\r\na\r\n:1\r\n', '%1\r\n$1\r\na\r\n:1\r\n'],
  ])('%j reaches a client of RESP2 and of RESP3 as it should', async (reply, two, three) => {
    await using proxy = await start(mocking({ commands: ['GET'], reply }));
    expect(await wire(proxy, 'GET a\r\n')).toBe(two);
    expect(await wire(proxy, 'GET a\r\n', true)).toBe(three);
  });

  test.each<[unknown, string]>([
    [{ other: 1 }, 'rules[0].reply: expected a text, number, boolean'],
    [{ status: 'a', error: 'b' }, 'rules[0].reply: expected a text, number, boolean'],
    [[1, { map: [] }], 'rules[0].reply[1]: expected'],
    [1e300, 'an integer of at most 53 bits'],
  ])('%j is refused, with its place', async (reply, text) => {
    await using proxy = await start({});
    expect(await refusal(proxy, { plugins: mocking({ reply }) })).toEqual([400, expect.stringContaining(text)]);
  });

  test('rules by command, key and variable: the first that fits answers, in its place; the rest reaches the server', async () => {
    await using proxy = await start(mocking(
      { commands: ['get'], keys: ['mock:*'], reply: 'first' },
      { vars: [[['redis_db', '==', 3]]], error: 'db $redis_db of $command' },
      { commands: ['get', 'incr'], keys: ['mock:1', 'n'], delay: 0.05, reply: 7 },
    ));
    const client = await proxy.connect();
    const began = performance.now();
    const answers = await client.pipeline([['SET', 'a', '1'], ['GET', 'mock:1'], ['GET', 'a'], ['INCR', 'n'], ['GET', 'a'], ['MGET', 'mock:1', 'a'], ['PING']]);
    expect(answers).toEqual(['OK', 'first', '1', 7, '1', [null, '1'], 'PONG']);
    expect(performance.now() - began).toBeGreaterThan(49);
    await client.command('SELECT', '3');
    expect(await client.command('GET', 'x')).toMatchObject({ text: 'ERR db 3 of get' });
    await proxy.put('/apisix/admin/stream_routes/1', { upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' } });
    expect(await (await proxy.connect()).command('GET', 'n')).toBe(null);
    expect(await proxy.metrics()).not.toContain('mocking_answers_total{');
  });

  test('a mocked command inside MULTI is answered at once, and the transaction runs without it', async () => {
    await using proxy = await start(mocking({ commands: ['get'], reply: 'mocked' }));
    const client = await proxy.connect();
    expect(await client.pipeline([['MULTI'], ['SET', 'm', '1'], ['GET', 'm'], ['INCR', 'm'], ['EXEC'], ['DEL', 'm']]))
      .toEqual(['OK', 'QUEUED', 'mocked', 'QUEUED', ['OK', 2], 1]);
  });

  test('a part of the requests, and how many, on the metrics page', async () => {
    await using proxy = await start(mocking({ commands: ['get'], percentage: 30, reply: 'mocked' }));
    const client = await proxy.connect();
    const answers = await client.pipeline(Array.from({ length: 2000 }, () => ['GET', 'nothing']));
    const mocked = answers.filter((each) => each === 'mocked').length;
    expect(mocked).toBeGreaterThan(480);
    expect(mocked).toBeLessThan(720);
    expect(answers.length - mocked).toBe(answers.filter((each) => each === null).length);
    expect(await proxy.metrics()).toContain(`millrace_mocking_answers_total{plugin="mocking",route="1"} ${mocked}\n`);
  });

  test('a client that leaves during a delay leaves nothing behind', async () => {
    await using proxy = await start(mocking({ commands: ['get'], delay: 30, reply: 'late' }));
    const client = await proxy.connect();
    client.send('GET a\r\n');
    await expect.poll(() => proxy.metrics()).toMatch(/mocking_answers_total\{.*\} 1\n/);
    client.reset();
    await expect.poll(() => proxy.metrics()).toMatch(/millrace_connections_closed_total\{reason="CLIENT_RESET"\} 1\n/);
  });
});

describe('mocking elsewhere', () => {
  test('an error is for every protocol; a reply is refused where there is none', async () => {
    await using node = await startLineUpstream();
    await using proxy = await startLineProxy({ nodes: [node.port] });
    await proxy.route({ plugins: mocking({ commands: ['get'], keys: ['b'], error: 'no $key' }) });
    const client = await proxy.dial();
    client.send('get a\nget b\nget c\n');
    expect(await client.read(3)).toEqual(['get a!', '-FAULT_INJECTED no b', 'get c!']);
    await expect(proxy.route({ plugins: mocking({ reply: 'x' }) })).rejects.toThrow('protocol line has no replies that can be configured');
  });

  test('on plain TCP it has no effect', async () => {
    await using server = await startNamed('n');
    await using proxy = await startProxy({ route: null, settings: { listeners: [{ port: await freePort() }] } });
    await proxy.put('/apisix/admin/stream_routes/1', { upstream: { nodes: { [server.address]: 1 } }, plugins: mocking({ reply: 'x' }) });
    await using client = await connectLines(proxy.port);
    expect(await client.line()).toBe('n');
  });
});

describe('request-id', () => {
  const v7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

  test('one request has one id for all who read it, and no two have the same', async () => {
    await using proxy = await start({});
    const path = (name: string): string => join(proxy.folder, name);
    const log = (name: string): object => ({ file: { path: path(name) }, batch_max_size: 1000, inactive_timeout: 0.1, log_format: { id: '$request_id', k: '$key' } });
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } },
      protocol: { name: 'redis', logger: [{ name: 'logger', conf: log('b') }] },
      plugins: {
        'request-id': {}, 'logger': log('a'),
        // Reads it first, of every request, and lets them pass.
        'fault-injection': { abort: { error: 'x', vars: [[['request_id', '==', 'none']]] } },
      },
    });
    const client = await proxy.connect();
    await client.pipeline(Array.from({ length: 500 }, (_, i) => ['GET', `k${i}`]));
    const read = async (name: string): Promise<{ id: string; k: string }[]> =>
      (await readFile(path(name), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as { id: string; k: string });
    await expect.poll(async () => [(await read('a')).length, (await read('b')).length]).toEqual([500, 500]);
    const [a, b] = [await read('a'), await read('b')];
    expect(a).toEqual(b);
    expect(new Set(a.map(({ id }) => id)).size).toBe(500);
    for (const { id } of a) expect(id).toMatch(v7);
  });

  test('a client reads the id that the record has, on the line protocol, too', async () => {
    await using node = await startLineUpstream();
    await using proxy = await startLineProxy({ nodes: [node.port] });
    await proxy.route({ plugins: { 'request-id': { algorithm: 'counter' }, 'fault-injection': { commands: ['get'], abort: { error: '$request_id' } } } });
    const client = await proxy.dial();
    client.send('get a\nget b\n');
    const [first, second] = await client.read(2);
    expect(first).toMatch(/^-FAULT_INJECTED [0-9a-f]{8}-1$/);
    expect(second).toBe(first!.replace(/1$/, '2'));
  });

  test.each<[object, RegExp]>([
    [{}, v7], [{ algorithm: 'nanoid' }, /^[\w-]{21}$/], [{ algorithm: 'counter' }, /^[0-9a-f]{8}-1$/],
    [{ algorithm: 'range_id' }, /^[A-Za-z0-9]{16}$/], [{ algorithm: 'range_id', range_id: { char_set: 'äbcdef', length: 40 } }, /^[äbcdef]{40}$/],
  ])('%j makes ids of its kind, when they are read', (conf, form) => {
    const context = testContext();
    const hooks = setUp(requestId, conf, context);
    const read = context.provided['request_id']!;
    expect(hooks.status!()).toEqual({ made: 0 });
    const [one, two] = [new LineRequest('get a'), new LineRequest('get a')];
    expect(read(one)).toMatch(form);
    expect(read(one)).toBe(read(one));
    expect(read(two)).not.toBe(read(one));
    expect(hooks.status!()).toEqual({ made: 2 });
  });

  test('uuids of later milliseconds sort behind', async () => {
    const context = testContext();
    setUp(requestId, {}, context);
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      ids.push(context.provided['request_id']!(new LineRequest('get a')));
      await new Promise((resolve) => { setTimeout(resolve, 3); });
    }
    expect(ids.toSorted()).toEqual(ids);
  });
});
