import { createConnection } from 'node:net';
import { duplexPair } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { commands } from '../../../../protocols/redis/memory/command-table.ts';
import { MemoryRedis } from '../../../../protocols/redis/memory/server.ts';
import { startRedis } from '../../../support/redis-server.ts';
import { itemsOf } from './frame.ts';
import { encode, RawClient } from './raw-client.ts';

let memory: MemoryRedis;
let port = 0;
let now = 1_700_000_000_000;

beforeEach(async () => {
  now = 1_700_000_000_000;
  memory = new MemoryRedis({ now: () => now });
  port = await memory.listen();
});

afterEach(async () => {
  await memory.close();
});

/** The bulk strings of an array reply. */
function bulks(reply: string): string[] {
  return itemsOf(reply).items.map((item) => item.slice(item.indexOf('\r\n') + 2, -2));
}

test('arity, flags and key positions of every command are those of a real server', async () => {
  await using real = await startRedis();
  await using ours = await RawClient.connect(port);
  await using theirs = await RawClient.connect(real.port);
  const describeRow = async (client: RawClient, name: string): Promise<string[]> => {
    const [row = ''] = itemsOf(await client.call('COMMAND', 'INFO', name)).items;
    const [, arity = '', flags = '', ...places] = itemsOf(row).items;
    return [name, arity, ...itemsOf(flags).items.sort(), ...places.slice(0, 3)];
  };
  for (const { name, subcommands } of commands.values()) {
    const names = [name, ...Array.from(subcommands?.values() ?? [], (row) => row.name)];
    for (const each of names.filter((known) => known !== 'client|setinfo')) {
      expect(await describeRow(ours, each)).toEqual(await describeRow(theirs, each));
    }
  }
  expect(commands.size).toBeGreaterThan(150);
});

test('keys expire by the given clock, also without being asked for', async () => {
  await using client = await RawClient.connect(port);
  await client.call('SET', 'a', '1', 'PX', '1000');
  await client.call('SET', 'b', '1', 'EX', '10');
  now += 999;
  expect(await client.call('PTTL', 'a')).toBe(':1\r\n');
  now += 1;
  await expect.poll(() => client.call('DBSIZE')).toBe(':1\r\n');
  expect(await client.call('TTL', 'b')).toBe(':9\r\n');
});

test('SCAN returns every key that stays, while others come and go', async () => {
  await using client = await RawClient.connect(port);
  for (let i = 0; i < 500; i++) await client.call('SET', `stay:${i}`, '1');
  const seen = new Set<string>();
  let cursor = '0';
  let pages = 0;
  do {
    const { items: [next = '', page = ''] } = itemsOf(await client.call('SCAN', cursor, 'COUNT', '7'));
    for (const key of bulks(page)) seen.add(key);
    cursor = next.split('\r\n')[1] ?? '0';
    pages++;
    await client.call('SET', `come:${pages}`, '1');
    await client.call('DEL', `come:${pages - 3}`);
    // The same cursor once more: a client that lost the answer.
    if (pages % 10 === 0) await client.call('SCAN', cursor, 'COUNT', '7');
  } while (cursor !== '0');
  expect(Array.from({ length: 500 }, (_, i) => `stay:${i}`).filter((key) => !seen.has(key))).toEqual([]);
  expect(pages).toBeGreaterThan(50);
});

test('a pipeline is answered in one write', async () => {
  const socket = createConnection(port, '127.0.0.1');
  const chunks: string[] = [];
  socket.on('data', (chunk) => chunks.push(String(chunk)));
  socket.write('PING\r\n'.repeat(1000));
  while (chunks.join('').length < 7000) await sleep(5);
  socket.destroy();
  expect(chunks).toEqual(['+PONG\r\n'.repeat(1000)]);
});

test('a value of 100 MB goes in and out unchanged', async () => {
  await using client = await RawClient.connect(port);
  const value = Buffer.alloc(100 * 1024 * 1024, 'abcdefg');
  client.send(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${value.length}\r\n`);
  client.send(value);
  client.send('\r\n');
  expect(await client.reply()).toBe('+OK\r\n');
  expect(await client.call('GETRANGE', 'k', '-9', '-1')).toBe(`$9\r\n${value.subarray(-9).toString()}\r\n`);
  expect(await client.call('STRLEN', 'k')).toBe(`:${value.length}\r\n`);
});

test('requests cut at any byte are answered alike', async () => {
  const bytes = Buffer.concat([
    encode(['SET', 'a', '\r\n\xff']), Buffer.from('GET a\r\n'), encode(['NOSUCH', 'x']),
  ]);
  const expected = "+OK\r\n$3\r\n\r\n\xff\r\n"
    + "-ERR unknown command 'NOSUCH', with args beginning with: 'x' \r\n";
  for (let cut = 0; cut <= bytes.length; cut++) {
    await using client = await RawClient.connect(port);
    client.send(bytes.subarray(0, cut));
    await sleep(1);
    client.send(bytes.subarray(cut));
    expect(await client.reply() + await client.reply() + await client.reply()).toBe(expected);
  }
});

test('replies to what a half-closed client sent still leave', async () => {
  await using client = await RawClient.connect(port);
  client.socket.end('PING\r\nECHO bye\r\n');
  expect(await client.rest()).toBe('+PONG\r\n$3\r\nbye\r\n');
});

test('a client that does not read is not read from for ever', async () => {
  await using filler = await RawClient.connect(port);
  await filler.call('SET', 'k', 'v'.repeat(1024 * 1024));
  const socket = createConnection(port, '127.0.0.1');
  socket.pause();
  socket.write('GET k\r\n'.repeat(500));
  await sleep(200);
  const { rss } = process.memoryUsage();
  let received = 0;
  socket.on('data', (chunk) => (received += chunk.length));
  socket.resume();
  while (received < 500 * (1024 * 1024 + 12)) await sleep(10);
  socket.destroy();
  expect(received).toBe(500 * (1024 * 1024 + 12));
  expect(rss).toBeLessThan(1500 * 1024 * 1024);
});

test('a stream that is no socket is served through accept', async () => {
  const [near, far] = duplexPair();
  memory.accept(far);
  near.write('PING\r\nCLIENT INFO\r\n');
  let text = '';
  near.on('data', (bytes: Buffer) => { text += String(bytes); });
  await expect.poll(() => text).toMatch(/^\+PONG\r\n\$\d+\r\nid=\d+ addr= laddr= /);
  near.destroy();
});

test('INFO says what this server is for', async () => {
  await using client = await RawClient.connect(port);
  const info = await client.call('INFO');
  expect(info).toContain('\r\nmillrace_memory:for demo and development only\r\n');
  expect(info).toContain('\r\nredis_version:7.0.15\r\n');
});

test('close lets go of clients, blocked ones too, and of the port', async () => {
  const client = await RawClient.connect(port);
  client.send('BLPOP none 0\r\n');
  await client.within(10);
  await memory.close();
  expect(await client.rest()).toBe('');
  memory = new MemoryRedis();
  expect(await memory.listen(port)).toBe(port);
});

test('CLIENT LIST shows all clients with what they do', async () => {
  await using a = await RawClient.connect(port);
  await using b = await RawClient.connect(port);
  await a.call('CLIENT', 'SETNAME', 'alice');
  b.send('BLPOP x 0\r\n');
  await b.within(10);
  const list = await a.call('CLIENT', 'LIST');
  expect(list).toMatch(/name=alice .* flags=N db=0 .* cmd=client\|list user=default redir=-1 resp=2\n/);
  expect(list).toMatch(/name= .* flags=b .* cmd=blpop /);
});

describe('the official client', () => {
  test.each([2, 3] as const)('works in RESP%i', async (RESP) => {
    const client = createClient({ url: `redis://127.0.0.1:${port}`, RESP });
    await client.connect();
    await client.hSet('h', { a: '1', b: '2' });
    const scored = [{ value: 'x', score: 1.5 }, { value: 'y', score: 2 }];
    await client.zAdd('z', scored);
    expect({ ...await client.hGetAll('h') }).toEqual({ a: '1', b: '2' });
    expect(await client.zRangeWithScores('z', 0, -1)).toEqual(scored);
    expect(await client.multi().set('k', 'v').get('k').exec()).toEqual(['OK', 'v']);
    const subscriber = client.duplicate();
    await subscriber.connect();
    const message = new Promise((resolve) => void subscriber.subscribe('ch', resolve));
    while (await client.publish('ch', 'hello') === 0) await sleep(5);
    expect(await message).toBe('hello');
    subscriber.destroy();
    client.destroy();
  });
});
