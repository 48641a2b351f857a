// O8: what SIGTERM does to clients that have state, and to those that have none.
import { expect, test } from 'vitest';
import { startMillrace } from '../support/millrace-process.ts';
import { startRedis } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
import { encodeCommand } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';

test.each([1, 2])('idle clients are closed at once, transactions may end, who never ends is closed at the limit (%i workers)', { timeout: 40_000 }, async (workers) => {
  await using redis = await startRedis();
  await using millrace = await startMillrace({ upstream: redis.port, settings: { workers, drain_timeout_s: 2 } });
  const [idle, transaction, forgotten, subscriber, blocked, served] = await Promise.all(Array.from({ length: 6 }, () => millrace.connect())) as
    [RespClient, RespClient, RespClient, RespClient, RespClient, RespClient];
  expect(await idle.command('PING')).toBe('PONG');
  expect(await transaction.pipeline([['MULTI'], ['SET', 'in', 'time']])).toEqual(['OK', 'QUEUED']);
  expect(await forgotten.command('MULTI')).toBe('OK');
  expect(await subscriber.command('SUBSCRIBE', 'news')).toEqual(['subscribe', 'news', 1]);
  blocked.send(encodeCommand(['BLPOP', 'never', '0']));
  served.send(encodeCommand(['BLPOP', 'soon', '0']));
  await sleep(300);
  const from = performance.now();
  const elapsed = (): number => performance.now() - from;
  millrace.signal('SIGTERM');
  await idle.untilEnded();
  expect(elapsed()).toBeLessThan(1500);
  await using direct = await RespClient.connect(redis.port);
  expect(await direct.pipeline([['PUBLISH', 'news', 'still'], ['RPUSH', 'soon', 'x']])).toEqual([1, 1]);
  expect(await subscriber.read(1)).toEqual([['message', 'news', 'still']]);
  expect(await served.read(1)).toEqual([['soon', 'x']]);
  expect(await transaction.command('EXEC')).toEqual(['OK']);
  expect(await direct.command('GET', 'in')).toBe('time');
  await expect(RespClient.connect(millrace.port)).rejects.toThrow('ECONNREFUSED');
  await Promise.all([forgotten, subscriber, blocked].map((client) => client.untilEnded()));
  expect(elapsed()).toBeGreaterThan(1500);
  expect(await millrace.exited).toBe(0);
  expect(elapsed()).toBeLessThan(8000);
});
