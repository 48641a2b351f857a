// Clients that take too much, too slowly or too long (M1, M5–M7, M10, P4).
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { startMillrace } from '../soak/process.ts';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { encodeCommand } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';

const mib = 1024 * 1024;

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await new Promise((resolve) => { socket.once('connect', resolve).once('close', resolve); });
  return socket;
}

function ended(socket: Socket, within: number): Promise<boolean> {
  return new Promise((resolve) => {
    if (socket.closed) resolve(true);
    socket.once('close', () => resolve(true));
    setTimeout(() => resolve(false), within).unref();
    socket.resume();
  });
}

test('a client that pipelines and does not read is closed, and others are answered meanwhile (M1)', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits: { unsent_reply_close_bytes: 16 * mib, slow_client_s: 1 } });
  const good = await proxy.connect();
  await good.command('SET', 'big', 'b'.repeat(mib));
  const mute = await open(proxy.port);
  mute.pause();
  mute.write(Buffer.concat(Array.from({ length: 100 }, () => encodeCommand(['GET', 'big']))));
  for (let i = 0; i < 100; i++) {
    expect(await good.command('ECHO', String(i))).toBe(String(i));
    await sleep(20);
  }
  await expect.poll(() => proxy.metrics()).toMatch(/millrace_connections_closed_total\{reason="CLIENT_SLOW"\} 1/);
  expect(await ended(mute, 10_000)).toBe(true);
});

test('a command that is begun must be finished in time, an idle client may stay (M5)', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits: { request_timeout_s: 1 } });
  const idle = await proxy.connect();
  expect(await idle.command('PING')).toBe('PONG');
  const slow = await Promise.all(Array.from({ length: 200 }, () => open(proxy.port)));
  for (const [i, socket] of slow.entries()) socket.write(i % 2 === 0 ? '*2\r\n$3\r\nGET\r\n$10\r\na' : 'GE');
  const over = slow.map((socket) => ended(socket, 10_000));
  await sleep(500);
  for (const socket of slow) if (socket.writable) socket.write('x');
  expect((await Promise.all(over)).every(Boolean)).toBe(true);
  expect(await idle.command('PING')).toBe('PONG');
});

test('clients over the limit are told so and closed (M6)', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits: { clients_per_listener: 5 } });
  const served = [];
  for (let i = 0; i < 5; i++) {
    served.push(await proxy.connect());
    expect(await served[i]!.command('PING')).toBe('PONG');
  }
  const sixth = await proxy.connect();
  expect((await sixth.readRaw({ until: '\r\n' })).toString()).toBe('-ERR max number of clients reached\r\n');
  await sixth.untilEnded();
  await served[0]!.close();
  const seventh = async (): Promise<string> => {
    const client = await proxy.connect();
    client.send('PING\r\n');
    return (await client.readRaw({ until: '\r\n' })).toString();
  };
  await expect.poll(seventh).toBe('+PONG\r\n');
});

test('without free descriptors the process goes on serving, does not spin, and recovers (M6)', { timeout: 30_000 }, async () => {
  await using redis = await startRedis();
  await using millrace = await startMillrace({ upstream: redis.port, descriptors: 160 });
  const good = await open(millrace.port);
  good.write('PING\r\n');
  await new Promise((resolve) => { good.once('data', resolve); });
  const flood = await Promise.all(Array.from({ length: 400 }, () => open(millrace.port)));
  await sleep(500);
  const before = millrace.cpu();
  await sleep(2000);
  expect((millrace.cpu() - before) / 2).toBeLessThan(0.2);
  const answer = new Promise((resolve) => { good.once('data', (bytes: Buffer) => resolve(bytes.toString())); });
  good.write('PING\r\n');
  expect(await answer).toBe('+PONG\r\n');
  for (const socket of flood) socket.destroy();
  await sleep(1500);
  const fresh = await open(millrace.port);
  const pong = new Promise((resolve) => { fresh.once('data', (bytes: Buffer) => resolve(bytes.toString())); });
  fresh.write('PING\r\n');
  expect(await pong).toBe('+PONG\r\n');
  fresh.destroy();
  good.destroy();
});

test('a stranger who asks without reading is closed long before it costs memory (M7)', async () => {
  await using redis = await startRedis(['--requirepass', 'secret']);
  await using proxy = await startProxy({ upstream: redis.port, limits: { unsent_reply_pause_bytes: 65_536, slow_client_s: 0.5 } });
  const stranger = await open(proxy.port);
  stranger.pause();
  const asked = Buffer.from('PING\r\n'.repeat(10_000));
  const asking = setInterval(() => { if (stranger.writableLength < mib) stranger.write(asked); }, 5);
  let closed = 0;
  for (let tries = 0; tries < 150 && closed === 0; tries++) {
    await sleep(100);
    closed = Number(/millrace_connections_closed_total\{reason="CLIENT_SLOW"\} (\d+)/.exec(await proxy.metrics())?.[1] ?? 0);
  }
  clearInterval(asking);
  stranger.destroy();
  expect(closed).toBe(1);
});

test('what is declared is not allocated (P4)', { timeout: 30_000 }, async () => {
  await using redis = await startRedis();
  await using millrace = await startMillrace({ upstream: redis.port });
  const sockets = await Promise.all(Array.from({ length: 500 }, () => open(millrace.port)));
  await sleep(500);
  const before = millrace.resident();
  for (const socket of sockets) socket.write('*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\nx');
  await sleep(1000);
  expect(millrace.resident() - before).toBeLessThan(20 * mib);
  for (const socket of sockets) socket.destroy();
});

test('timers do not pile up with requests (M10)', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const client = await proxy.connect();
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  await client.command('PING');
  const before = timers();
  for (let round = 0; round < 100; round++) await client.pipeline(Array.from({ length: 500 }, (_, i) => ['GET', `k${i}`]));
  expect(timers()).toBeLessThanOrEqual(before + 2);
});
