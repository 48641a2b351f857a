// ip-restriction and limit-conn: who gets in, with Redis and with plain TCP.
import { once } from 'node:events';
import { connect as dial } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { RespError } from '../support/resp.ts';

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
    expect(await refusal({})).toContain('value should match only one schema, but matches none');
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
  });

  test('a request through a limited connection is an ordinary one', async () => {
    await using proxy = await startProxy({ upstream: redis.port, route: plugin('limit-conn', conf) });
    const client = await proxy.connect();
    expect(await client.command('NOSUCH')).toBeInstanceOf(RespError);
  });
});
