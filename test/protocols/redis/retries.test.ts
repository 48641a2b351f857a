// A node that cannot be reached costs its clients nothing as long as another one can: nothing was written yet.
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { freePort } from '../../support/ports.ts';
import { startProxy } from '../../support/proxy.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RespError } from '../../support/resp.ts';

test('two dead nodes in a row are passed over, for ordinary commands and for transactions', async () => {
  await using redis = await startRedis();
  const [one, two] = [await freePort(), await freePort()];
  const nodes = [one, two, redis.port].map((port, index) => ({ host: '127.0.0.1', port, weight: 1, priority: -index }));
  await using proxy = await startProxy({ route: { upstream: { nodes } } });
  const client = await proxy.connect();
  expect(await client.pipeline([['SET', 'a', '1'], ['GET', 'a']])).toEqual(['OK', '1']);
  await using fresh = await startProxy({ route: { upstream: { nodes } } });
  const other = await fresh.connect();
  expect(await other.pipeline([['MULTI'], ['GET', 'a'], ['EXEC']])).toEqual(['OK', 'QUEUED', ['1']]);
});

test('no other node is tried after retry_timeout', async () => {
  let reached = 0;
  // They accept and say nothing: a TLS handshake hangs until the connect timeout.
  const silent = createServer();
  const second = createServer(() => { reached++; });
  await Promise.all([silent, second].map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))));
  const nodes = [silent, second].map((server, index) => (
    { host: '127.0.0.1', port: (server.address() as AddressInfo).port, weight: 1, priority: -index }));
  const upstream = { nodes, scheme: 'tls', timeout: { connect: 0.2 }, retry_timeout: 0.1 };
  await using proxy = await startProxy({ route: { upstream } });
  const client = await proxy.connect();
  const reply = await client.command('GET', 'a');
  expect(reply).toBeInstanceOf(RespError);
  expect((reply as RespError).text).toContain('timed out');
  expect(reached).toBe(0);
  silent.close();
  second.close();
});
