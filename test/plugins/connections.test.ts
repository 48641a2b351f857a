// ip-restriction and limit-conn: who gets in, with Redis and with plain TCP.
import { once } from 'node:events';
import { connect as dial } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectLines } from '../support/line-client.ts';
import { startLineProxy } from '../support/line-proxy.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { startMillrace } from '../support/millrace-process.ts';
import { startNamed } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { RespError } from '../support/resp.ts';
import { clientsByWorker } from '../support/worker-clients.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(async () => { await redis[Symbol.asyncDispose](); });

/** What a connection gets for a PING: the answer, an error, or nothing before it is closed. */
async function ping(proxy: Proxy, from = '127.0.0.1'): Promise<string> {
  const socket = dial({ port: proxy.port, host: '127.0.0.1', localAddress: from });
  socket.on('error', () => undefined);
  socket.write('PING\r\n');
  let text = '';
  socket.on('data', (bytes) => {
    text += String(bytes);
    if (text.includes('PONG')) socket.destroy();
  });
  await once(socket, 'close');
  return text;
}

const textOf = (answer: unknown): unknown => (answer instanceof RespError ? answer.text : answer);

const plugin = (name: string, conf: unknown): Record<string, unknown> => ({ plugins: { [name]: conf }, protocol: { name: 'redis' } });

describe('ip-restriction', () => {
  test('SR-50 a client of the blacklist is refused, one of the whitelist is proxied', async () => {
    await using proxy = await startProxy({ upstream: redis.port, route: plugin('ip-restriction', { blacklist: ['127.0.0.0/24'] }) });
    expect(await ping(proxy)).toBe('-ERR Your IP address is not allowed\r\n');
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, ...plugin('ip-restriction', { whitelist: ['127.0.0.1', '::1'], message: 'go away' }),
    });
    expect([await ping(proxy), await ping(proxy, '127.0.0.2')]).toEqual(['+PONG\r\n', '-ERR go away\r\n']);
    expect(await proxy.metrics()).toMatch(/ip_restriction_refused_total\{plugin="ip-restriction",route="1"\} 2\n/);
  });

  test('SR-50 on plain TCP a refused connection is closed without a byte, and nothing reaches the node', async () => {
    await using proxy = await startProxy({ route: null });
    const upstream = { nodes: { [`127.0.0.1:${redis.port}`]: 1 } };
    await proxy.put('/apisix/admin/stream_routes/1', { upstream, plugins: { 'ip-restriction': { whitelist: ['10.0.0.0/8'] } } });
    expect(await ping(proxy)).toBe('');
    await proxy.put('/apisix/admin/stream_routes/1', { upstream, plugins: { 'ip-restriction': { blacklist: ['10.0.0.0/8'] } } });
    expect(await ping(proxy)).toBe('+PONG\r\n');
  });

  test('SR-51 neither list, both, and what is no address are refused when it is written', async () => {
    await using proxy = await startProxy({ route: null });
    const refusal = async (conf: unknown): Promise<string> => (await proxy.call('PUT', '/apisix/admin/stream_routes/1', {
      upstream: { type: 'memory' }, ...plugin('ip-restriction', conf),
    })).body.error_msg as string;
    expect(await refusal({})).toContain(
      'failed to check the configuration of stream plugin [ip-restriction]: value should match only one schema, but matches none');
    expect(await refusal({ whitelist: ['::1'], blacklist: ['::1'] })).toContain('matches both');
    expect(await refusal({ whitelist: ['10.0.0.256'] })).toContain('invalid ip address: 10.0.0.256');
  });
});

describe('limit-conn', () => {
  const conf = { conn: 2, burst: 1, default_conn_delay: 0.3, key: 'remote_addr' };

  test('SR-52 SR-54 up to conn pass, burst waits, more are refused, and each that ends makes room', async () => {
    await using proxy = await startProxy({ upstream: redis.port, route: plugin('limit-conn', conf) });
    const one = await proxy.connect();
    const two = await proxy.connect();
    expect([await one.command('PING'), await two.command('PING')]).toEqual(['PONG', 'PONG']);
    const began = performance.now();
    const three = await proxy.connect();
    expect(await three.command('PING')).toBe('PONG');
    expect(performance.now() - began).toBeGreaterThan(299);
    expect(await ping(proxy)).toBe('-ERR too many connections\r\n');
    // Another key has its own.
    expect(await ping(proxy, '127.0.0.2')).toBe('+PONG\r\n');
    await Promise.all([one.close(), two.close()]);
    // The first attempt that finds room.
    await expect.poll(() => ping(proxy)).toBe('+PONG\r\n');
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, ...plugin('limit-conn', { ...conf, burst: 0, conn: 1 }),
    });
    // A reload forgets nobody: the third client is still there.
    expect(await ping(proxy)).toBe('-ERR too many connections\r\n');
    await three.close();
    await expect.poll(() => ping(proxy)).toBe('+PONG\r\n');
    expect(proxy.records.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  test('SR-53 the key is a combination, or the client address where it reads as empty', async () => {
    const combined = { ...conf, conn: 1, burst: 0, key: '$remote_addr:$server_port', key_type: 'var_combination' };
    await using proxy = await startProxy({ upstream: redis.port, route: plugin('limit-conn', combined) });
    const one = await proxy.connect();
    await one.command('PING');
    expect([await ping(proxy), await ping(proxy, '127.0.0.2')]).toEqual(['-ERR too many connections\r\n', '+PONG\r\n']);
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, ...plugin('limit-conn', { ...combined, key: 'user', key_type: 'var' }),
    });
    const two = await proxy.connect();
    expect(await two.command('PING')).toBe('PONG');
    expect([await ping(proxy), await ping(proxy, '127.0.0.2')]).toEqual(['-ERR too many connections\r\n', '+PONG\r\n']);
    const said = proxy.records.filter(({ msg }) => msg === 'the key reads as empty: the client address is counted instead');
    expect(said).toEqual([expect.objectContaining({ level: 30, plugin: 'limit-conn', route: '1', key: 'user' })]);
  });

  test('a request through a limited connection is an ordinary one', async () => {
    await using proxy = await startProxy({ upstream: redis.port, route: plugin('limit-conn', conf) });
    const client = await proxy.connect();
    expect(await client.command('NOSUCH')).toBeInstanceOf(RespError);
  });

  test('SR-52 on plain TCP, exactly over three workers', async () => {
    await using server = await startNamed('n');
    await using proxy = await startProxy({ route: null, settings: { workers: 3, listeners: [{ port: await freePort() }] } });
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [server.address]: 1 } }, plugins: { 'limit-conn': { conn: 5, burst: 0, default_conn_delay: 1, key: 'remote_addr' } },
    });
    const clients = await Promise.all(Array.from({ length: 12 }, () => connectLines(proxy.port)));
    const lines = await Promise.all(clients.map((client) => client.line()));
    expect(lines.filter((line) => line === 'n')).toHaveLength(5);
    for (const client of clients) client.socket.destroy();
    await expect.poll(async () => {
      await using again = await connectLines(proxy.port);
      return await again.line();
    }).toBe('n');
  });

  test('what a worker held that died is free again, and what the others hold is not', { timeout: 60_000 }, async () => {
    const bad = `
      import { definePlugin } from 'millrace';
      export default definePlugin({
        name: 'bad', priority: 1, schema: { type: 'object' },
        setup: () => ({ request(request) { if (request.name === 'get') process.exit(3); } }),
      });`;
    await using millrace = await startMillrace({ settings: { workers: 2, plugins: ['plugins'] }, files: { 'plugins/bad.ts': bad } });
    const route = (conn: number): Promise<unknown> => millrace.put('/apisix/admin/stream_routes/1', {
      upstream: { type: 'memory' }, protocol: { name: 'redis' },
      plugins: { bad: {}, 'limit-conn': { conn, burst: 0, default_conn_delay: 1, key: 'remote_addr' } },
    });
    await route(100);
    const byWorker = await clientsByWorker(millrace, 2);
    const [left, right] = [byWorker.get(0)!, byWorker.get(1)!];
    await route(left.length + right.length);
    const full = await millrace.connect();
    expect(await full.untilEnded()).toBeTruthy();
    left[0]!.send('GET a\r\n');
    for (const client of left) expect(await client.untilEnded()).toBeTruthy();
    await expect.poll(() => millrace.records().map(({ code }) => code), { timeout: 30_000 }).toContain('WORKER_STARTED');
    // Exactly as many as were lost get in.
    const clients = await Promise.all(left.map(() => millrace.connect()));
    expect(await Promise.all(clients.map((client) => client.command('PING')))).toEqual(left.map(() => 'PONG'));
    const more = await millrace.connect();
    expect(await more.untilEnded()).toBeTruthy();
    expect(await right[0]!.command('PING')).toBe('PONG');
  });

  test('per request: so many at a time over all clients, and each answer makes room', async () => {
    const per = { conn: 2, burst: 0, default_conn_delay: 0.1, key: 'remote_addr', per: 'request', rejected_msg: 'BUSY later' };
    await using proxy = await startProxy({ upstream: redis.port, route: plugin('limit-conn', per) });
    const [one, two, three] = await Promise.all([proxy.connect(), proxy.connect(), proxy.connect()]);
    const waiting = [one.command('BLPOP', 'list', '0'), two.command('BLPOP', 'list', '0')];
    await expect.poll(async () => textOf(await three.command('PING'))).toBe('BUSY later');
    // Nothing of it is a connection: the third one stays.
    expect(textOf(await three.command('PING'))).toBe('BUSY later');
    const other = dial({ port: redis.port, host: '127.0.0.1' });
    other.write('RPUSH list a b\r\n');
    expect(await Promise.all(waiting)).toEqual([['list', 'a'], ['list', 'b']]);
    other.destroy();
    expect(await three.command('PING')).toBe('PONG');
    // A client that leaves gives back what it waited for.
    for (const client of [one, two]) client.send('BLPOP list 0\r\n');
    await expect.poll(async () => textOf(await three.command('PING'))).toBe('BUSY later');
    await Promise.all([one.close(), two.close()]);
    await expect.poll(async () => textOf(await three.command('PING'))).toBe('PONG');
    // A thousand in one write: whatever is refused, what was let in is given back.
    await three.pipeline(Array.from({ length: 1000 }, () => ['PING']));
    expect(await Promise.all([three.command('PING'), three.command('PING')])).toEqual(['PONG', 'PONG']);
    const { body } = await proxy.call('GET', '/apisix/admin/plugins/status');
    expect(JSON.stringify(body)).toContain('"open_in_this_worker":0');
  });

  test('per request on the line protocol: burst waits its time, and its place is given back', async () => {
    await using node = await startLineUpstream(() => undefined);
    await using proxy = await startLineProxy({ nodes: [node.port] });
    await proxy.route({ plugins: { 'limit-conn': { conn: 1, burst: 1, default_conn_delay: 0.2, key: 'remote_addr', per: 'request' } } });
    const [one, two, three] = await Promise.all([proxy.dial(), proxy.dial(), proxy.dial()]);
    one.send('get a\n');
    await node.wait(1);
    const began = performance.now();
    two.send('get b\n');
    await node.wait(2);
    expect(performance.now() - began).toBeGreaterThan(199);
    expect(await three.ask('get c')).toBe('-DENIED too many requests at a time');
    node.answer = (line, socket) => { socket.write(`${line}!\n`); };
    for (const socket of node.open) socket.write('a!\nb!\n');
    expect([await one.read(1), await two.read(1), await three.ask('get c')]).toEqual([['a!'], ['b!'], 'get c!']);
  });
});
