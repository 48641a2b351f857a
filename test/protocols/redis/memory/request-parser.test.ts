import { expect, test } from 'vitest';
import { splitInline } from '../../../../protocols/redis/memory/inline-arguments.ts';
import {
  ProtocolFault, RequestParser, RequestTooLarge,
} from '../../../../protocols/redis/memory/request-parser.ts';
import { encode } from './raw-client.ts';
import { cpuTime } from '../../../support/cpu-time.ts';

const stream = Buffer.concat([
  encode(['SET', 'k\r\n\0', '\xff'.repeat(300)]),
  Buffer.from('PING\r\n\r\n*0\r\n*-1\r\nECHO "a\\x00b" \'c\'\n'),
  encode(['GET', '']),
  encode(['*3', '$5\r\n']),
]);
const requests = [
  ['SET', 'k\r\n\0', '\xff'.repeat(300)], ['PING'], ['ECHO', 'a\0b', 'c'], ['GET', ''], ['*3', '$5\r\n'],
];

function parse(chunks: readonly Buffer[]): string[][] {
  const parser = new RequestParser();
  const found: string[][] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    for (let args = parser.next(); args !== null; args = parser.next()) {
      found.push(args.map((arg) => arg.toString('latin1')));
    }
  }
  return found;
}

test('requests are the same wherever the bytes are cut in two', () => {
  for (let cut = 0; cut <= stream.length; cut++) {
    expect(parse([stream.subarray(0, cut), stream.subarray(cut)])).toEqual(requests);
  }
});

test('requests are the same one byte at a time', () => {
  expect(parse(Array.from(stream, (byte) => Buffer.from([byte])))).toEqual(requests);
});

test('a large value in many small chunks takes time in proportion to its length', () => {
  const timed = (megabytes: number): number => {
    const request = encode(['SET', 'k', 'v'.repeat(megabytes * 1024 * 1024)]);
    const chunks = Array.from({ length: Math.ceil(request.length / 1024) }, (_, i) =>
      request.subarray(i * 1024, (i + 1) * 1024));
    return cpuTime(() => expect(parse(chunks)[0]?.[2]?.length).toBe(megabytes * 1024 * 1024));
  };
  timed(2);
  // Copying everything anew for each chunk would make 16 times the bytes 256 times as slow.
  expect(timed(32)).toBeLessThan(Math.max(timed(2), 2) * 100);
});

test('a line without an end is refused when it is longer than 64 KiB, even byte by byte', () => {
  const parser = new RequestParser();
  const sendAll = (): void => {
    for (let i = 0; i < 70_000; i++) {
      parser.push(Buffer.from('x'));
      parser.next();
    }
  };
  expect(sendAll).toThrow(new ProtocolFault('too big inline request'));
});

test('arguments do not share memory with the chunk that they came in', () => {
  const chunk = encode(['SET', 'key', 'value']);
  const parser = new RequestParser();
  parser.push(chunk);
  const args = parser.next();
  chunk.fill(0);
  expect(args?.map(String)).toEqual(['SET', 'key', 'value']);
});

test('a request of more than the limit in pieces is refused', () => {
  const parser = new RequestParser(1024 * 1024);
  const piece = Buffer.alloc(256 * 1024, 'x');
  const sendAll = (): void => {
    parser.push(Buffer.from('*9\r\n'));
    for (let i = 0; i < 5; i++) {
      parser.push(Buffer.from(`$${piece.length}\r\n`));
      parser.push(piece);
      parser.push(Buffer.from('\r\n'));
      parser.next();
    }
  };
  expect(sendAll).toThrow(RequestTooLarge);
});

test('requests that wait unread, as behind a blocked one, count towards the limit', () => {
  const parser = new RequestParser(1024 * 1024);
  const sendAll = (): void => {
    for (let i = 0; i < 20; i++) parser.push(Buffer.alloc(64 * 1024, 'PING\r\n'));
  };
  expect(sendAll).toThrow(RequestTooLarge);
});

test.each([
  ['', []], ['a b', ['a', 'b']], ['  a\t b ', ['a', 'b']],
  ['"a b"', ['a b']], ['"\\x41\\n\\t\\a\\b\\r"', ['A\n\t\x07\b\r']],
  ['"\\xZZ"', ['xZZ']], ["'a\\'b\\n'", ["a'b\\n"]], ['a"b c"', ['ab c']],
  ['""', ['']], ['"a"b', null], ['"a', null],
  ["'a", null], ["'a'b", null], ['"a\\"', null],
])('the inline line %j is split into %j', (line, words) => {
  expect(splitInline(line)).toEqual(words);
});
