// Clients behind a balancer that says who they are, over TCP and TLS, and nodes that are told by us.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeProxyHeader } from '../../core/proxy-header.ts';
import { makeAuthority } from '../support/certificates.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(async () => { await redis[Symbol.asyncDispose](); });

const from = (remoteAddress: string): Buffer[] => ([1, 2] as const).map((version) =>
  writeProxyHeader(version, { remoteAddress, remotePort: 4711, localAddress: remoteAddress.includes(':') ? '2001:db8::1' : '192.0.2.1', localPort: 6379 }));

async function start(listener: object = {}): Promise<{ proxy: Proxy; port: number } & AsyncDisposable> {
  const port = await freePort();
  const proxy = await startProxy({
    route: null, settings: { listeners: [{ port, protocol: 'redis', proxy_protocol: { trusted: ['127.0.0.1'] }, ...listener }] },
  });
  const upstream = { nodes: { [`127.0.0.1:${redis.port}`]: 1 } };
  const route = (id: string, remote: string, error: string): Promise<void> => proxy.put(`/apisix/admin/stream_routes/${id}`, {
    remote_addr: remote, upstream, protocol: { name: 'redis' }, plugins: { 'fault-injection': { commands: ['get'], abort: { error } } },
  });
  await route('4', '203.0.113.0/24', 'four $remote_addr:$remote_port');
  await route('6', '2001:db8::/32', 'six $remote_addr');
  return { proxy, port, [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose]() };
}

/** Sends the pieces one after the other, and reads until the connection or `lines` lines ended. */
async function talk(socket: Socket, pieces: readonly (Buffer | string)[], lines: number): Promise<string> {
  socket.on('error', () => undefined);
  let text = '';
  const done = new Promise<void>((resolve) => {
    socket.on('data', (bytes) => {
      text += String(bytes);
      if ((text.match(/\r\n/g) ?? []).length >= lines) resolve();
    });
    socket.on('close', () => resolve());
  });
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await done;
  socket.destroy();
  return text;
}

test('the client is who the balancer says, in both versions and families, cut anywhere and with a request behind it', async () => {
  await using started = await start();
  for (const header of from('203.0.113.9')) {
    expect(await talk(connect(started.port, '127.0.0.1'), [Buffer.concat([header, Buffer.from('GET a\r\nPING\r\n')])], 2))
      .toBe('-ERR four 203.0.113.9:4711\r\n+PONG\r\n');
    expect(await talk(connect(started.port, '127.0.0.1'), [...header].map((byte) => Buffer.from([byte])).concat(Buffer.from('GET a\r\n')), 1))
      .toBe('-ERR four 203.0.113.9:4711\r\n');
  }
  for (const header of from('2001:db8::77')) {
    expect(await talk(connect(started.port, '127.0.0.1'), [header, 'GET a\r\n'], 1)).toBe('-ERR six 2001:db8::77\r\n');
  }
});

test('a balancer that speaks for itself is itself; who sends no header, or is not trusted, is closed', async () => {
  await using started = await start();
  const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
  // The default route answers: no stream route is for the balancer's address.
  expect(await talk(connect(started.port, '127.0.0.1'), [local, 'PING\r\n'], 1)).toBe('+PONG\r\n');
  expect(await talk(connect(started.port, '127.0.0.1'), ['PROXY UNKNOWN\r\n', 'PING\r\n'], 1)).toBe('+PONG\r\n');
  expect(await talk(connect(started.port, '127.0.0.1'), ['PING\r\n'], 1)).toBe('');
  expect(await talk(connect(started.port, '127.0.0.1'), ['PROXY TCP4 300.0.0.1 1.1.1.1 1 1\r\nPING\r\n'], 1)).toBe('');
  expect(await talk(connect(started.port, '127.0.0.1'), [`PROXY ${'x'.repeat(200)}`], 1)).toBe('');
  const [header] = from('203.0.113.9');
  const other = connect({ port: started.port, host: '127.0.0.1', localAddress: '127.0.0.2' });
  expect(await talk(other, [header!, 'PING\r\n'], 1)).toBe('');
  expect(await started.proxy.metrics()).toMatch(/connections_closed_total\{reason="PROXY_HEADER"\} 4\n/);
  const told = started.proxy.records.filter(({ code, level }) => code === 'PROXY_HEADER' && level === 40);
  expect(told.map((each) => each['remote_addr'])).toEqual(['127.0.0.1', '127.0.0.1', '127.0.0.1', '127.0.0.2']);
  expect(told[3]!.msg).toContain('it comes from an address that is not trusted');
});

test('on a TLS listener the header stands before the handshake', async () => {
  using authority = makeAuthority();
  await using started = await start({ tls: authority.issue('localhost', ['DNS:localhost']) });
  const raw = connect(started.port, '127.0.0.1');
  await once(raw, 'connect');
  raw.write(from('203.0.113.9')[1]!);
  const socket = connectTls({ socket: raw, ca: authority.text, servername: 'localhost' });
  expect(await talk(socket, ['GET a\r\n'], 1)).toBe('-ERR four 203.0.113.9:4711\r\n');
});

test('a node of a plain TCP route is told who the client is, when its upstream says so', async () => {
  let got: Buffer[] = [];
  const server = createServer((socket) => {
    got = [];
    socket.on('data', (bytes: Buffer) => got.push(bytes)).on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await using proxy = await startProxy({ route: null });
  const nodes = { [`127.0.0.1:${(server.address() as AddressInfo).port}`]: 1 };
  for (const version of [1, 2] as const) {
    await proxy.put('/apisix/admin/stream_routes/1', { upstream: { nodes, proxy_protocol: version } });
    const socket = connect(proxy.port, '127.0.0.1');
    await once(socket, 'connect');
    const header = writeProxyHeader(version, {
      remoteAddress: '127.0.0.1', remotePort: socket.localPort!, localAddress: '127.0.0.1', localPort: proxy.port,
    });
    socket.write('hello');
    await expect.poll(() => Buffer.concat(got).toString('hex')).toBe(Buffer.concat([header, Buffer.from('hello')]).toString('hex'));
    socket.destroy();
  }
  server.close();
});
