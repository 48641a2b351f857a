// Clients whose replies are large beside clients whose replies are small, on one shared link (G9, M1). Progress is
// counted in requests of the others, not in time.
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
import { encodeCommand } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';

const mib = 1024 * 1024;

/** How many GETs the server was asked. */
async function gets(direct: RespClient): Promise<number> {
  const stats = String(await direct.command('INFO', 'commandstats'));
  return Number(/cmdstat_get:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).once('error', reject); });
  return socket;
}

test('a client that asks for much and reads nothing does not hold up its neighbours, and gets all of it in order later', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  await using direct = await RespClient.connect(redis.port);
  await using good = await proxy.connect();
  await direct.command('SET', 'big', 'b'.repeat(mib));
  await using hog = await RespClient.connect(proxy.port, { bulk: 'buffer' });
  hog.socket.pause();
  const count = 200;
  hog.send(Buffer.concat(Array.from({ length: count }, (_, i) => Buffer.concat([
    encodeCommand(['GET', 'big']), encodeCommand(['ECHO', String(i)]),
  ]))));
  for (let i = 0; i < 300; i++) expect(await good.command('ECHO', String(i))).toBe(String(i));
  // What was sent before any reply showed how large they are, what the kernel took, and one more.
  expect(await gets(direct)).toBeLessThan(40);
  hog.socket.resume();
  for (let i = 0; i < count; i++) {
    const [value, echo] = await hog.read(2) as [Buffer, Buffer];
    expect(value.length).toBe(mib);
    expect(echo.toString()).toBe(String(i));
  }
  expect(await gets(direct)).toBe(count);
});

test('beside a client that reads one large reply after the other, its neighbours make as many steps as it does', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  await using good = await proxy.connect();
  await good.command('SET', 'big', 'b'.repeat(mib));
  const count = 300;
  const hog = await open(proxy.port);
  const all = count * (mib + `$${mib}\r\n\r\n`.length);
  let received = 0;
  hog.on('data', (bytes: Buffer) => { received += bytes.length; });
  hog.write(Buffer.concat(Array.from({ length: count }, () => encodeCommand(['GET', 'big']))));
  let steps = 0;
  while (received < all) {
    expect(await good.command('ECHO', String(steps))).toBe(String(steps));
    steps++;
  }
  hog.destroy();
  // Where everything is asked for at once, all of it comes before the second step of anybody else.
  expect(steps).toBeGreaterThan(count / 6);
  expect(await proxy.metrics()).not.toMatch(/connections_closed_total\{reason="CLIENT_SLOW"\} [1-9]/);
});

test('a client whose requests a plugin looks at one by one does not hold up its neighbours either', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({
    upstream: redis.port, limits: { reply_window_bytes: 64 * 1024 },
    route: { plugins: { 'limit-count': { count: 1_000_000, time_window: 60, rejected_code: 503 } } },
  });
  await using direct = await RespClient.connect(redis.port);
  await direct.command('SET', 'big', 'b'.repeat(mib));
  await using hog = await proxy.connect();
  hog.socket.pause();
  hog.send(Buffer.concat(Array.from({ length: 100 }, () => encodeCommand(['GET', 'big']))));
  await using good = await proxy.connect();
  for (let i = 0; i < 200; i++) expect(await good.command('ECHO', String(i))).toBe(String(i));
  expect(await gets(direct)).toBeLessThan(40);
  hog.socket.resume();
  expect(await hog.read(100)).toHaveLength(100);
});

test('a client that asked for much and said its last word gets everything it asked for', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  await using direct = await RespClient.connect(redis.port);
  await direct.command('SET', 'big', 'b'.repeat(mib));
  await using client = await proxy.connect();
  await client.command('PING');
  await direct.command('CLIENT', 'PAUSE', '60000', 'WRITE');
  client.send(encodeCommand(['SET', 'small', '1']));
  await sleep(50);
  // Behind a reload, what comes waits until everything before it was answered: so the last word is heard before that.
  await proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 2 } }, protocol: { name: 'redis' },
  });
  client.socket.pause();
  client.send(Buffer.concat(Array.from({ length: 30 }, () => encodeCommand(['GET', 'big']))));
  client.end();
  await sleep(50);
  await direct.command('CLIENT', 'UNPAUSE');
  // It takes nothing until its outbox is full and nothing of it is under way.
  await using good = await proxy.connect();
  for (let i = 0; i < 300; i++) await good.command('PING');
  client.socket.resume();
  expect(await client.read(31)).toHaveLength(31);
  expect(await client.untilEnded()).toBe('end');
});

test('where one request at a time may be under way, a value of any size is streamed all the same', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits: { pipelined_requests: 1 } });
  await using client = await proxy.connect();
  expect(await client.command('SET', 'big', 'v'.repeat(6 * mib))).toBe('OK');
  expect(await client.command('STRLEN', 'big')).toBe(6 * mib);
});

test('with room for one request a value is streamed, a transaction runs, and a blocked client that leaves is let go', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits: { reply_window_bytes: 1024 } });
  await using direct = await RespClient.connect(redis.port);
  await using client = await proxy.connect();
  const value = 'v'.repeat(6 * mib);
  expect(await client.command('SET', 'big', value)).toBe('OK');
  expect(await client.command('GET', 'big')).toBe(value);
  const replies = await client.pipeline([
    ['GET', 'big'], ['SET', 'copy', value], ['STRLEN', 'copy'], ['MULTI'], ['STRLEN', 'big'], ['EXEC'], ['SELECT', '1'], ['DBSIZE'],
  ]);
  expect(replies.slice(1)).toEqual(['OK', 6 * mib, 'OK', 'QUEUED', [6 * mib], 'OK', 0]);
  await client.pipeline([['SELECT', '0'], ['GET', 'big']]);
  client.send(encodeCommand(['BLPOP', 'never', '0']));
  const blocked = async (): Promise<string> => /blocked_clients:(\d+)/.exec(String(await direct.command('INFO', 'clients')))![1]!;
  await expect.poll(blocked).toBe('1');
  client.reset();
  await expect.poll(blocked).toBe('0');
});
