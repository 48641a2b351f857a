import { afterAll, beforeAll, expect, test } from 'vitest';
import { startProxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespError } from '../../support/resp.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(['--requirepass', 'right']); });
afterAll(() => redis.stop());

test.each([1, 2])('failed log-ins are counted per address over connections and %i workers; then each closes its own', async (workers) => {
  await using proxy = await startProxy({
    upstream: redis.port, limits: { auth_failures_per_minute: 3 }, settings: { workers },
  });
  const guess = async (): Promise<string> => {
    const client = await proxy.connect();
    const answer = await client.command('AUTH', 'wrong');
    expect(answer).toBeInstanceOf(RespError);
    const next = await client.command('AUTH', 'right').catch(() => 'closed');
    await client.close();
    return next === 'OK' ? 'OK' : 'closed';
  };
  expect([await guess(), await guess(), await guess(), await guess()]).toEqual(['OK', 'OK', 'closed', 'closed']);
  const honest = await proxy.connect();
  expect(await honest.command('AUTH', 'right')).toBe('OK');
});
