// The pages of the ways in which Millrace can run, as a reader follows them.
import { expect, test, vi } from 'vitest';
import { startEtcd } from '../support/etcd-server.ts';
import { freePort } from '../support/ports.ts';
import { blocksOf, readPage } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

test('balancers: the client is the one that the PROXY header names', async () => {
  const blocks = blocksOf(readPage('docs/balancers.md'));
  await using reader = await Reader.open();
  reader.save('millrace.yaml', blocks, 'proxy_protocol');
  await reader.start();
  expect(await reader.followAll(blocks)).toBe(1);
});

test('UDP: a datagram goes to the node of the page and comes back', async () => {
  const blocks = blocksOf(readPage('docs/udp.md'));
  await using reader = await Reader.open({ 9200: await freePort(), 5300: await freePort() });
  reader.save('millrace.yaml', blocks, 'transport: udp');
  reader.save('resources.yaml', blocks, 'stream_routes:');
  await reader.start();
  expect(await reader.followAll(blocks)).toBe(1);
});

test('etcd: what is written through Millrace stands there', async () => {
  const blocks = blocksOf(readPage('docs/etcd.md'));
  await using etcd = await startEtcd();
  await using reader = await Reader.open({ 2379: Number(new URL(etcd.endpoint).port) });
  reader.save('millrace.yaml', blocks, 'etcd: {');
  await reader.start();
  expect(await reader.followAll(blocks)).toBe(1);
});
