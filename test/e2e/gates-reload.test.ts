import { expect, test } from 'vitest';
import { startRedis } from '../support/redis-server.ts';
import { assertNothingWrong } from '../support/oracle.ts';
import { reloadsUnderLoad } from '../soak/reloads.ts';

test('two hundred changes under load fail no request, close no connection and keep nothing (G6)', { timeout: 60_000 }, async () => {
  await using redis = await startRedis();
  const { untouched, changed, heap, timers, reloads } = await reloadsUnderLoad(redis.port, 200, 2);
  expect(reloads).toBe(200);
  for (const result of [untouched, changed]) {
    assertNothingWrong(result);
    expect([...result.errors]).toEqual([]);
    expect(result.closed).toBe(0);
    expect(result.stalled).toBe(0);
    expect(result.ok).toBeGreaterThan(2000);
  }
  expect(heap.after / heap.before).toBeLessThanOrEqual(1.05);
  expect(timers.after).toBeLessThanOrEqual(timers.before + 2);
});
