import { expect, test } from 'vitest';
import { startRedis, type RedisServer } from './redis-server.ts';
import { RespClient } from './resp-client.ts';
import { startToxicMiddle, type ToxicMiddle } from './toxic-middle.ts';

interface Stage extends AsyncDisposable { redis: RedisServer; middle: ToxicMiddle; client: RespClient }

async function stage(): Promise<Stage> {
  const redis = await startRedis();
  const middle = await startToxicMiddle({ to: redis.port, seed: 1 });
  const client = await RespClient.connect(middle.port);
  return {
    redis, middle, client,
    async [Symbol.asyncDispose]() { await client.close(); await middle.close(); await redis.stop(); },
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

test('bytes pass unchanged, sliced and delayed by latency', async () => {
  await using at = await stage();
  const value = 'x'.repeat(100_000);
  expect(await at.client.command('SET', 'a', value)).toBe('OK');
  at.middle.set('both', { sliceBytes: 999, latencyMs: 5, jitterMs: 5 });
  expect(await at.client.command('GET', 'a')).toBe(value);
  at.middle.set('both', { latencyMs: 40 });
  expect(await timed(() => at.client.command('PING'))).toBeGreaterThan(79);
});

test('bandwidth is limited', async () => {
  await using at = await stage();
  await at.client.command('SET', 'a', 'x'.repeat(20_000));
  at.middle.set('down', { bytesPerSecond: 100_000, sliceBytes: 1000 });
  const ms = await timed(() => at.client.command('GET', 'a'));
  expect(ms).toBeGreaterThan(190);
});

test('a stopped direction delivers after it is switched on again', async () => {
  await using at = await stage();
  at.middle.set('down', { stopped: true });
  const reply = at.client.command('PING');
  expect(await Promise.race([reply,
    new Promise((resolve) => { setTimeout(resolve, 60, 'nothing'); })])).toBe('nothing');
  at.middle.set('down', {});
  expect(await reply).toBe('PONG');
});

test('connections are reset, refused, cut after a number of bytes and closed slowly', async () => {
  await using at = await stage();
  await at.client.command('PING');
  at.middle.reset();
  expect(await at.client.untilEnded()).toBe('ECONNRESET');

  at.middle.refuse(true);
  const refused = await RespClient.connect(at.middle.port).then(
    (client) => client.untilEnded(),
    (error: NodeJS.ErrnoException) => error.code,
  );
  expect(refused).toBe('ECONNRESET');
  at.middle.refuse(false);

  at.middle.set('down', { limitBytes: 3 });
  await using limited = await RespClient.connect(at.middle.port);
  limited.send('PING\r\n');
  expect(await limited.untilEnded()).toBe('end');
  expect((await limited.readRaw({ idle: 1 })).toString()).toBe('+PO');

  at.middle.set('down', { resetAfterBytes: 3 });
  await using cut = await RespClient.connect(at.middle.port);
  cut.send('PING\r\n');
  expect(await cut.untilEnded()).toBe('ECONNRESET');

  at.middle.set('down', { slowCloseMs: 80 });
  await using slow = await RespClient.connect(at.middle.port);
  slow.send('QUIT\r\n');
  expect(await slow.read(1)).toEqual(['OK']);
  expect(await timed(() => slow.untilEnded())).toBeGreaterThan(60);
});
