// Clients that leave while they wait for their turn at a connection of their own.
import { expect, test } from 'vitest';
import { startProxy } from '../../support/proxy.ts';
import { RespClient } from '../../support/resp-client.ts';
import { startRedis } from '../../support/redis-server.ts';

test('who leaves while waiting for a link keeps neither a place in line nor the link that would have been his', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits: { own_links_per_node: 1, own_link_wait_s: 20 } });
  const clients = await Promise.all(Array.from({ length: 4 }, () => proxy.connect()));
  for (const client of clients) await client.command('PING');
  for (const client of clients) void client.command('BLPOP', 'list', '0').catch(() => undefined);
  const open = async (): Promise<number> => (await proxy.call('GET', '/apisix/admin/sessions')).body.total;
  await expect.poll(async () => (await proxy.metrics()).match(/own_links_waiting\{.*\} (\d)/)?.[1]).toBe('3');
  for (const client of clients) await client.close();
  await expect.poll(open, { timeout: 6000 }).toBe(0);
  // Nobody takes what is put there now, and the only link is free.
  const next = await proxy.connect();
  expect(await next.command('RPUSH', 'list', 'v')).toBe(1);
  expect(await next.command('BLPOP', 'list', '1')).toEqual(['list', 'v']);
  await next.close();
});

test('who subscribes or blocks and ends his side in one go is not kept for ever', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  await using seeded = await RespClient.connect(redis.port);
  await seeded.command('RPUSH', 'ready', 'v');
  const open = async (): Promise<number> => (await proxy.call('GET', '/apisix/admin/sessions')).body.total;
  for (const words of ['SUBSCRIBE news', 'BLPOP nothing 0', 'MONITOR']) {
    const client = await proxy.connect();
    client.socket.end(`${words}\r\n`);
    await expect.poll(open, { timeout: 4000 }).toBe(0);
    await client.close();
  }
});
