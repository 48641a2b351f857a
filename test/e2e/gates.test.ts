// The gates of the reliability list at the size of a build; at full size: npm run soak.
import { expect, test } from 'vitest';
import { startRedis } from '../support/redis-server.ts';
import { assertNothingWrong } from '../support/oracle.ts';
import { drainUnderLoad } from '../soak/drain.ts';
import { endurance } from '../soak/endurance.ts';
import { idleClients } from '../soak/idle-clients.ts';

test('two thousand idle clients cost at most 10 KB each (G3)', { timeout: 40_000 }, async () => {
  await using redis = await startRedis();
  const { bytesEach } = await idleClients(redis.port, 2000);
  expect(bytesEach).toBeLessThanOrEqual(10_000);
});

test('after mixed load with faults every connection, descriptor and session is gone (G4)', { timeout: 40_000 }, async () => {
  await using redis = await startRedis();
  const { oracle, descriptors, sessions } = await endurance(redis.port, 5, 2);
  assertNothingWrong(oracle);
  expect(oracle.ok).toBeGreaterThan(2000);
  expect([...oracle.errors.keys()]).toEqual(['ERR fault']);
  expect(oracle.stalled).toBe(0);
  expect(sessions).toBe(0);
  expect(Math.abs(descriptors.after - descriptors.before)).toBeLessThanOrEqual(5);
});

test('every request that reached the server before SIGTERM is answered, ten times (G7)', { timeout: 60_000 }, async () => {
  for (let n = 0; n < 10; n++) {
    const { code, ms, unanswered, requests, output } = await drainUnderLoad(20, 8, 0.3);
    expect(unanswered, output).toEqual([]);
    expect(code, output).toBe(0);
    expect(ms).toBeLessThan(10_000);
    expect(requests).toBeGreaterThan(200);
  }
});
