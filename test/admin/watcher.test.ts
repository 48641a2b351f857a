// Who watches and does not read, or leaves at a bad moment, costs neither memory nor the process.
import { createServer, get, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { Watcher } from '../../admin/watcher.ts';
import type { TailBatch, TailRecord } from '../../core/tail.ts';
import { ask, key, startAdmin } from './admin.ts';

const record = (command: string): TailRecord => ({
  time: '', worker: 0, session: 1, client: '', route: '1', command, keys: [], line: 'x'.repeat(500), outcome: 'ok',
  took: 0, upstream: '', bytes_in: 0, bytes_out: 0,
});
const batch = (count: number, command = 'get'): TailBatch => ({ id: 1, records: Array.from({ length: count }, () => record(command)), dropped: 0 });

/** A watcher over a real connection, whose client reads only when told to. */
async function watched(limit = Infinity): Promise<{ watcher: Watcher; client: Socket; errors: unknown[] } & AsyncDisposable> {
  const made = Promise.withResolvers<Watcher>();
  const errors: unknown[] = [];
  const server = createServer((_request, response) => {
    response.on('error', (error) => errors.push(error));
    made.resolve(new Watcher(response, limit));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined).pause();
  client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  return {
    watcher: await made.promise, client, errors,
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

test('what comes from another worker after the last record is neither shown nor an error', async () => {
  await using bench = await watched(3);
  bench.watcher.begin({});
  bench.watcher.show(batch(3));
  for (let i = 0; i < 5; i++) bench.watcher.show(batch(50, 'late'));
  let text = '';
  bench.client.on('data', (bytes) => { text += String(bytes); }).resume();
  await expect.poll(() => text).toContain('\r\n0\r\n\r\n');
  expect(text.match(/"command":"get"/g)).toHaveLength(3);
  expect(text).not.toContain('late');
  expect(bench.errors).toEqual([]);
});

test('who does not read is cut off at a few megabytes, and what comes afterwards is no error', async () => {
  await using bench = await watched();
  bench.watcher.begin({});
  const gone = new Promise<void>((resolve) => bench.watcher.onGone(resolve));
  for (let i = 0; i < 300; i++) bench.watcher.show(batch(100));
  await gone;
  bench.watcher.show(batch(100));
  bench.watcher.end();
  await new Promise(setImmediate);
  expect(bench.errors).toEqual([]);
});

test('who does not read the end either is gone in seconds: a server that closes need not wait for him', async () => {
  await using bench = await watched();
  bench.watcher.begin({});
  // More than the sockets' buffers take, less than the limit.
  for (let i = 0; i < 60; i++) bench.watcher.show(batch(100));
  const gone = new Promise<void>((resolve) => bench.watcher.onGone(resolve));
  bench.watcher.end();
  bench.watcher.show(batch(100));
  await gone;
  expect(bench.errors).toEqual([]);
});

test('records that are there before every worker knows are shown after the head', async () => {
  await using bench = await watched();
  bench.watcher.show(batch(2, 'early'));
  bench.watcher.begin({ 'x-of': 'test' });
  let text = '';
  bench.client.on('data', (bytes) => { text += String(bytes); }).resume();
  await expect.poll(() => text.match(/"command":"early"/g)?.length).toBe(2);
  expect(text).toMatch(/^HTTP\/1.1 200 OK\r\nx-of: test\r\ncontent-type: text\/event-stream/);
});

test('who leaves while the workers are told gives his place back', async () => {
  await using bench = await startAdmin();
  let stopped = 0;
  let tell = (): void => undefined;
  bench.plane.tail = () => new Promise((resolve) => { tell = () => resolve(() => { stopped++; }); });
  for (let i = 0; i < 6; i++) {
    const before = tell;
    const socket = connect(bench.admin.port, '127.0.0.1');
    socket.write(`GET /apisix/admin/tail HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: ${key}\r\n\r\n`);
    await expect.poll(() => tell !== before).toBe(true);
    socket.destroy();
    // The server sees the end of the connection before the workers answer.
    await new Promise((resolve) => setTimeout(resolve, 50));
    tell();
    await expect.poll(() => stopped).toBe(i + 1);
  }
  bench.plane.tail = async () => () => undefined;
  const open = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ port: bench.admin.port, path: '/admin/tail', agent: false, headers: { 'x-api-key': key } }, resolve).on('error', reject);
  });
  expect(open.statusCode).toBe(200);
  open.destroy();
  expect((await ask(bench.admin.port, 'GET', '/healthz')).status).toBe(200);
});
