// The oracle where shared connections prove that replies are in step with requests (D6 of the reliability list).
import { describe, expect, test } from 'vitest';
import { misbehaviours, startEvilUpstream, type Misbehaviour } from '../support/evil-upstream.ts';
import { assertNothingWrong, runOracle, type OracleResult } from '../support/oracle.ts';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { startToxicMiddle } from '../support/toxic-middle.ts';

const routeTo = (port: number, integrity: string, read = 10): Record<string, unknown> => (
  { upstream: { nodes: { [`127.0.0.1:${port}`]: 1 }, integrity, timeout: { connect: 1, send: 1, read } } });

/** A reply too many or too few. */
const shifting: readonly Misbehaviour[] = ['skip', 'twice', 'extra'];
/** What no token can show: replies that are damaged inside, and two that were exchanged. */
const unseen: readonly Misbehaviour[] = ['long', 'short', 'deep', 'swap'];

const replies = (result: OracleResult): number => result.ok + [...result.errors.values()].reduce((sum, each) => sum + each, 0);

describe.each(['check', 'strict'])('with integrity: %s', (integrity) => {
  test('every reply of a real server is right, and each comes', { timeout: 40_000 }, async () => {
    await using redis = await startRedis();
    await using proxy = await startProxy({ route: routeTo(redis.port, integrity) });
    const result = await runOracle({
      port: proxy.port, seconds: 2, seed: 21, connections: 40, kill: 0.005, halfClose: 0.005, slow: 0.005, verifyPort: redis.port,
    });
    assertNothingWrong(result);
    expect(result.ok).toBeGreaterThan(1000);
    expect(result).toMatchObject({ closed: 0, stalled: 0 });
    expect([...result.errors]).toEqual([]);
  });

  test('connections that are reset give errors, no stalls and no wrong reply', { timeout: 40_000 }, async () => {
    await using redis = await startRedis();
    await using middle = await startToxicMiddle({ to: redis.port });
    await using proxy = await startProxy({ route: routeTo(middle.port, integrity) });
    const resets = setInterval(() => middle.reset(), 200);
    const result = await runOracle({
      port: proxy.port, seconds: 2, seed: 22, connections: 30, maxValue: 100_000, kill: 0.002, verifyPort: redis.port,
    });
    clearInterval(resets);
    assertNothingWrong(result);
    expect(result.ok).toBeGreaterThan(500);
    expect(result.stalled).toBe(0);
    expect(replies(result)).toBeGreaterThan(result.ok);
  });

  test('late, cut, sliced, malformed and missing replies are nobody else’s', { timeout: 60_000 }, async () => {
    const chances: Partial<Record<Misbehaviour, number>> = {};
    for (const kind of misbehaviours) if (!shifting.includes(kind) && !unseen.includes(kind)) chances[kind] = kind === 'sliver' ? 0.001 : 0.0004;
    chances['close-on-accept'] = chances.deaf = 0.05;
    await using evil = await startEvilUpstream({ seed: 23, chances, lateMs: 300 });
    await using proxy = await startProxy({ route: routeTo(evil.port, integrity, 0.2) });
    const result = await runOracle({
      port: proxy.port, seconds: 2.5, seed: 23, connections: 40, maxValue: 65_536, echoKeys: true, kill: 0.002, halfClose: 0.002, slow: 0.002,
      counterValue: (key) => evil.executed.get(`incr ${key}`) ?? 0,
    });
    assertNothingWrong(result);
    expect(result.stalled).toBe(0);
    expect(result.ok).toBeGreaterThan(500);
    expect(evil.done.size).toBeGreaterThan(5);
  });
});

// `check` finds out afterwards.
test.each(shifting)('with integrity: strict no client reads a wrong reply of a server whose replies are "%s"', { timeout: 40_000 }, async (kind) => {
  await using evil = await startEvilUpstream({ seed: 24, chances: { [kind]: 0.002 } });
  await using proxy = await startProxy({ route: routeTo(evil.port, 'strict', 0.5) });
  const result = await runOracle({
    port: proxy.port, seconds: 1, seed: 24, connections: 20, maxValue: 2000, echoKeys: true,
    counterValue: (key) => evil.executed.get(`incr ${key}`) ?? 0,
  });
  assertNothingWrong(result);
  expect(evil.done.get(kind)).toBeGreaterThan(0);
  expect(result.stalled).toBe(0);
  expect(result.ok).toBeGreaterThan(100);
});
