// Whole-message protocols pass over nodes that cannot be reached, as Redis routes do.
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { startLineProxy } from '../support/line-proxy.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { freePort } from '../support/ports.ts';

test('two dead nodes in a row are passed over', async () => {
  await using upstream = await startLineUpstream();
  const nodes = [await freePort(), await freePort(), upstream.port]
    .map((port, index) => ({ host: '127.0.0.1', port, weight: 1, priority: -index }));
  await using proxy = await startLineProxy({ upstreamConf: { nodes, retry_timeout: 5 } });
  const client = await proxy.dial();
  client.send('get a\nget b\n');
  expect(await client.read(2)).toEqual(['get a!', 'get b!']);
});

test('not one more node than retries allow is tried', async () => {
  await using upstream = await startLineUpstream();
  const nodes = [await freePort(), await freePort(), upstream.port]
    .map((port, index) => ({ host: '127.0.0.1', port, weight: 1, priority: -index }));
  await using proxy = await startLineProxy({ upstreamConf: { nodes, retries: 1 } });
  const client = await proxy.dial();
  client.send('get a\n');
  expect((await client.read(1))[0]).toMatch(/^-CONNECT_FAILED /);
  expect(upstream.accepted).toBe(0);
});

// Both nodes accept and say nothing: their TLS handshakes hang until the connect timeout.
test.each([
  { retryTimeout: 0.1, reached: 0 },
  { retryTimeout: 10, reached: 1 },
  { retryTimeout: 0, reached: 1 },
])('with retry_timeout $retryTimeout a node that hangs for 0.3 s is followed by $reached', async ({ retryTimeout, reached }) => {
  let second = 0;
  const servers = [createServer(), createServer(() => { second++; })];
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))));
  const nodes = servers.map((server, index) => (
    { host: '127.0.0.1', port: (server.address() as AddressInfo).port, weight: 1, priority: -index }));
  await using proxy = await startLineProxy({
    upstreamConf: { nodes, scheme: 'tls', timeout: { connect: 0.3 }, retry_timeout: retryTimeout },
  });
  const client = await proxy.dial();
  client.send('get a\n');
  expect((await client.read(1))[0]).toMatch(/^-CONNECT_TIMEOUT /);
  expect(second).toBe(reached);
  for (const server of servers) server.close();
});
