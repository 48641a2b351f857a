import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { encodeCommand } from '../support/resp.ts';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { sleep } from '../support/sleep.ts';

const mib = 1024 * 1024;

/** A client that does not read until it is told to. */
async function mute(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.pause();
  return socket;
}

function readAll(socket: Socket, bytes: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const done = (): void => resolve(Buffer.concat(chunks));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if ((length += chunk.length) >= bytes) done();
    }).once('close', done).once('error', done);
    socket.resume();
  });
}

function count(bytes: Buffer, byte: number): number {
  let found = 0;
  for (const each of bytes) if (each === byte) found++;
  return found;
}

test('what waits for a slow reader stays its own while other upstream connections are read', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const writer = await proxy.connect();
  await writer.command('SET', 'a', 'a'.repeat(6 * mib));
  await writer.command('SELECT', '1');
  await writer.command('SET', 'b', 'b'.repeat(300_000));
  for (let round = 0; round < 5; round++) {
    const slow = await mute(proxy.port);
    slow.write(encodeCommand(['GET', 'a']));
    await sleep(30);
    // Another database: another link, in the same worker.
    for (let i = 0; i < 5; i++) await writer.command('GET', 'b');
    const header = `$${6 * mib}\r\n`;
    const bytes = await readAll(slow, header.length + 6 * mib + 2);
    slow.destroy();
    expect(bytes.length).toBe(header.length + 6 * mib + 2);
    expect(count(bytes, 0x61)).toBe(6 * mib);
  }
}, 30_000);

test('what waits for a slow reader stays its own when its connection ends in the middle of a turn', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const writer = await proxy.connect();
  await writer.command('SET', 'a', 'a'.repeat(200_000));
  await writer.command('SET', 'b', 'b'.repeat(300_000));
  for (let round = 0; round < 10; round++) {
    const slow = await mute(proxy.port);
    // The replies fill the kernel's buffers; QUIT ends the session while the last of them is being passed on.
    slow.write(Buffer.concat([...Array.from({ length: 30 }, () => encodeCommand(['GET', 'a'])), encodeCommand(['QUIT'])]));
    await sleep(20);
    for (let i = 0; i < 5; i++) await writer.command('GET', 'b');
    const bytes = await readAll(slow, Infinity);
    expect(count(bytes, 0x62)).toBe(0);
    expect(bytes.subarray(-5).toString()).toBe('+OK\r\n');
  }
}, 30_000);
