// The hello of real clients, whole, in pieces, spread over records, and damaged.
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { expect, test } from 'vitest';
import { longestHello, readClientHello } from '../../../core/tls/client-hello.ts';
import { Dice } from '../../support/dice.ts';

/** What a client sends first. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectTls({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ...options }).on('error', () => undefined);
  const [socket] = await once(server, 'connection') as [Socket];
  const parts: Buffer[] = [];
  do parts.push((await once(socket, 'data'))[0] as Buffer); while (readClientHello(Buffer.concat(parts)) === 'more');
  client.destroy();
  socket.destroy();
  server.close();
  return Buffer.concat(parts);
}

/** The same message in records of `size` bytes. */
function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    parts.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(parts);
}

test.each<[string, ConnectionOptions, string | null]>([
  ['a name, in lower case', { servername: 'A.Example' }, 'a.example'],
  ['no name', {}, null],
  ['TLS 1.2', { servername: 'old.example', maxVersion: 'TLSv1.2' }, 'old.example'],
  ['the longest name', { servername: `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}.example` },
    `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}.example`],
  ['protocols and a session', { servername: 'alpn.example', ALPNProtocols: ['h2', 'http/1.1'] }, 'alpn.example'],
])('%s is found, in any number of pieces and records', async (_what, options, name) => {
  const hello = await helloOf(options);
  expect(readClientHello(hello)).toEqual({ name });
  for (let length = 0; length < hello.length; length++) expect(readClientHello(hello.subarray(0, length))).toBe('more');
  for (const size of [1, 3, 4, 100]) expect(readClientHello(inRecords(hello, size))).toEqual({ name });
});

test('a name that is none is no hello: it would stand in logs and be looked up', async () => {
  const hello = await helloOf({ servername: 'abcdef.example' });
  for (const bad of ['abc\ndef', 'abc\0def', 'abc def', 'abc/def', 'ab*.def']) {
    const changed = Buffer.from(hello);
    changed.write(bad, hello.indexOf('abcdef'), 'latin1');
    expect(readClientHello(changed)).toBe('garbage');
  }
});

test('damaged and random bytes never throw', async () => {
  const hello = await helloOf({ servername: 'fuzz.example' });
  const dice = new Dice(20_261_121);
  const random = (below: number): number => dice.between(0, below - 1);
  const outcomes = new Map<string, number>();
  for (let i = 0; i < 20_000; i++) {
    const bytes = i % 4 === 0 ? Buffer.from(Array.from({ length: random(64) }, () => random(256))) : Buffer.from(hello.subarray(0, random(hello.length + 1)));
    for (let changes = random(4); changes > 0 && bytes.length > 0; changes--) bytes[random(bytes.length)] = random(256);
    const found = readClientHello(bytes);
    const outcome = typeof found === 'string' ? found : 'hello';
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  expect([...outcomes.keys()].toSorted()).toEqual(['garbage', 'hello', 'more']);
});

test('a hello in single bytes and records costs little, however slowly it comes', async () => {
  const hello = inRecords(Buffer.concat([Buffer.from([22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb]), Buffer.alloc(16_379)]), 1);
  const limit = hello.subarray(0, longestHello);
  const began = performance.now();
  for (let length = 0; length <= limit.length; length += 6) expect(['more', 'garbage']).toContain(readClientHello(limit.subarray(0, length)));
  expect(performance.now() - began).toBeLessThan(3000);
});
