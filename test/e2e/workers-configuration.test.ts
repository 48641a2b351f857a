// Several workers: one configuration and exact counts.
import { expect, test } from 'vitest';
import { greetingAt } from '../support/line-client.ts';
import { startMillrace } from '../support/millrace-process.ts';
import { startNamed } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp.ts';
import { clientsByWorker } from '../support/worker-clients.ts';

const memory = { type: 'memory' };

test.each([2, 3])('with %i workers a client that connects after a write always sees it, 100 times', { timeout: 60_000 }, async (workers) => {
  await using one = await startNamed('one');
  await using two = await startNamed('two');
  await using millrace = await startMillrace({ settings: { workers } });
  const port = await freePort();
  for (let i = 0; i < 100; i++) {
    const server = i % 2 === 0 ? one : two;
    await millrace.put('/apisix/admin/stream_routes/1', { server_port: port, upstream: { nodes: { [server.address]: 1 } } });
    expect(await greetingAt(port)).toBe(i % 2 === 0 ? 'one' : 'two');
  }
});

test('requests and connections are counted exactly over all workers', async () => {
  await using millrace = await startMillrace({ settings: { workers: 3 } });
  await millrace.put('/apisix/admin/stream_routes/1', { upstream: memory, protocol: { name: 'redis' } });
  const clients = [...(await clientsByWorker(millrace, 3)).values()].flat();
  for (const client of clients) await client.pipeline(Array.from({ length: 50 }, (_, i) => ['SET', `k${i}`, 'v']));
  expect(await millrace.metric('millrace_redis_commands_total{command="set",route="1"}')).toBe(clients.length * 50);
  const page = await millrace.metrics();
  const connections = /millrace_connections_total\{[^}]*route="1"[^}]*\} (\d+)/.exec(page)?.[1];
  expect(Number(connections)).toBe(clients.length);
});

test('limit-count with the local policy is exact over all workers', async () => {
  await using millrace = await startMillrace({ settings: { workers: 3 } });
  await millrace.put('/apisix/admin/stream_routes/1', {
    upstream: memory, protocol: { name: 'redis' },
    plugins: { 'limit-count': { count: 100, time_window: 600, key_type: 'constant', key: 'all' } },
  });
  const byWorker = [...(await clientsByWorker(millrace, 3)).values()].map((clients) => clients[0]!);
  const before = await counted(byWorker, 0);
  expect(before).toBe(0);
  // CLIENT ID was counted, too: what is left must be given out exactly once.
  const used = await millrace.metric('millrace_redis_commands_total{command="client id",route="1"}');
  expect(await counted(byWorker, 100)).toBe(100 - used);
});

async function counted(clients: readonly RespClient[], each: number): Promise<number> {
  const replies = await Promise.all(clients.map((client) =>
    client.pipeline(Array.from({ length: each }, () => ['GET', 'x']))));
  return replies.flat().filter((reply) => !(reply instanceof RespError)).length;
}
