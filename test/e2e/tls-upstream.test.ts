// TLS towards the nodes: verified unless somebody says otherwise, and a failure says what is wrong.
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority, type Authority, type Certificate } from '../support/certificates.ts';
import { connectLines } from '../support/line-client.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { RespError } from '../support/resp.ts';

let authority: Authority;
let good: Certificate;
const servers: RedisServer[] = [];

beforeAll(() => {
  authority = makeAuthority();
  good = authority.issue('good', ['IP:127.0.0.1', 'DNS:localhost', 'DNS:redis.internal']);
});
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
  authority[Symbol.dispose]();
});

/** A real server that speaks TLS only, with this certificate. */
async function startSecure({ cert, key }: Certificate, more: readonly string[] = []): Promise<number> {
  const port = await freePort();
  const server = await startRedis([
    '--port', '0', '--tls-port', String(port), '--tls-cert-file', cert, '--tls-key-file', key,
    '--tls-ca-cert-file', authority.file, '--tls-auth-clients', 'no', ...more,
  ], port);
  servers.push(server);
  return port;
}

const route = (address: string, tls: Record<string, unknown> = {}, more: Record<string, unknown> = {}): unknown => ({
  upstream: { nodes: { [address]: 1 }, scheme: 'tls', tls: { ca: authority.text, ...tls }, ...more },
});
const start = async (address: string, tls: Record<string, unknown> = {}, conf: Record<string, unknown> = {}): Promise<Proxy> =>
  startProxy({ route: { ...route(address, tls) as object, protocol: { name: 'redis', conf } } });

async function failure(proxy: Proxy): Promise<string> {
  const client = await proxy.connect();
  const reply = await client.command('GET', 'a');
  expect(reply).toBeInstanceOf(RespError);
  const down = proxy.records.find(({ code }) => code === 'NODE_DOWN');
  expect(down).toBeDefined();
  return `${(reply as RespError).text} | ${String(down!['reason'])}`;
}

describe.each([{}, { upstream_connection: 'dedicated' }])('Redis with %o', (conf) => {
  test('a certificate of our authority is taken: shared and own links, large values', async () => {
    const port = await startSecure(good);
    await using proxy = await start(`127.0.0.1:${port}`, {}, conf);
    const client = await proxy.connect();
    const large = 'x'.repeat(2_000_000);
    expect(await client.pipeline([['SET', 'a', large], ['GET', 'a'], ['MULTI'], ['STRLEN', 'a'], ['EXEC']])).toEqual(
      ['OK', large, 'OK', 'QUEUED', [2_000_000]]);
  });
});

describe('verification', () => {
  test('a host name is checked against the certificate', async () => {
    const port = await startSecure(good);
    await using proxy = await start(`localhost:${port}`);
    expect(await (await proxy.connect()).command('PING')).toBe('PONG');
    expect(await (await proxy.connect()).command('SET', 'a', '1')).toBe('OK');
  });

  test('server_name is asked for and checked instead of the address', async () => {
    const port = await startSecure(good);
    await using proxy = await start(`127.0.0.1:${port}`, { server_name: 'redis.internal' });
    expect(await (await proxy.connect()).command('SET', 'a', '1')).toBe('OK');
  });

  test('a wrong name is an error that names both', async () => {
    const port = await startSecure(good);
    await using proxy = await start(`127.0.0.1:${port}`, { server_name: 'other.internal' });
    expect(await failure(proxy)).toMatch(/other\.internal/);
  });

  test('an unknown authority is an error that says so', async () => {
    using stranger = makeAuthority();
    const port = await startSecure(stranger.issue('self', ['IP:127.0.0.1']));
    await using proxy = await start(`127.0.0.1:${port}`);
    expect(await failure(proxy)).toMatch(/certificate|authority|issuer/i);
  });

  test('an expired certificate is an error that says so', async () => {
    const port = await startSecure(authority.issue('expired', ['IP:127.0.0.1'], -1));
    await using proxy = await start(`127.0.0.1:${port}`);
    expect(await failure(proxy)).toMatch(/expired/i);
  });

  test('a node without TLS is an error, never a plain connection', async () => {
    await using plain = await startRedis();
    await using proxy = await start(`127.0.0.1:${plain.port}`);
    expect(await failure(proxy)).toMatch(/upstream|connect/i);
    expect(proxy.records).not.toContainEqual(expect.objectContaining({ code: 'NODE_UP' }));
  });

  test('verify false takes any certificate, and is warned about', async () => {
    using stranger = makeAuthority();
    const port = await startSecure(stranger.issue('self', ['IP:127.0.0.1']));
    await using proxy = await start(`127.0.0.1:${port}`, { verify: false });
    expect(await (await proxy.connect()).command('SET', 'a', '1')).toBe('OK');
    expect(proxy.records).toContainEqual(expect.objectContaining({
      level: 40, code: 'TLS_UNVERIFIED', msg: expect.stringContaining('upstream.tls.verify is false'),
    }));
  });

  test('a changed authority holds for new connections', async () => {
    using stranger = makeAuthority();
    const port = await startSecure(good);
    await using proxy = await start(`127.0.0.1:${port}`, { ca: stranger.text });
    await failure(proxy);
    await proxy.put('/apisix/admin/stream_routes/1', {
      ...route(`127.0.0.1:${port}`) as object, protocol: { name: 'redis' },
    });
    await expect.poll(async () => (await proxy.connect()).command('SET', 'a', '1'), { timeout: 5000 }).toBe('OK');
  });
});

describe('client certificates', () => {
  test('one that the server refuses, or misses, is an error that says so, and nothing may have been executed', async () => {
    const port = await startSecure(good, ['--tls-auth-clients', 'yes']);
    const stranger = makeAuthority();
    const other = stranger.issue('eve', ['DNS:eve']);
    const shown = { client_cert: readFileSync(other.cert, 'utf8'), client_key: readFileSync(other.key, 'utf8') };
    for (const tls of [{}, shown]) {
      await using proxy = await start(`127.0.0.1:${port}`, tls);
      expect(await failure(proxy)).toMatch(/^ERR millrace: failed to connect to upstream \| .*(alert|handshake|certificate|unknown ca)/i);
      expect(await proxy.metrics()).toMatch(/links_closed_total\{node="127\.0\.0\.1:\d+",reason="CONNECT_FAILED"\} [1-9]/);
    }
    stranger[Symbol.dispose]();
  });

  test('are shown where configured; without one a server that wants it refuses', async () => {
    const own = authority.issue('client', ['DNS:client']);
    const port = await startSecure(good, ['--tls-auth-clients', 'yes']);
    await using without = await start(`127.0.0.1:${port}`);
    const client = await without.connect();
    expect(await client.command('GET', 'a')).toBeInstanceOf(RespError);
    await using proxy = await start(`127.0.0.1:${port}`, {
      client_cert: readFileSync(own.cert, 'utf8'), client_key: readFileSync(own.key, 'utf8'),
    });
    expect(await (await proxy.connect()).command('SET', 'a', '1')).toBe('OK');
    const shown = JSON.stringify((await proxy.call('GET', '/apisix/admin/stream_routes/1')).body);
    expect(shown).not.toContain('PRIVATE KEY');
  });
});

describe('plain TCP routes', () => {
  test('reach a TLS node, verified; a wrong certificate closes the client and is logged', async () => {
    const server = createTlsServer({ cert: readFileSync(good.cert), key: readFileSync(good.key) }, (socket: TLSSocket) => {
      socket.on('error', () => undefined);
      socket.write('inside TLS\n');
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using proxy = await startProxy({ route: null, settings: { listeners: [{ port: await freePort() }] } });
    await proxy.put('/apisix/admin/stream_routes/1', route(address));
    await using client = await connectLines(proxy.port);
    expect(await client.line()).toBe('inside TLS');
    client.send('and back\n');
    expect(await client.line()).toBe('and back');
    await proxy.put('/apisix/admin/stream_routes/1', route(address, { server_name: 'other.internal' }));
    await using refused = await connectLines(proxy.port);
    expect(await refused.line()).toBe(null);
    expect(proxy.records).toContainEqual(expect.objectContaining({
      code: 'NODE_DOWN', node: address, reason: expect.stringContaining('other.internal'),
    }));
    server.close();
  });
});
