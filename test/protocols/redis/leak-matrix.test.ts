// S1: whatever a client does before it goes, the next ones find links on which nothing ever happened.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand } from '../../support/resp.ts';
import { leakMatrix, runLeakMatrix, type LeakDifference, type LeakEntry } from '../../support/leak-matrix.ts';

const PARTS = 4;
let redis: RedisServer[];
let proxies: Proxy[];
let entries: LeakEntry[];

beforeAll(async () => {
  redis = await Promise.all(Array.from({ length: PARTS }, () => startRedis()));
  proxies = await Promise.all(redis.map(({ port }) => startProxy({ upstream: port })));
  entries = await leakMatrix(redis[0]!.port);
});
afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
  await Promise.all(redis.map((each) => each.stop()));
});

describe.concurrent('no state of a client reaches another one through shared links', () => {
  const parts = Array.from({ length: PARTS }, (_, i) => i);
  test.for(parts)('part %i of the matrix', { timeout: 60_000 }, async (part) => {
    const differences: LeakDifference[] = await runLeakMatrix({
      port: proxies[part]!.port, serverPort: redis[part]!.port, expectRefusals: true,
      entries: entries.filter((_, i) => i % PARTS === part),
    });
    expect(differences).toEqual([]);
  });
});

// The matrix compares proxied clients with each other: what they see must be right to begin with.
test('the probes of the matrix in one pipeline get the answers of the server', async () => {
  const probes = [['PING'], ['CLIENT', 'GETNAME'], ['ACL', 'WHOAMI'], ['GET', 'lm:canary'], ['EXEC'], ['DISCARD'],
    ['CLIENT', 'GETREDIR'], ['HGETALL', 'lm:hash'], ['GET', 'lm:nothing'], ['EVAL', 'return 7', '0'],
    ['PING', 'x']];
  const frames = async (port: number): Promise<string[]> => {
    await using client = await RespClient.connect(port);
    client.send(Buffer.concat(probes.map((args) => encodeCommand(args))));
    return (await client.readFrames(probes.length)).map((frame) => frame.toString());
  };
  expect(await frames(proxies[0]!.port)).toEqual(await frames(redis[0]!.port));
});
