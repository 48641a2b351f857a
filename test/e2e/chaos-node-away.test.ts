// A client that was served before stays served as what it is while its node is away.
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { encodeCommand, RespError } from '../support/resp.ts';

test('a client keeps its limits and its own commands while no node can be reached', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const client = await proxy.connect();
  expect(await client.command('SET', 'a', 'x'.repeat(40_000))).toBe('OK');
  await client.command('CLIENT', 'SETNAME', 'me');
  client.send(encodeCommand(['CLIENT', 'REPLY', 'OFF']));
  await redis.stop();
  // Until the link's end is noticed and the node is left out.
  for (let tries = 0; tries < 3; tries++) client.send(encodeCommand(['GET', 'a']));
  expect(await client.command('CLIENT', 'REPLY', 'ON')).toBe('OK');
  for (let tries = 0; tries < 5; tries++) {
    const reply = await client.command('SET', 'a', 'y'.repeat(40_000));
    expect(reply).toBeInstanceOf(RespError);
    expect((reply as RespError).text).toMatch(/^ERR millrace: /);
  }
  expect(await client.command('CLIENT', 'GETNAME')).toBe('me');
});

test('CLIENT REPLY ON is answered even when it fails', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const client = await proxy.connect();
  client.send(encodeCommand(['CLIENT', 'REPLY', 'OFF']));
  client.send(encodeCommand(['GET', 'a']));
  const other = await proxy.connect();
  await other.command('PING');
  await redis.stop();
  // A new plan asks again who the client is.
  await proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis', metric: { enable: true } },
  });
  await other.command('GET', 'a');
  const reply = await client.command('CLIENT', 'REPLY', 'ON');
  expect(reply === 'OK' || reply instanceof RespError).toBe(true);
});
