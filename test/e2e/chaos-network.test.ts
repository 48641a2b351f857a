// Clients that vanish and networks that misbehave on both sides of the proxy (D2).
import { expect, test } from 'vitest';
import { assertNothingWrong, runOracle } from '../support/oracle.ts';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { sleep } from '../support/sleep.ts';
import { startToxicMiddle } from '../support/toxic-middle.ts';

test('clients that go away in the middle of their pipelines cost nobody else an answer (D2)', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const result = await runOracle({ port: proxy.port, seconds: 4, seed: 15, connections: 40, maxValue: 100_000, kill: 0.05, verifyPort: redis.port });
  assertNothingWrong(result);
  expect(result.cancelled).toBeGreaterThan(100);
  expect([...result.errors]).toEqual([]);
  expect(result.closed).toBe(0);
  expect(result.stalled).toBe(0);
}, 20_000);

test('bad networks on both sides swap nothing', async () => {
  await using redis = await startRedis();
  await using behind = await startToxicMiddle({ to: redis.port, seed: 17 });
  await using proxy = await startProxy({ upstream: behind.port, route: { upstream: { nodes: { [`127.0.0.1:${behind.port}`]: 1 }, timeout: { connect: 1, send: 1, read: 1 } } } });
  await using before = await startToxicMiddle({ to: proxy.port, seed: 18 });
  const weather = [
    { latencyMs: 5, jitterMs: 5 }, { sliceBytes: 3, sliceGapMs: 0 }, { bytesPerSecond: 2_000_000 }, { resetAfterBytes: 300_000 },
    { limitBytes: 200_000 }, { stopped: true }, { slowCloseMs: 50 }, {},
  ];
  let over = false;
  const changing = (async () => {
    for (let i = 0; !over; i++) {
      before.set(i % 2 === 0 ? 'up' : 'down', weather[i % weather.length]!);
      behind.set(i % 3 === 0 ? 'both' : 'down', weather[(i * 3 + 1) % weather.length]!);
      if (i % 5 === 4) behind.reset();
      await sleep(200);
    }
    before.set('both', {});
    behind.set('both', {});
  })();
  setTimeout(() => { over = true; }, 7000);
  const result = await runOracle({ port: before.port, seconds: 7, seed: 17, connections: 20, maxValue: 30_000, kill: 0.002, verifyPort: redis.port });
  await changing;
  assertNothingWrong(result);
  expect(result.ok).toBeGreaterThan(1000);
  expect(result.stalled).toBe(0);
}, 40_000);
