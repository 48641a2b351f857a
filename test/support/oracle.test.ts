import { expect, test } from 'vitest';
import { startEvilUpstream } from './evil-upstream.ts';
import { assertNothingWrong, runOracle } from './oracle.ts';
import { startRedis } from './redis-server.ts';
import { startToxicMiddle } from './toxic-middle.ts';

test('a client that half-closes is no wrong reply', async () => {
  await using redis = await startRedis();
  const result = await runOracle({ port: redis.port, seconds: 0.5, seed: 7, connections: 5, halfClose: 0.05,
    maxValue: 5000 });
  assertNothingWrong(result);
  expect(result.connects).toBeGreaterThan(20);
});

test('the oracle finds nothing wrong with a real server, with clients that leave and read slowly',
  async () => {
  await using redis = await startRedis();
  const result = await runOracle({
    port: redis.port, seconds: 2, seed: 1, connections: 10, kill: 0.01, slow: 0.01,
  });
  assertNothingWrong(result);
  expect(result.ok).toBeGreaterThan(1000);
  expect(result.cancelled).toBeGreaterThan(0);
  expect(result).toMatchObject({ miscounted: [], closed: 0, stalled: 0 });
  expect([...result.errors]).toEqual([]);
});

test('the oracle finds nothing wrong behind a bad network', async () => {
  await using redis = await startRedis();
  await using middle = await startToxicMiddle({ to: redis.port, seed: 2 });
  middle.set('both', { latencyMs: 3, jitterMs: 3, sliceBytes: 1000 });
  const run = runOracle({ port: middle.port, seconds: 2, seed: 2, connections: 10, maxValue: 20_000,
    verifyPort: redis.port });
  const resets = setInterval(() => middle.reset(), 300);
  const result = await run;
  clearInterval(resets);
  assertNothingWrong(result);
  expect(result.ok).toBeGreaterThan(100);
  expect(result.closed).toBeGreaterThan(0);
  expect(result.miscounted).toEqual([]);
});

test.each(['swap', 'twice', 'extra', 'push', 'skip', 'type', 'short', 'long'] as const)(
  'the oracle stops at the wrong reply of an upstream that answers with "%s"', async (kind) => {
    await using evil = await startEvilUpstream({ seed: 3, chances: { [kind]: 0.01 } });
    const result = await runOracle({ port: evil.port, seconds: 5, seed: 3, connections: 5, depth: 16,
      maxValue: 2000, echoKeys: true });
    expect(evil.done.get(kind)).toBeGreaterThan(0);
    expect(result.wrong).not.toBeNull();
    expect(result.wrong?.sent.length).toBeGreaterThan(0);
  });

test.each(['late', 'sliver', 'half-fin', 'half-rst', 'fin', 'rst', 'attribute', 'close-on-accept'] as const)(
  'an upstream that answers with "%s" harms its own connection, but no reply is wrong', async (kind) => {
    const chance = kind === 'close-on-accept' ? 0.5 : 0.01;
    await using evil = await startEvilUpstream({ seed: 4, lateMs: 5, chances: { [kind]: chance } });
    const result = await runOracle({
      port: evil.port, seconds: 0.5, seed: 4, connections: 5, maxValue: 2000, echoKeys: true,
      counterValue: (key) => evil.executed.get(`incr ${key}`) ?? 0,
    });
    assertNothingWrong(result);
    expect(evil.done.get(kind)).toBeGreaterThan(0);
  });

test.each(['never', 'half-silence', 'deaf'] as const)('a request that "%s" leaves open counts as stalled',
  async (kind) => {
  await using evil = await startEvilUpstream({ seed: 5, chances: { [kind]: kind === 'deaf' ? 0.5 : 0.01 } });
  const result = await runOracle({ port: evil.port, seconds: 1, seed: 5, connections: 4, stallMs: 200,
    maxValue: 500, verifyPort: 0 });
  expect(result.stalled).toBeGreaterThan(0);
  assertNothingWrong(result);
});

test('a counter that ran more often than it was asked to is found although every reply was right',
  async () => {
  await using evil = await startEvilUpstream({ seed: 6 });
  const result = await runOracle({
    port: evil.port, seconds: 0.5, seed: 6, connections: 1, depth: 1, maxValue: 100,
    counterValue: (key) => (evil.executed.get(`incr ${key}`) ?? 0) + 1,
  });
  expect(result.wrong).toBeNull();
  expect(result.miscounted).toHaveLength(1);
  expect(result.miscounted[0]).toMatch(/^c:6\.0\.0:\d+: expected (\d+)\.\.\1, got \d+$/);
});
