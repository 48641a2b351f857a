// A route without protocol: a plain TCP proxy.
import { createHash } from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../core/errors.ts';
import { definePlugin } from '../../core/plugin.ts';
import { connectLines } from '../support/line-client.ts';
import { startNamed } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy, type ProxyOptions } from '../support/proxy.ts';
import { sleep } from '../support/sleep.ts';

async function startTcp(upstream: unknown, options: ProxyOptions = {}, route: Record<string, unknown> = {}): Promise<Proxy> {
  const { settings, ...rest } = options;
  const proxy = await startProxy({ route: null, ...rest, settings: { listeners: [{ port: await freePort() }], ...settings } });
  await proxy.put('/apisix/admin/stream_routes/1', { upstream, ...route });
  return proxy;
}

const node = (...addresses: string[]): unknown => ({ nodes: Object.fromEntries(addresses.map((each) => [each, 1])) });

describe('bytes', () => {
  test('pass in both directions as they are', async () => {
    await using server = await startNamed('echo');
    await using proxy = await startTcp(node(server.address));
    await using client = await connectLines(proxy.port);
    expect(await client.line()).toBe('echo');
    client.socket.write('\x00\xff not a protocol\r\n', 'latin1');
    expect(await client.line()).toBe('\x00\xff not a protocol\r');
  });

  test('200 MB arrive whole, whoever is slower', async () => {
    const size = 200 * 1024 * 1024;
    await using server = await startSink();
    await using proxy = await startTcp(node(server.address));
    const before = process.memoryUsage().arrayBuffers;
    await using client = await connectLines(proxy.port);
    const chunk = Buffer.alloc(1024 * 1024, 'abcdefg\n');
    const hash = createHash('sha256');
    let peak = 0;
    for (let sent = 0; sent < size; sent += chunk.length) {
      hash.update(chunk);
      if (!client.socket.write(chunk)) await new Promise((resolve) => client.socket.once('drain', resolve));
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
    }
    client.socket.end();
    expect(await client.line()).toBe(`${size} ${hash.digest('hex')}`);
    expect(peak).toBeLessThan(128 * 1024 * 1024);
  });

  test('a client that reads nothing stops the server, not the proxy', async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      const more = (): void => { while (socket.write(Buffer.alloc(65536))) { /* until it is full */ } };
      socket.on('drain', more);
      more();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await using proxy = await startTcp(node(`127.0.0.1:${(server.address() as AddressInfo).port}`));
    await using client = await connectLines(proxy.port);
    client.socket.pause();
    // What left the server is in the kernel's buffers or in the proxy.
    const left = (): number => sockets[0]!.bytesWritten - sockets[0]!.writableLength;
    await expect.poll(() => sockets).toHaveLength(1);
    let first = -1;
    for (let rounds = 0; rounds < 30 && left() !== first; rounds++) {
      first = left();
      await sleep(300);
    }
    expect(left()).toBe(first);
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(32 * 1024 * 1024);
    client.socket.resume();
    await expect.poll(left, { timeout: 15_000 }).toBeGreaterThan(first + 64 * 1024 * 1024);
    client.socket.destroy();
    server.close();
  });

  test('half-close: what the client sent before its FIN is answered', async () => {
    await using server = await startSink();
    await using proxy = await startTcp(node(server.address));
    await using client = await connectLines(proxy.port);
    client.socket.end('all of it');
    expect(await client.line()).toBe(`9 ${createHash('sha256').update('all of it').digest('hex')}`);
    await expect.poll(() => server.open).toBe(0);
  });

  test('a client that only sends and is closed at once loses nothing', async () => {
    await using server = await startSink();
    await using proxy = await startTcp(node(server.address));
    // FIN arrives together with the bytes, before the node was reached.
    for (let i = 0; i < 50; i++) {
      await using client = await connectLines(proxy.port);
      client.socket.end('x'.repeat(100));
      expect(await client.line()).toMatch(/^100 /);
    }
  });
});

describe('ends', () => {
  test('the server\'s end ends the client, after everything it said', async () => {
    const server = createServer((socket) => { socket.end(`${'y'.repeat(500_000)}\nlast\n`); });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await using proxy = await startTcp(node(`127.0.0.1:${(server.address() as AddressInfo).port}`));
    await using client = await connectLines(proxy.port);
    expect((await client.line())?.length).toBe(500_000);
    expect(await client.line()).toBe('last');
    expect(await client.line()).toBe(null);
    await expect.poll(() => proxy.records).toContainEqual(expect.objectContaining({ code: 'UPSTREAM_ENDED', route: '1' }));
    server.close();
  });

  test('the client\'s reset ends the server\'s connection', async () => {
    await using server = await startNamed('n');
    await using proxy = await startTcp(node(server.address));
    const client = await connectLines(proxy.port);
    await client.line();
    client.socket.resetAndDestroy();
    await expect.poll(() => server.open).toBe(0);
  });

  test('nobody speaks for timeout.idle: both sides are closed', async () => {
    await using server = await startNamed('n');
    await using proxy = await startTcp({ nodes: { [server.address]: 1 }, timeout: { idle: 1 } });
    await using client = await connectLines(proxy.port);
    await client.line();
    const began = performance.now();
    while (performance.now() - began < 1300) {
      await sleep(100);
      client.send('stay\n');
      expect(await client.line()).toBe('stay');
    }
    expect(server.open).toBe(1);
    const last = performance.now();
    expect(await client.line()).toBe(null);
    expect(performance.now() - last).toBeGreaterThan(900);
    await expect.poll(() => server.open).toBe(0);
    expect(proxy.records).toContainEqual(expect.objectContaining({ code: 'CLIENT_IDLE', route: '1' }));
  });
});

describe('nodes', () => {
  test('a dead node is passed over, and what the client had sent goes to the next', async () => {
    await using alive = await startNamed('alive');
    const dead = await freePort();
    await using proxy = await startTcp({
      nodes: [{ host: '127.0.0.1', port: dead, weight: 1, priority: 1 }, { host: '127.0.0.1', port: alive.port, weight: 1 }],
    });
    await using client = await connectLines(proxy.port);
    client.send('early\n');
    expect(await client.line()).toBe('alive');
    expect(await client.line()).toBe('early');
    expect(proxy.records).toContainEqual(expect.objectContaining({ code: 'NODE_DOWN', node: `127.0.0.1:${dead}` }));
  });

  test('with retries 0 a dead node ends the connection with a reason', async () => {
    await using alive = await startNamed('alive');
    await using proxy = await startTcp({
      retries: 0,
      nodes: [{ host: '127.0.0.1', port: await freePort(), weight: 1, priority: 1 }, { host: '127.0.0.1', port: alive.port, weight: 1 }],
    });
    await using client = await connectLines(proxy.port);
    expect(await client.line()).toBe(null);
    await expect.poll(() => proxy.records).toContainEqual(expect.objectContaining({ code: 'CONNECT_FAILED', route: '1' }));
  });

  test('all dead: closed, with a reason in the log and no hanging client', async () => {
    await using proxy = await startTcp(node(`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`));
    for (let i = 0; i < 5; i++) {
      await using client = await connectLines(proxy.port);
      expect(await client.line()).toBe(null);
    }
    const codes = new Set(proxy.records.map(({ code }) => code));
    expect(codes.has('CONNECT_FAILED') || codes.has('NO_NODE')).toBe(true);
  });
});

test('a connect hook that refuses closes the connection before the node is touched', async () => {
  await using server = await startNamed('n');
  const gate = definePlugin<{ allowed: string }>({
    name: 'gate', priority: 1,
    schema: { type: 'object', required: ['allowed'], properties: { allowed: { type: 'string' } } },
    setup: (conf) => ({
      async connect(session) {
        await sleep(20);
        if (session.remoteAddress !== conf.allowed) throw new ProxyError('CONNECTION_REFUSED');
      },
    }),
  });
  await using proxy = await startTcp(node(server.address), { plugins: [gate] }, {
    plugins: { gate: { allowed: '127.0.0.7' } },
  });
  await using stranger = await connectLines(proxy.port);
  stranger.send('let me in\n');
  expect(await stranger.line()).toBe(null);
  expect(server.accepted).toBe(0);
  await using friend = await connectLines(proxy.port, { from: '127.0.0.7' });
  friend.send('hello\n');
  expect(await friend.line()).toBe('n');
  expect(await friend.line()).toBe('hello');
  expect(proxy.records).toContainEqual(expect.objectContaining({ code: 'CONNECTION_REFUSED' }));
});

/** Answers with the number and the digest of what it got, at the client's FIN. */
async function startSink(): Promise<AsyncDisposable & { readonly address: string; readonly open: number }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    const hash = createHash('sha256');
    let size = 0;
    socket.on('data', (chunk: Buffer) => { size += chunk.length; hash.update(chunk); });
    socket.on('end', () => socket.end(`${size} ${hash.digest('hex')}\n`));
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get open() { return sockets.size; },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
