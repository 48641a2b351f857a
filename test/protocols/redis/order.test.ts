// D10: answers leave in the order of the requests, wherever they come from.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Dice } from '../../support/dice.ts';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { encodeCommand } from '../../support/resp.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(() => redis.stop());

/** Commands whose answers come from a shared link, an own link or the door, with what they answer. */
const kinds: readonly ((i: number) => readonly [command: readonly string[], answer: string])[] = [
  (i) => [['ECHO', `e${i}`], `$${`e${i}`.length}\r\ne${i}\r\n`],
  (i) => [['PING', `p${i}`], `$${`p${i}`.length}\r\np${i}\r\n`],
  (i) => [['CLIENT', 'SETNAME', `n${i}`], '+OK\r\n'],
  () => [['CLIENT', 'NOPE'], "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\r\n"],
  () => [['GET'], "-ERR wrong number of arguments for 'get' command\r\n"],
  (i) => [[`NOPE${i}`], `-ERR unknown command 'NOPE${i}', with args beginning with: \r\n`],
  () => [['SELECT', '0'], '+OK\r\n'],
  () => [['BLPOP', 'order:full', '0'], '*2\r\n$10\r\norder:full\r\n$1\r\nx\r\n'],
  () => [['UNWATCH'], '+OK\r\n'],
  (i) => [['LPUSH', `order:l${i}`, 'x'], ':1\r\n'],
];

describe.each<[string, Record<string, unknown>]>([
  ['a plain route', {}],
  ['a route with request hooks', { plugins: { 'fault-injection': { abort: { error: 'x' }, commands: ['nothing'] } } }],
  ['a route with log hooks', {
    protocol: { name: 'redis', logger: [{ name: 'logger', conf: { file: { path: '/dev/null' } } }] },
  }],
  ['a route that measures commands', { protocol: { name: 'redis', metric: { enable: true } } }],
  ['dedicated links', { protocol: { name: 'redis', conf: { upstream_connection: 'dedicated' } } }],
])('%s', (_name, route) => {
  let proxy: Proxy;
  beforeAll(async () => { proxy = await startProxy({ upstream: redis.port, route }); });
  afterAll(() => proxy[Symbol.asyncDispose]());

  test('an answer from the door between two from a link leaves between them', async () => {
    const client = await proxy.connect();
    const name = encodeCommand(['CLIENT', 'GETNAME']);
    const echo = (text: string): Buffer => encodeCommand(['ECHO', text]);
    for (let round = 0; round < 3; round++) {
      client.send(Buffer.concat([echo('a'), name, echo('b'), echo('c'), name, name, echo('d')]));
      expect(await client.read(7)).toEqual(['a', null, 'b', 'c', null, null, 'd']);
    }
  });

  test.each([1, 2, 3, 4])('random pipelines are answered in order, seed %i', async (seed) => {
    const dice = new Dice(seed);
    const client = await proxy.connect();
    await client.command('FLUSHALL');
    await client.command('RPUSH', 'order:full', ...Array.from({ length: 1000 }, () => 'x'));
    let number = 0;
    for (let round = 0; round < 40; round++) {
      const asked = Array.from({ length: dice.between(1, 60) }, () => dice.of(kinds)(number++));
      const bytes = Buffer.concat(asked.map(([command]) => encodeCommand(command)));
      for (let at = 0; at < bytes.length;) {
        const end = dice.chance(0.5) ? bytes.length : at + dice.between(1, bytes.length - at);
        client.send(bytes.subarray(at, end));
        if (end < bytes.length) await new Promise((resolve) => { setImmediate(resolve); });
        at = end;
      }
      const answers = (await client.readFrames(asked.length)).map((frame) => frame.toString());
      expect(answers).toEqual(asked.map(([, answer]) => answer));
    }
  });
});
