import { expect, test } from 'vitest';
import { startEvilUpstream, type EvilUpstream, type Misbehaviour } from './evil-upstream.ts';
import { RespClient } from './resp-client.ts';

// What a raw client sees of `GET evil:<kind>:k` and a PING behind it, before 60 ms of silence or the end.
async function seen(evil: EvilUpstream, key: string): Promise<{ text: string; ended: string | null }> {
  await using client = await RespClient.connect(evil.port);
  client.send(`GET ${key}\r\nPING\r\n`);
  const text = (await client.readRaw({ idle: 60 })).toString('latin1');
  return { text, ended: client.ended };
}

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
const table: readonly [Misbehaviour, (reply: string) => string, string | null][] = [
  ['late', (reply) => `${reply}+PONG\r\n`, null],
  ['sliver', (reply) => `${reply}+PONG\r\n`, null],
  ['twice', (reply) => `${reply}${reply}+PONG\r\n`, null],
  ['skip', () => '+PONG\r\n', null],
  ['never', () => '', null],
  ['extra', (reply) => `${reply}+EXTRA\r\n+PONG\r\n`, null],
  ['swap', (reply) => `+PONG\r\n${reply}`, null],
  ['type', () => '@evil\r\n+PONG\r\n', null],
  ['long', (reply) => `${reply.replace(/^\$(\d+)/, (_, n: string) => `$${Number(n) + 10}`)}+PONG\r\n`, null],
  ['short', (reply) => `${reply.replace(/^\$(\d+)/, (_, n: string) => `$${Number(n) - 1}`)}+PONG\r\n`, null],
  ['deep', (reply) => `${'*1\r\n'.repeat(100_000)}${reply}+PONG\r\n`, null],
  ['half-fin', (reply) => reply.slice(0, reply.length >> 1), 'end'],
  ['half-rst', (reply) => reply.slice(0, reply.length >> 1), 'ECONNRESET'],
  ['half-silence', (reply) => reply.slice(0, reply.length >> 1), null],
  ['fin', () => '', 'end'],
  ['rst', () => '', 'ECONNRESET'],
  ['push', (reply) => `>2\r\n$7\r\nmessage\r\n$4\r\nevil\r\n${reply}+PONG\r\n`, null],
  ['attribute', (reply) => `|1\r\n+evil\r\n:1\r\n${reply}+PONG\r\n`, null],
  ['error', () => '-ERR evil \x01\x07\x1b[31m\ttext \x00\n+OK\r\n+PONG\r\n', null],
];

test.each(table)('a key can order "%s"', async (kind, expected, ended) => {
  await using evil = await startEvilUpstream({ lateMs: 20 });
  const key = `evil:${kind}:k`;
  expect(await seen(evil, key)).toEqual({ text: expected(bulk(key)), ended });
  expect(evil.executed.get(`get ${key}`)).toBe(1);
  expect(evil.done.get(kind)).toBe(1);
});

test('a request can be answered before it is complete, and is not answered again', async () => {
  await using evil = await startEvilUpstream();
  await using client = await RespClient.connect(evil.port);
  client.send('*3\r\n$3\r\nSET\r\n$12\r\nevil:early:k\r\n$1048576\r\nabc');
  expect((await client.readRaw({ idle: 30 })).toString()).toBe('-ERR evil: too big\r\n');
  client.send(`${'x'.repeat(1_048_573)}\r\nPING\r\n`);
  expect(await client.read(1)).toEqual(['PONG']);
});

test('a connection can be closed on accept or never read', async () => {
  await using closing = await startEvilUpstream({ chances: { 'close-on-accept': 1 } });
  await using refused = await RespClient.connect(closing.port);
  expect(await refused.untilEnded()).toMatch(/end|ECONNRESET/);
  await using deaf = await startEvilUpstream({ chances: { deaf: 1 } });
  expect(await seen(deaf, 'k')).toEqual({ text: '', ended: null });
});

test('the same seed and the same requests give the same misbehaviour', async () => {
  const runs: string[] = [];
  for (let run = 0; run < 2; run++) {
    await using evil = await startEvilUpstream({ seed: 42, chances: { twice: 0.2, skip: 0.2, error: 0.1 } });
    await using client = await RespClient.connect(evil.port);
    for (let i = 0; i < 100; i++) client.send(`GET k${i}\r\n`);
    runs.push((await client.readRaw({ idle: 50 })).toString('latin1'));
  }
  expect(runs[0]).toBe(runs[1]);
  expect(runs[0]?.length).toBeGreaterThan(500);
});
