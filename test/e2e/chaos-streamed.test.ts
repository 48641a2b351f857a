// Requests that are passed on as they come (larger than `stream_from_bytes`).
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { encodeCommand, RespError } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';

const evil = Buffer.alloc(300_000, 'x\r\nSET smuggled yes\r\n');

test('nothing of a value reaches the server when a plugin answered its command, whatever the connection is used for', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({
    upstream: redis.port, limits: { stream_from_bytes: 100_000 },
    route: { plugins: { 'fault-injection': { commands: ['set'], keys: ['deny*'], abort: { error: 'no $key' } } } },
  });
  const client = await proxy.connect();
  for (const before of [[], [['MULTI']], [['nosuch']], [['HELLO', '3'], ['SUBSCRIBE', 'ch']]]) {
    const one = await proxy.connect();
    for (const args of before) one.send(encodeCommand(args));
    await sleep(50);
    const replies = before.filter(([name]) => name !== 'SUBSCRIBE').length;
    await one.read(replies);
    const bytes = encodeCommand(['SET', 'deny1', evil]);
    for (let at = 0; at < bytes.length; at += 50_000) {
      one.send(bytes.subarray(at, at + 50_000));
      await sleep(5);
    }
    expect(((await one.read(1))[0] as RespError).text).toBe('ERR no deny1');
    const next = await one.command('GET', 'smuggled');
    expect(next).toBe(before[0]?.[0] === 'MULTI' ? 'QUEUED' : null);
    if (before[0]?.[0] === 'MULTI') expect(await one.command('EXEC')).toEqual([null]);
    await one.close();
  }
  expect(await client.command('GET', 'smuggled')).toBe(null);
});
