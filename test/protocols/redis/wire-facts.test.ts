// The bytes that a real server sends, sent by the proxy: whole, cut at every byte, and byte by byte.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { checkWireFact, wireFacts, type WireFact } from '../../support/wire-facts.ts';

let servers: RedisServer[];
let open: Proxy;
let password: Proxy;

beforeAll(async () => {
  servers = await Promise.all([startRedis(), startRedis(['--requirepass', 'pw'])]);
  // Wrong passwords are part of the table: their number must not matter here.
  const limits = { auth_failures_per_minute: 1_000_000 };
  [open, password] = await Promise.all(servers.map(({ port }) => startProxy({ upstream: port, limits }))) as [Proxy, Proxy];
});
afterAll(async () => {
  await Promise.all([open[Symbol.asyncDispose](), password[Symbol.asyncDispose]()]);
  await Promise.all(servers.map((each) => each.stop()));
});

const portFor = (fact: WireFact): number => (fact.server === 'open' ? open : password).port;

test.concurrent.each(wireFacts)('the proxy says what the server says: $name', async (fact) => {
  expect(await checkWireFact(fact, portFor(fact), { as: 'proxy' })).toBeNull();
});

const short = wireFacts.filter(({ send }) => send.reduce((sum, each) => sum + each.length, 0) < 300);

/** Runs all checks, at most `most` at a time, and answers what went wrong. */
async function problems(checks: (() => Promise<string | null>)[], most: number): Promise<string[]> {
  const found: string[] = [];
  const todo = checks.values();
  await Promise.all(Array.from({ length: most }, async () => {
    for (const check of todo) {
      const problem = await check();
      if (problem !== null) found.push(problem);
    }
  }));
  return found;
}

test('the same bytes one at a time, in twos and in threes, get the same answers', async () => {
  const checks = short.flatMap((fact) => [1, 2, 3].map((cut) => async () => {
    const problem = await checkWireFact(fact, portFor(fact), { as: 'proxy', cut });
    return problem === null ? null : `${fact.name}, cut ${cut}: ${problem}`;
  }));
  expect(await problems(checks, 80)).toEqual([]);
});

test('the same bytes cut in two at any place get the same answers', async () => {
  const checks = short.filter(({ send }) => send.length === 1).flatMap((fact) => {
    const [bytes] = fact.send as [Buffer];
    return Array.from({ length: bytes.length - 1 }, (_, i) => async () => {
      const cut = { ...fact, send: [bytes.subarray(0, i + 1), bytes.subarray(i + 1)] };
      const problem = await checkWireFact(cut, portFor(fact), { as: 'proxy' });
      return problem === null ? null : `${fact.name}, cut at ${i + 1}: ${problem}`;
    });
  });
  expect(checks.length).toBeGreaterThan(2000);
  expect(await problems(checks, 300)).toEqual([]);
});
