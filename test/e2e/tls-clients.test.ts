// Clients that come by TLS.
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { connect } from 'node:net';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { makeAuthority, type Authority } from '../support/certificates.ts';
import { lines } from '../support/line-client.ts';
import { startNamed, type NamedServer } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { runProgram } from '../support/run-program.ts';

let authority: Authority;
let servers: readonly NamedServer[];
let proxy: Proxy;
let port: number;

beforeAll(async () => {
  authority = makeAuthority();
  servers = await Promise.all(['a', 'b', 'c'].map((name) => startNamed(name)));
  const fallback = authority.issue('fallback', ['IP:127.0.0.1', 'DNS:localhost']);
  const exact = authority.issue('exact', ['DNS:a.example']);
  const wild = authority.issue('wild', ['DNS:*.example']);
  port = await freePort();
  proxy = await startProxy({
    route: null,
    limits: { tls_handshake_timeout_s: 1 },
    settings: {
      listeners: [{
        port, protocol: 'redis',
        tls: { ...fallback, certificates: [{ sni: 'a.example', ...exact }, { sni: '*.example', ...wild }] },
      }],
    },
  });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  for (const server of servers) await server[Symbol.asyncDispose]();
  authority[Symbol.dispose]();
});
beforeEach(async () => {
  const { body } = await proxy.call('GET', '/apisix/admin/stream_routes');
  for (const { value } of body.list) await proxy.call('DELETE', `/apisix/admin/stream_routes/${value.id}`);
});

const dial = (options: ConnectionOptions = {}): Promise<TLSSocket> => new Promise((resolve, reject) => {
  const socket = connectTls({ port, host: '127.0.0.1', ca: authority.text, ...options });
  socket.once('secureConnect', () => resolve(socket)).once('error', reject);
});
const route = (id: string, server: number, conf: Record<string, unknown>): Promise<void> =>
  proxy.put(`/apisix/admin/stream_routes/${id}`, { upstream: { nodes: { [servers[server]!.address]: 1 } }, ...conf });
const greeting = async (options: ConnectionOptions): Promise<string | null> => {
  await using client = lines(await dial({ checkServerIdentity: () => undefined, ...options }));
  return await client.line();
};

describe('certificates', () => {
  test.each([
    ['a.example', 'exact'], ['A.Example', 'exact'], ['b.example', 'wild'], ['other.test', 'fallback'],
  ])('for %s the one of %s is shown', async (servername, name) => {
    const socket = await dial({ servername, checkServerIdentity: () => undefined });
    expect(socket.getPeerCertificate().subject.CN).toBe(name);
    expect(socket.authorized).toBe(true);
    socket.destroy();
  });

  test('without a server name the fallback is shown', async () => {
    const socket = await dial();
    expect(socket.getPeerCertificate().subject.CN).toBe('fallback');
    socket.destroy();
  });
});

describe('handshakes', () => {
  test('TLS 1.2 and 1.3 are taken, 1.1 is refused', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = await dial({ minVersion: version, maxVersion: version });
      expect(socket.getProtocol()).toBe(version);
      socket.destroy();
    }
    const before = await metric('TLS_FAILED');
    // Node's own client would need its security level lowered, too.
    const old = await runProgram('openssl', ['s_client', '-tls1_1', '-cipher', 'ALL@SECLEVEL=0', '-connect', `127.0.0.1:${port}`]);
    expect(old.stdout + old.stderr).toMatch(/alert protocol version|unsupported protocol|no protocols available/i);
    expect(old.stdout).not.toContain('Cipher is ECDHE');
    // An openssl without TLS 1.1 does not even try.
    const tried = /alert protocol version/i.test(old.stderr) ? 1 : 0;
    await expect.poll(() => metric('TLS_FAILED')).toBeGreaterThanOrEqual(before + tried);
  });

  test('a client that speaks no TLS, and one that says nothing, are closed and counted', async () => {
    const before = await metric('TLS_FAILED');
    const plain = connect(port, '127.0.0.1');
    plain.on('error', () => undefined);
    plain.resume();
    plain.write('PING\r\n');
    await new Promise((resolve) => plain.once('close', resolve));
    const silent = connect(port, '127.0.0.1');
    silent.on('error', () => undefined);
    silent.resume();
    const began = performance.now();
    await new Promise((resolve) => silent.once('close', resolve));
    expect(performance.now() - began).toBeGreaterThan(800);
    // Clients that left in the middle of a handshake are counted there, too.
    await expect.poll(() => metric('TLS_FAILED')).toBeGreaterThanOrEqual(before + 2);
    const causes = JSON.stringify(proxy.records.filter(({ code }) => code === 'TLS_FAILED'));
    expect(causes).toContain('ERR_TLS_HANDSHAKE_TIMEOUT');
    expect(causes).toMatch(/wrong version number|ERR_SSL_/);
  });

  test('connection resets in the middle of the handshake harm nobody', async () => {
    for (let i = 0; i < 50; i++) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      await new Promise((resolve) => socket.once('connect', resolve));
      socket.write(Buffer.from('1603010200010001fc0303', 'hex'));
      socket.resetAndDestroy();
    }
    const socket = await dial();
    expect(socket.authorized).toBe(true);
    socket.destroy();
  });

  async function metric(reason: string): Promise<number> {
    const found = new RegExp(`millrace_connections_closed_total\\{reason="${reason}"\\} (\\d+)`).exec(await proxy.metrics());
    return Number(found?.[1] ?? 0);
  }
});

describe('routes by server name', () => {
  test('the exact name, then the wildcard, then the route without sni', async () => {
    await route('1', 2, {});
    await route('2', 1, { sni: '*.example' });
    await route('3', 0, { sni: 'a.example' });
    expect(await greeting({ servername: 'a.example' })).toBe('a');
    expect(await greeting({ servername: 'A.EXAMPLE' })).toBe('a');
    expect(await greeting({ servername: 'x.y.example' })).toBe('b');
    expect(await greeting({ servername: 'other.test' })).toBe('c');
    expect(await greeting({})).toBe('c');
  });

  test('the longer wildcard wins, a lone star takes any name but not a client without one', async () => {
    await route('1', 0, { sni: '*' });
    await route('2', 1, { sni: '*.example' });
    await route('3', 2, { sni: '*.deep.example' });
    expect(await greeting({ servername: 'x.deep.example' })).toBe('c');
    expect(await greeting({ servername: 'x.example' })).toBe('b');
    expect(await greeting({ servername: 'x.test' })).toBe('a');
  });

  test('where an address does not fit, the next name is tried', async () => {
    await route('1', 0, { sni: 'a.example', remote_addr: '127.0.0.77' });
    await route('2', 1, { sni: '*.example' });
    expect(await greeting({ servername: 'a.example' })).toBe('b');
    await route('3', 2, { sni: 'a.example', remote_addr: '127.0.0.0/8' });
    expect(await greeting({ servername: 'a.example' })).toBe('c');
  });

  test('a resumed session is routed by the name it asks for', async () => {
    await route('1', 0, { sni: 'a.example' });
    await route('2', 1, { sni: 'b.example' });
    let session: Buffer | undefined;
    const first = await dial({ servername: 'a.example', checkServerIdentity: () => undefined });
    first.on('session', (ticket) => { session = ticket; });
    expect(await lines(first).line()).toBe('a');
    await expect.poll(() => session).toBeTruthy();
    first.destroy();
    const again = await dial({ servername: 'a.example', session, checkServerIdentity: () => undefined });
    expect(await lines(again).line()).toBe('a');
    again.destroy();
    // Whatever the ticket was given for: what counts is the name in this handshake.
    const outcome = await greeting({ servername: 'b.example', session }).catch(() => 'refused');
    expect(['b', 'refused']).toContain(outcome);
  });
});

test('ioredis speaks TLS with the proxy, in pipelines and with large values', async () => {
  await proxy.put('/apisix/admin/stream_routes/1', { upstream: { type: 'memory' }, protocol: { name: 'redis' } });
  const client = new Redis({ port, host: '127.0.0.1', tls: { ca: authority.text } });
  const pipeline = client.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.set(`k${i}`, i).get(`k${i}`);
  const replies = (await pipeline.exec())!;
  expect(replies[1999]).toEqual([null, '999']);
  const large = Buffer.alloc(5_000_000, 'tls');
  await client.set('large', large);
  expect((await client.getBuffer('large'))!.equals(large)).toBe(true);
  client.disconnect();
});

test('handshakes under way are capped; those beyond are closed at once, and clients come in again later', async () => {
  const { cert, key } = authority.issue('capped', ['IP:127.0.0.1']);
  const at = await freePort();
  await using capped = await startProxy({
    limits: { clients_per_listener: 20, tls_handshake_timeout_s: 2 },
    settings: { listeners: [{ port: at, protocol: 'redis', tls: { cert, key } }] },
  });
  let closed = 0;
  const silent = Array.from({ length: 60 }, () => connect(at, '127.0.0.1').resume()
    .on('error', () => undefined).on('close', () => { closed++; }));
  await expect.poll(() => closed, { timeout: 1800 }).toBe(40);
  expect(await capped.metrics()).toContain('millrace_connections_closed_total{reason="TOO_MANY_CONNECTIONS"} 40');
  await expect.poll(() => closed, { timeout: 8000 }).toBe(60);
  const client = new Redis({ port: at, host: '127.0.0.1', tls: { ca: authority.text } });
  expect(await client.ping()).toBe('PONG');
  client.disconnect();
  for (const each of silent) each.destroy();
});
