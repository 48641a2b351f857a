// Own links go back to the pool only as they were born (S3).
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';

test('an unknown command does not hide what else was done on an own link', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const writer = await proxy.connect();
  await writer.command('SET', 'a', 'zero');
  for (const change of [['SELECT', '2'], ['HELLO', '3']]) {
    for (const list of [[['nosuch'], change, ['nosuch']], [['nosuch'], ['nosuch'], change], [['nosuch'], change]]) {
      const first = await proxy.connect();
      await first.pipeline(list);
      await first.close();
      // The next one to borrow a link finds database 0 and RESP2.
      const next = await proxy.connect();
      expect(await next.pipeline([['MULTI'], ['GET', 'a'], ['HGETALL', 'none'], ['EXEC']])).toEqual(['OK', 'QUEUED', 'QUEUED', ['zero', []]]);
      await next.close();
    }
  }
});
