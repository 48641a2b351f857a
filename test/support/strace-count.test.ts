import { expect, test } from 'vitest';
import { startRedis } from './redis-server.ts';
import { RespClient } from './resp-client.ts';
import { countSyscalls, parseTable, straceMissing } from './strace-count.ts';

const missing = straceMissing();
if (missing !== null) process.stderr.write(`skipped: ${missing}\n`);

test.skipIf(missing !== null)('a real server takes three system calls per unpipelined request', async () => {
  await using redis = await startRedis();
  await using client = await RespClient.connect(redis.port);
  const counted = await countSyscalls(redis.process.pid ?? 0, async () => {
    for (let i = 0; i < 300; i++) await client.command('GET', 'a');
    return 300;
  });
  expect(counted.calls.get('write')).toBeGreaterThanOrEqual(300);
  // epoll_wait, read, write; some more by the server's clock
  expect(counted.perRequest).toBeGreaterThanOrEqual(3);
  expect(counted.perRequest).toBeLessThan(6);
});

test('the table is read with and without errors, its total left out', () => {
  expect([...parseTable(`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 42.50    0.061364          30      2001           write
 27.59    0.039836          19      2015         7 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.101200          25      4016         7 total
`)]).toEqual([['write', 2001], ['read', 2015]]);
});
