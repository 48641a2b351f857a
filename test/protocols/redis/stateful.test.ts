// Everything that needs a connection of its own, through the proxy on shared and on dedicated links.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { conversations } from './conversations.ts';

let redis: RedisServer;
let proxies: Proxy[];
const modes: readonly (readonly [name: string, route: Record<string, unknown>])[] = [
  ['shared links', {}],
  ['dedicated links', { protocol: { name: 'redis', conf: { upstream_connection: 'dedicated' } } }],
  ['shared links with hooks', { plugins: { 'fault-injection': { abort: { error: 'x' }, commands: ['never'] } } }],
];
beforeAll(async () => {
  redis = await startRedis();
  proxies = await Promise.all(modes.map(([, route]) => startProxy({ upstream: redis.port, route })));
});
afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
  await redis.stop();
});

/** What a connection says to these writes; numbers of clients differ between any two connections. */
async function talk(port: number, writes: readonly string[], due: number, patience: number): Promise<string> {
  await using client = await RespClient.connect(port);
  let text = '';
  for (const write of writes) {
    client.send(write);
    text += (await client.readRaw({ idle: 15 * patience })).toString('latin1');
  }
  // The server's own words are waited for until the answer to the last line came, the proxy's until as much came.
  const pinged = due === 0 && writes.at(-1)!.endsWith('PING\r\n');
  const deadline = performance.now() + 1500 * patience;
  do text += (await client.readRaw({ idle: 40 * patience })).toString('latin1');
  while ((text.length < due || (pinged && !/pong/i.test(text))) && client.ended === null && performance.now() < deadline);
  return text.replaceAll(/(\r\nid\r\n:)\d+/g, '$1N') + (client.ended === null ? '' : '(closed)');
}

let number = 0;

/** The same lines straight and through a proxy, with keys of their own. */
async function compare(proxy: Proxy, lines: readonly string[], apart: boolean, patience = 1): Promise<void> {
  const ask = async (port: number, due: number): Promise<string> => {
    const key = `k${String(number++).padStart(4, '0')}`;
    const own = lines.map((line) => `${line.replaceAll('KEY', key)}\r\n`);
    return (await talk(port, apart ? own : [own.join('')], due, patience)).replaceAll(key, 'KKKKK');
  };
  const expected = await ask(redis.port, 0);
  const got = await ask(proxy.port, expected.length);
  // On a busy machine the server's last words may come after we stopped listening: it is asked again, with more time.
  if (got !== expected && patience < 10) await compare(proxy, lines, apart, patience * 5);
  else expect(got).toEqual(expected);
}

describe.concurrent.each(modes.map(([name], i) => [name, i] as const))('on %s the server is heard', (_name, mode) => {
  test.each(conversations)('in one write: %s', async (_conversation, lines) => {
    await compare(proxies[mode]!, lines, false);
  });

  test.each(conversations)('line by line: %s', async (_conversation, lines) => {
    await compare(proxies[mode]!, lines, true);
  });
});

test.for(modes)('a connection does not become a replica with its first command (%s)', async ([mode]) => {
  const proxy = proxies[modes.findIndex(([name]) => name === mode)]!;
  await using client = await proxy.connect();
  expect(await client.command('REPLCONF', 'listening-port', '1')).toMatchObject({ text: expect.stringMatching(/never passed on/) });
});
