// What happens when many nodes fail: requests are not multiplied, and when nobody is left that is said at once.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { RespError } from '../support/resp.ts';

/** Passes every second connection on to the port, and resets the others. */
async function halfBroken(port: number): Promise<{ port: number; accepted: () => number } & AsyncDisposable> {
  let accepted = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    sockets.add(client.on('error', () => undefined));
    if (++accepted % 2 === 1) return void client.resetAndDestroy();
    const upstream = connect(port, '127.0.0.1').on('error', () => undefined);
    sockets.add(upstream);
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port, accepted: () => accepted,
    [Symbol.asyncDispose]: async () => {
      for (const each of sockets) each.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('U9 nodes that reset every second connection are asked for no more than a fifth more connections than there were requests', async () => {
  await using redis = await startRedis();
  await using one = await halfBroken(redis.port);
  await using two = await halfBroken(redis.port);
  const nodes = [one, two].map(({ port }) => ({ host: '127.0.0.1', port, weight: 1 }));
  await using proxy = await startProxy({ route: { upstream: { nodes, retries: 5 } } });
  const clients = await Promise.all(Array.from({ length: 10 }, () => proxy.connect()));
  let asked = 0;
  const until = performance.now() + 2000;
  await Promise.all(clients.map(async (client, n) => {
    for (let i = 0; performance.now() < until; i++) {
      asked++;
      const reply = await client.command('INCR', `u9:${n}:${i}`);
      if (!(reply instanceof RespError)) expect(reply).toBe(1);
    }
  }));
  expect(asked).toBeGreaterThan(100);
  expect(one.accepted() + two.accepted()).toBeLessThanOrEqual(asked * 1.2);
});

test('U9 requests for nodes that are gone open no connection each: back-off counts for all of them', async () => {
  let accepted = 0;
  const server = createServer((socket) => { accepted++; socket.resetAndDestroy(); });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await using proxy = await startProxy({ route: { upstream: { nodes: [{ host: '127.0.0.1', port: (server.address() as AddressInfo).port, weight: 1 }], retries: 10 } } });
  const client = await proxy.connect();
  const replies = [];
  for (let i = 0; i < 40; i++) replies.push(...await client.pipeline(Array.from({ length: 50 }, () => ['GET', 'a'])));
  expect(replies.every((reply) => reply instanceof RespError)).toBe(true);
  // 2000 requests; probes come after 20, 40, 80 ms and so on.
  expect(accepted).toBeLessThan(400);
  server.close();
});

test('U8 with every node stopped requests fail at once and say so; with when_all_down: try they are tried; all is well when one is back', async () => {
  await using redis = await startRedis();
  const silent = await Promise.all(Array.from({ length: 2 }, async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }));
  const nodes = [redis.port, ...silent].map((port) => ({ host: '127.0.0.1', port, weight: 1 }));
  await using proxy = await startProxy({ route: { upstream: { nodes } } });
  const client = await proxy.connect();
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  await redis.stop();
  const text = async (): Promise<string> => (await client.command('GET', 'a') as RespError).text;
  await expect.poll(text).toBe('ERR millrace: no healthy upstream');
  const from = performance.now();
  for (let i = 0; i < 200; i++) expect(await text()).toMatch(/^ERR millrace: (no healthy upstream|failed to connect)/);
  expect(performance.now() - from).toBeLessThan(2000);
  await proxy.put('/apisix/admin/stream_routes/1', { upstream: { nodes, when_all_down: 'try' }, protocol: { name: 'redis' } });
  await expect.poll(text).toMatch(/^ERR millrace: failed to connect/);
  await using _again = await startRedis([], redis.port);
  await expect.poll(() => client.command('SET', 'a', '2'), { timeout: 5000 }).toBe('OK');
});
