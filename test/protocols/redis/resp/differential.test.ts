// G2c, P7: random bytes get the same answers, the same error texts and the same close from the proxy as from the
// server behind it. What differs on purpose is listed in `explained`.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Dice } from '../../../support/dice.ts';
import { startProxy, type Proxy } from '../../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../../support/redis-server.ts';
import { RespClient } from '../../../support/resp-client.ts';

let redis: RedisServer;
let proxy: Proxy;
beforeAll(async () => {
  redis = await startRedis();
  proxy = await startProxy({ upstream: redis.port });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await redis.stop();
});

const PROBE = '\r\nECHO differential\r\n';
const END = '$12\r\ndifferential\r\n';

/** What comes back for these bytes and a probe behind them, and whether the connection was closed. */
async function answer(port: number, bytes: string): Promise<string> {
  await using client = await RespClient.connect(port);
  client.send(Buffer.from(bytes + PROBE, 'latin1'));
  let text = '';
  const deadline = performance.now() + 400;
  do text += (await client.readRaw({ idle: 8 })).toString('latin1');
  while (!text.endsWith(END) && client.ended === null && performance.now() < deadline);
  return client.ended === null ? text : `${text}(closed)`;
}

/** Differences that are ours by decision; each with the input it concerns and what is owed instead. */
const explained: readonly (readonly [why: string, is: (bytes: string, server: string, proxy: string) => boolean])[] = [
  ['the line end behind a bulk is checked (P2)', (_b, _s, ours) => ours.includes('expected CRLF after bulk')],
  ['a bare line feed in a header is an error at once, the server waits (P3)',
    (bytes, _s, ours) => /[*$][^\r\n]*\n/.test(bytes) && ours.endsWith('(closed)')],
  ['a line feed behind CR is not checked by the server', (bytes, _s, ours) => /[*$]-?\d+\r[^\n]/.test(bytes) && ours.endsWith('(closed)')],
  ['a control character in an error text is a space here', (_b, server, ours) =>
    // oxlint-disable-next-line no-control-regex
    server.replaceAll(/[\x01-\x09\x0b\x0c\x0e-\x1f\x7f]/g, ' ') === ours],
];

async function differences(streams: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const todo = streams.values();
  await Promise.all(Array.from({ length: 24 }, async () => {
    for (const bytes of todo) {
      let [server, ours] = await Promise.all([answer(redis.port, bytes), answer(proxy.port, bytes)]);
      if (server !== ours) [server, ours] = await Promise.all([answer(redis.port, bytes), answer(proxy.port, bytes)]);
      if (server === ours || explained.some(([, is]) => is(bytes, server, ours))) continue;
      found.push(`${JSON.stringify(bytes)}: server ${JSON.stringify(server)}, proxy ${JSON.stringify(ours)}`);
    }
  }));
  return found;
}

const streams = Number(process.env['MILLRACE_DIFFERENTIAL'] ?? 1200);

test('quoted inline commands are read with the grammar of the server (P7)', async () => {
  const dice = new Dice(3);
  const parts = ['"', "'", '\\', ' ', 'x', '\\x41', '\\xg1', '\\n', '\\"', "\\'", '\\t', '\\a', '\\q', '\t', 'a b', '\v', '\f'];
  const lines = Array.from({ length: streams }, () =>
    `PING ${Array.from({ length: dice.between(1, 8) }, () => dice.of(parts)).join('')}`);
  expect(await differences(lines)).toEqual([]);
});

test('random framing gets the same answers, errors and closes (G2c)', async () => {
  const dice = new Dice(5);
  const count = (): string => dice.of(['1', '2', '2', '3', '0', '-1', '-2', '01', '+1', '1e1', '', ' 1', '1 ', '10', '4294967297', 'x']);
  const word = (): string => dice.of(['PING', 'ECHO', 'GET', 'NOPE', 'a', '', 'x y', 'MULTI', 'EXEC', 'CLIENT', 'ID', 'SELECT', '1']);
  const bulk = (): string => {
    const text = word();
    return `$${dice.chance(0.85) ? text.length : count()}\r\n${text}\r\n`;
  };
  const pieces = [
    (): string => {
      const n = dice.between(1, 3);
      return `*${dice.chance(0.85) ? n : count()}\r\n${Array.from({ length: n }, bulk).join('')}`;
    },
    (): string => `${word()} ${word()}\r\n`,
    (): string => dice.of(['\r\n', '\n', '*0\r\n', '*-1\r\n', '$4\r\nPING\r\n', ':1\r\n', '+OK\r\n', '*1\r\n:1\r\n', '*\r\n', '$\r\n']),
  ];
  const all = Array.from({ length: streams }, () =>
    Array.from({ length: dice.between(1, 4) }, () => dice.of(pieces)()).join('')
      // Numbers of clients differ between two connections.
      .replaceAll(/CLIENT(\r\n\$\d+\r\n| )ID/g, 'CLIENT$1XX'));
  expect(await differences(all)).toEqual([]);
});
