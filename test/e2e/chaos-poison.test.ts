// The oracle against a process whose spent and fresh buffers are filled with bytes of their own: a view kept too long,
// or memory sent before it was filled, would show as a wrong reply.
import { expect, test } from 'vitest';
import { startMillrace } from '../soak/process.ts';
import { assertNothingWrong, runOracle } from '../support/oracle.ts';
import { startRedis } from '../support/redis-server.ts';

test('with poisoned buffers every reply is right, with and without plugins', { timeout: 40_000 }, async () => {
  await using redis = await startRedis();
  await using millrace = await startMillrace({ upstream: redis.port, environment: { MILLRACE_POISON: '1' } });
  for (const plugins of [{}, { 'fault-injection': { delay: { duration: 0.001, percentage: 2 }, commands: ['get', 'set'] }, 'limit-count': { count: 1_000_000_000, time_window: 60 } }]) {
    await millrace.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' }, plugins,
    });
    const result = await runOracle({
      port: millrace.port, seconds: 4, seed: 31 + Object.keys(plugins).length, connections: 30, maxValue: 1_048_576, kill: 0.005, slow: 0.02, verifyPort: redis.port,
    });
    assertNothingWrong(result);
    expect([...result.errors]).toEqual([]);
    expect(result.ok).toBeGreaterThan(1000);
  }
});
