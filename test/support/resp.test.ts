import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { CommandReader } from './command-reader.ts';
import { startRedis } from './redis-server.ts';
import { RespClient } from './resp-client.ts';
import { Decoder, encodeCommand, Push, RespError, RespSyntaxError, Verbatim, type Value } from './resp.ts';

const frames: readonly [string, Value][] = [
  ['+OK\r\n', 'OK'],
  ['-ERR no\r\n', new RespError('ERR no')],
  [':-42\r\n', -42],
  [':9223372036854775807\r\n', 9223372036854775807n],
  ['$5\r\na\r\nbc\r\n', 'a\r\nbc'],
  ['$0\r\n\r\n', ''],
  ['$-1\r\n', null],
  ['*-1\r\n', null],
  ['_\r\n', null],
  ['*0\r\n', []],
  ['*2\r\n*1\r\n:1\r\n$1\r\nx\r\n', [[1], 'x']],
  [',3.5\r\n', 3.5],
  [',-inf\r\n', -Infinity],
  ['#t\r\n', true],
  ['(3492890328409238509324850943850943825024385\r\n', 3492890328409238509324850943850943825024385n],
  ['=15\r\ntxt:Some string\r\n', new Verbatim('txt', 'Some string')],
  ['!21\r\nSYNTAX invalid syntax\r\n', new RespError('SYNTAX invalid syntax')],
  ['%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n', new Map<Value, Value>([['a', 1], ['b', []]])],
  ['~2\r\n:1\r\n:2\r\n', new Set([1, 2])],
  ['>2\r\n+message\r\n+x\r\n', new Push(['message', 'x'])],
  ['|1\r\n+ttl\r\n:3\r\n*2\r\n:1\r\n|1\r\n+k\r\n+v\r\n:2\r\n', [1, 2]],
  ['$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n', 'Hello'],
  ['*?\r\n:1\r\n*?\r\n.\r\n.\r\n', [1, []]],
  ['%?\r\n+a\r\n:1\r\n.\r\n', new Map([['a', 1]])],
];

test('every RESP type is decoded whole, byte by byte, and cut at every place', () => {
  for (const [text, value] of frames) {
    const bytes = Buffer.from(text);
    const cuts = [[...bytes].map((byte) => Buffer.from([byte])), [bytes],
      ...[...bytes.keys()].map((at) => [bytes.subarray(0, at), bytes.subarray(at)])];
    for (const pieces of cuts) {
      const decoder = new Decoder();
      const got: Value[] = [];
      for (const piece of pieces) {
        decoder.push(piece);
        for (let next = decoder.next(); next !== undefined; next = decoder.next()) got.push(next);
      }
      expect({ text, got }).toEqual({ text, got: [value] });
      expect(decoder.frame.toString()).toBe(text);
      expect(decoder.pending).toBe(0);
    }
  }
});

test('attributes are kept apart from the value that they belong to', () => {
  const decoder = new Decoder();
  decoder.push(Buffer.from('|1\r\n+ttl\r\n:3\r\n:7\r\n'));
  expect(decoder.next()).toBe(7);
  expect(decoder.attributes).toEqual([new Map([['ttl', 3]])]);
});

test('what is no RESP is refused, not guessed', () => {
  for (const text of ['@x\r\n', '@', '$5\r\nabcdefg\r\n', '$-5\r\n', '*-9\r\n', ':1e3\r\n', '$0x1\r\n',
    '.\r\n', '#y\r\n']) {
    const decoder = new Decoder();
    decoder.push(Buffer.from(text));
    expect(() => decoder.next()).toThrow(RespSyntaxError);
  }
});

test('a depth of 100,000 costs no stack', () => {
  const decoder = new Decoder();
  decoder.push(Buffer.from(`${'*1\r\n'.repeat(100_000)}:1\r\n`));
  let value = decoder.next();
  for (let depth = 0; depth < 100_000; depth++) value = (value as Value[])[0];
  expect(value).toBe(1);
});

test('a command is framed the same wherever its bytes are cut', () => {
  const bytes = Buffer.concat([encodeCommand(['SET', 'a', 'x\r\ny']), Buffer.from('PING  hi\r\n'),
    encodeCommand(['GET', 'a'])]);
  for (let at = 0; at <= bytes.length; at++) {
    const reader = new CommandReader();
    const seen = [...reader.push(bytes.subarray(0, at)), ...reader.push(bytes.subarray(at))];
    expect(seen.map(({ args }) => args.map(String))).toEqual([['SET', 'a', 'x\r\ny'], ['PING', 'hi'],
      ['GET', 'a']]);
    expect(Buffer.concat(seen.map(({ raw }) => raw))).toEqual(bytes);
  }
});

test('a real server is spoken to in RESP2 and RESP3', async () => {
  await using redis = await startRedis();
  await using client = await RespClient.connect(redis.port);
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  expect(await client.pipeline([['GET', 'a'], ['GET', 'none'], ['NOPE']])).toEqual(
    ['1', null, new RespError("ERR unknown command 'NOPE', with args beginning with: ")]);
  expect(await client.command('HELLO', '3')).toBeInstanceOf(Map);
  for (const [type, value] of [
    ['map', new Map<Value, Value>([[0, false], [1, true], [2, false]])], ['set', new Set([0, 1, 2])],
    ['double', 3.141],
    ['bignum', 1234567999999999999999999999999999999n],
    ['verbatim', new Verbatim('txt', 'This is a verbatim\nstring')],
    ['true', true], ['null', null],
  ] as const) expect([type, await client.command('DEBUG', 'PROTOCOL', type)]).toEqual([type, value]);
  await client.command('DEBUG', 'PROTOCOL', 'attrib');
  expect(client.attributes).toHaveLength(1);
  client.send('SUBSCRIBE news\r\n');
  expect(await client.readPushes(1)).toEqual([new Push(['subscribe', 'news', 1])]);
  client.send('PING\r\n');
  expect(await client.readRaw({ bytes: 7 })).toEqual(Buffer.from('+PONG\r\n'));
});

test('half close, reset and the end of the other side are told apart', async () => {
  await using redis = await startRedis();
  await using half = await RespClient.connect(redis.port);
  half.send('PING\r\n');
  half.end();
  expect(await half.readRaw({ idle: 200 })).toEqual(Buffer.from('+PONG\r\n'));
  await using quitting = await RespClient.connect(redis.port);
  quitting.send('QUIT\r\n');
  expect(await quitting.untilEnded()).toBe('end');
  await expect(quitting.read(2)).rejects.toThrow(/expected 2 replies, the connection ended \(end\); had 1 replies/);
  const ends: string[] = [];
  const server = createServer((socket) =>
    socket.on('error', (error: NodeJS.ErrnoException) => ends.push(error.code ?? '')));
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const resetting = await RespClient.connect((server.address() as AddressInfo).port);
  resetting.reset();
  await expect.poll(() => ends).toEqual(['ECONNRESET']);
  await new Promise((resolve) => { server.close(resolve); });
});
