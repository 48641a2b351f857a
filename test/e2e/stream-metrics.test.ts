// What passes the listeners, by the names that dashboards of the reference ask for: of two workers together.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { freePort } from '../support/ports.ts';
import { readPrometheusText } from '../support/prometheus-text.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';

vi.setConfig({ testTimeout: 30_000 });

const route = '/apisix/admin/stream_routes/1';
const answer = 'z'.repeat(1000);

/** Answers `answer` to whatever comes; `reset` resets its connection. */
async function startNode(): Promise<{ readonly port: number; readonly server: Server } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on('error', () => undefined).on('close', () => sockets.delete(socket)));
    socket.on('data', (bytes) => {
      if (bytes.toString() === 'reset') socket.resetAndDestroy();
      else socket.write(answer);
    });
    socket.on('end', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port, server,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Value by labels, as `a=1 b=2`, of those of a family that have them. */
async function series(proxy: Proxy, name: string, of: Record<string, string> = {}): Promise<Record<string, number>> {
  const family = readPrometheusText(await proxy.metrics()).find((each) => each.name === name);
  const found = (family?.samples ?? []).filter(({ labels }) => Object.entries(of).every(([label, value]) => labels[label] === value));
  return Object.fromEntries(found.map(({ labels, value }) => [
    Object.entries(labels).filter(([label]) => !(label in of)).map(([label, each]) => `${label}=${each}`).toSorted().join(' '), value,
  ]));
}

async function dial(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host }).on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function ask(socket: Socket, text: string): Promise<void> {
  let got = 0;
  const all = new Promise<void>((done) => {
    const read = (bytes: Buffer): void => {
      got += bytes.length;
      if (got === answer.length) done(void socket.off('data', read));
    };
    socket.on('data', read);
  });
  socket.write(text);
  await all;
}

async function start(listeners: object[]): Promise<Proxy> {
  return startProxy({ route: null, settings: { workers: 2, listeners } });
}

test('open connections, and the bytes of either side exactly, by the listener as it is configured, not by what the client dialled', async () => {
  await using node = await startNode();
  const port = await freePort();
  await using proxy = await start([{ address: '0.0.0.0', port }, { port: await freePort(), protocol: 'redis' }]);
  await proxy.put(route, { server_port: port, upstream: { nodes: { [`127.0.0.1:${node.port}`]: 1 } } });
  const of = { listen_addr: `0.0.0.0:${port}` };
  expect(await series(proxy, 'apisix_stream_active_connections', of)).toEqual({ '': 0 });
  const clients = await Promise.all(Array.from({ length: 12 }, (_, n) => dial(port, `127.0.0.${n + 1}`)));
  await Promise.all(clients.map((client) => ask(client, 'hello')));
  expect(await series(proxy, 'apisix_stream_active_connections', of)).toEqual({ '': 12 });
  const bytes = (asked: number, answered: number): Record<string, number> => ({
    'side=downstream type=ingress': asked, 'side=downstream type=egress': answered,
    'side=upstream type=egress': asked, 'side=upstream type=ingress': answered,
  });
  // While they are open, too.
  await expect.poll(() => series(proxy, 'apisix_stream_bandwidth', of), { timeout: 5000 }).toEqual(bytes(12 * 5, 12 * 1000));
  await Promise.all(clients.map((client) => ask(client, 'once more')));
  for (const client of clients) client.resume().end();
  await Promise.all(clients.map((client) => once(client, 'close')));
  await expect.poll(() => series(proxy, 'apisix_stream_active_connections', of)).toEqual({ '': 0 });
  expect(await series(proxy, 'apisix_stream_bandwidth', of)).toEqual(bytes(12 * (5 + 9), 12 * 2000));
  expect(await series(proxy, 'apisix_stream_status', of)).toEqual({ [`code=200 node=127.0.0.1:${node.port}`]: 12 });
});

test('each way to end has its status, with the node where there was one', async () => {
  await using node = await startNode();
  await using redis = await startRedis();
  const [port, other, dead] = [await freePort(), await freePort(), await freePort()];
  await using proxy = await start([{ port }, { port: other, protocol: 'redis' }]);
  const of = { listen_addr: `127.0.0.1:${port}` };
  const put = (more: object): Promise<void> => proxy.put(route, { server_port: port, ...more });
  const ended = async (socket: Socket): Promise<void> => {
    if (!socket.closed) await once(socket.resume(), 'close');
  };
  const alive = { upstream: { nodes: { [`127.0.0.1:${node.port}`]: 1 } } };
  const expected: Record<string, number> = {};
  const counted = async (code: string, at: string): Promise<void> => {
    const key = `code=${code} node=${at}`;
    expected[key] = (expected[key] ?? 0) + 1;
    await expect.poll(() => series(proxy, 'apisix_stream_status', of), { message: key }).toEqual(expected);
  };
  // No route at all.
  await ended(await dial(port));
  await counted('400', '');
  await put(alive);
  // The client ends, the client resets, the node resets.
  const good = await dial(port);
  await ask(good, 'hello');
  good.end();
  await ended(good);
  await counted('200', `127.0.0.1:${node.port}`);
  const resetting = await dial(port);
  await ask(resetting, 'hello');
  resetting.resetAndDestroy();
  await counted('400', `127.0.0.1:${node.port}`);
  const reset = await dial(port);
  reset.write('reset');
  await ended(reset);
  await counted('502', `127.0.0.1:${node.port}`);
  // An operator closes it.
  const killed = await dial(port);
  await ask(killed, 'hello');
  expect((await proxy.call('DELETE', '/apisix/admin/sessions?route=1')).status).toBe(200);
  await ended(killed);
  await counted('200', `127.0.0.1:${node.port}`);
  // A plugin says no.
  await put({ ...alive, plugins: { 'ip-restriction': { blacklist: ['127.0.0.0/8'] } } });
  await ended(await dial(port));
  await counted('403', '');
  // Nobody listens there. The series of the node before went with it.
  await put({ upstream: { nodes: { [`127.0.0.1:${dead}`]: 1 } } });
  for (const key of Object.keys(expected)) if (key.includes(`:${node.port}`)) delete expected[key];
  await ended(await dial(port));
  await counted('502', `127.0.0.1:${dead}`);
  // A fault cuts the connection.
  await put({ protocol: { name: 'redis' }, plugins: { 'fault-injection': { commands: ['get'], abort: { close: true } } }, upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } } });
  delete expected[`code=502 node=127.0.0.1:${dead}`];
  const faulty = await dial(port);
  faulty.write('*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n');
  await ended(faulty);
  await counted('500', `127.0.0.1:${redis.port}`);
  expect(await series(proxy, 'apisix_stream_status', { listen_addr: `127.0.0.1:${other}` })).toEqual({});
});

test('a client too many is refused with 503 and is no open connection', async () => {
  await using proxy = await startProxy({ route: {}, limits: { clients_per_listener: 2 } });
  const of = { listen_addr: `127.0.0.1:${proxy.port}` };
  const [one, two] = [await proxy.connect(), await proxy.connect()];
  for (const client of [one, two]) expect(await client.command('PING')).toBe('PONG');
  const third = await dial(proxy.port);
  await once(third.resume(), 'end');
  third.end();
  expect(await series(proxy, 'apisix_stream_status', of)).toEqual({ 'code=503 node=': 1 });
  expect(await series(proxy, 'apisix_stream_active_connections', of)).toEqual({ '': 2 });
});

test('a node that is configured no more names no series, and connections that end later count without it', async () => {
  await using node = await startNode();
  await using other = await startNode();
  const port = await freePort();
  await using proxy = await start([{ port }, { port: await freePort(), protocol: 'redis' }]);
  const put = (to: number): Promise<void> => proxy.put(route, { server_port: port, upstream: { nodes: { [`127.0.0.1:${to}`]: 1 } } });
  const of = { listen_addr: `127.0.0.1:${port}` };
  await put(node.port);
  const [first, late] = [await dial(port), await dial(port)];
  for (const client of [first, late]) await ask(client, 'hello');
  first.resume().end();
  await expect.poll(() => series(proxy, 'apisix_stream_status', of)).toEqual({ [`code=200 node=127.0.0.1:${node.port}`]: 1 });
  await put(other.port);
  await expect.poll(() => series(proxy, 'apisix_stream_status', of)).toEqual({});
  late.resume().end();
  await expect.poll(() => series(proxy, 'apisix_stream_status', of)).toEqual({ 'code=200 node=': 1 });
});

test('the series of a port that a route opened go with the route and the last connection', async () => {
  await using node = await startNode();
  const port = await freePort();
  await using proxy = await start([{ port: await freePort(), protocol: 'redis' }]);
  const of = { listen_addr: `127.0.0.1:${port}` };
  const all = async (): Promise<number> => (await Promise.all(['active_connections', 'status', 'bandwidth'].map(async (name) => (
    Object.keys(await series(proxy, `apisix_stream_${name}`, of)).length)))).reduce((sum, each) => sum + each, 0);
  for (let round = 0; round < 3; round++) {
    await proxy.put(route, { server_port: port, upstream: { nodes: { [`127.0.0.1:${node.port}`]: 1 } } });
    const client = await dial(port);
    await ask(client, 'hello');
    expect(await series(proxy, 'apisix_stream_active_connections', of)).toEqual({ '': 1 });
    expect((await proxy.call('DELETE', route)).status).toBe(200);
    expect(await series(proxy, 'apisix_stream_active_connections', of)).toEqual({ '': 1 });
    client.resume().end();
    await expect.poll(all).toBe(0);
  }
});

test('datagrams and Unix sockets count by their listeners', async () => {
  const server = createSocket('udp4').on('message', (_, { port, address }) => server.send('pong!', port, address));
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  const port = await freePort();
  const path = join(tmpdir(), `millrace-stream-metrics-${port}`);
  await using proxy = await start([{ port: await freePort(), protocol: 'redis' }, { port, transport: 'udp' }, { unix: path, protocol: 'redis' }]);
  await proxy.put(route, { server_port: port, upstream: { nodes: { [`127.0.0.1:${server.address().port}`]: 1 }, timeout: { idle: 0.5 } } });
  const client = createSocket('udp4');
  client.send('ping', port, '127.0.0.1');
  await once(client, 'message');
  const of = { listen_addr: `127.0.0.1:${port}` };
  expect(await series(proxy, 'apisix_stream_active_connections', of)).toEqual({ '': 1 });
  await expect.poll(() => series(proxy, 'apisix_stream_status', of), { timeout: 5000 }).toEqual({ [`code=200 node=127.0.0.1:${server.address().port}`]: 1 });
  expect(await series(proxy, 'apisix_stream_active_connections', of)).toEqual({ '': 0 });
  expect(await series(proxy, 'apisix_stream_bandwidth', of)).toEqual({
    'side=downstream type=egress': 5, 'side=downstream type=ingress': 4, 'side=upstream type=egress': 4, 'side=upstream type=ingress': 5,
  });
  client.close();
  server.close();
  const unix = connect({ path });
  unix.write('PING\r\n');
  await once(unix, 'data');
  expect(await series(proxy, 'apisix_stream_active_connections', { listen_addr: `unix:${path}` })).toEqual({ '': 1 });
  unix.destroy();
});

test('bytes on connections that clients share are counted without a listener, those of connections that ended, too', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, settings: { workers: 2 } });
  const shared = (): Promise<Record<string, number>> => series(proxy, 'apisix_stream_bandwidth', { listen_addr: '' });
  const clients = await Promise.all(Array.from({ length: 8 }, () => proxy.connect()));
  for (const client of clients) await client.command('PING');
  const before = await shared();
  for (const client of clients) await client.command('SET', 'key', 'v'.repeat(10_000));
  for (const client of clients) await client.command('GET', 'key');
  const [to, from] = ['side=upstream type=egress', 'side=upstream type=ingress'] as const;
  // `*3 $3 SET $3 key $10000 …`, `+OK`, `*2 $3 GET $3 key`, `$10000 …`.
  const after = { [to]: before[to]! + 8 * (30 + 10_000 + 2 + 22), [from]: before[from]! + 8 * (5 + 8 + 10_000 + 2) };
  expect(await shared()).toEqual(after);
  await redis[Symbol.asyncDispose]();
  expect(await shared()).toEqual(after);
});

test('what loggers hold back is shown by plugin and route, of all workers, until it left', async () => {
  const waiting: Socket[] = [];
  const sink = createServer((socket) => { waiting.push(socket); });
  sink.listen(0, '127.0.0.1');
  await once(sink, 'listening');
  await using redis = await startRedis();
  const { port } = sink.address() as AddressInfo;
  await using proxy = await startProxy({ upstream: redis.port, settings: { workers: 2 }, route: {
    plugins: { 'http-logger': { uri: `http://127.0.0.1:${port}/`, batch_max_size: 1, timeout: 20 } },
  } });
  const clients = await Promise.all(Array.from({ length: 8 }, () => proxy.connect()));
  for (const client of clients) for (let n = 0; n < 5; n++) await client.command('PING');
  expect(await series(proxy, 'apisix_batch_process_entries')).toEqual({ 'name=http-logger route_id=1': 40 });
  sink.on('connection', (socket) => answerAll(socket));
  for (const socket of waiting) answerAll(socket);
  await expect.poll(() => series(proxy, 'apisix_batch_process_entries'), { timeout: 10_000 }).toEqual({ 'name=http-logger route_id=1': 0 });
  sink.close();
});

function answerAll(socket: Socket): void {
  socket.on('error', () => undefined).on('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'));
}
