import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';

test('a process that is nearly out of memory refuses new clients and says why; those it has are served', async () => {
  await using redis = await startRedis();
  // Less than the process uses: it is over the mark at the first look, a second after the start.
  await using proxy = await startProxy({ upstream: redis.port, limits: { memory_bytes: 16 * 1024 * 1024 } });
  const early = await proxy.connect();
  expect(await early.command('PING')).toBe('PONG');
  const greeting = async (): Promise<string> => {
    const late = await proxy.connect();
    late.send('PING\r\n');
    return (await late.readRaw({ until: '\r\n' })).toString();
  };
  await expect.poll(greeting).toBe('-ERR memory limit reached\r\n');
  expect(await early.command('SET', 'a', '1')).toBe('OK');
});
