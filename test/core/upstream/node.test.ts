import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { ProxyError } from '../../../core/errors.ts';
import { Node, NodeTable } from '../../../core/upstream/node.ts';
import { Resolver } from '../../../core/upstream/resolve.ts';
import { freePort } from '../../support/ports.ts';
import { ManualTime, settle } from './manual-time.ts';

function closable() {
  return { closed: 0, close() { this.closed++; } };
}

test('two upstreams that name an address share its node', () => {
  const table = new NodeTable();
  const one = table.acquire('10.0.0.1', 6379);
  one.inflight = 3;
  expect(table.acquire('10.0.0.1', 6379)).toBe(one);
  expect(table.get('10.0.0.1:6379')?.inflight).toBe(3);
  expect(table.acquire('10.0.0.1', 6380)).not.toBe(one);
  expect(table.size).toBe(2);
  table.close();
});

test('a node goes when the last upstream that named it goes, and not before', () => {
  const table = new NodeTable();
  const node = table.acquire('10.0.0.1', 6379);
  table.acquire('10.0.0.1', 6379);
  const links = closable();
  node.attached.set('links', links);
  table.release(node);
  expect([...table]).toEqual([node]);
  expect(links.closed).toBe(0);
  table.release(node);
  expect([...table]).toEqual([]);
  expect(links.closed).toBe(1);
});

test('an address that comes back later gets a new node', () => {
  const table = new NodeTable();
  const old = table.acquire('10.0.0.1', 6379);
  table.release(old);
  expect(table.acquire('10.0.0.1', 6379)).not.toBe(old);
  table.close();
});

test('a node that was released too often is an error, not a wrong count', () => {
  const table = new NodeTable();
  const old = table.acquire('10.0.0.1', 6379);
  table.release(old);
  expect(() => table.release(old)).toThrow('node 10.0.0.1:6379 was released too often');
  const fresh = table.acquire('10.0.0.1', 6379);
  expect(() => table.release(old)).toThrow('released too often');
  expect(table.get('10.0.0.1:6379')).toBe(fresh);
});

test('closing the table closes what is attached to every node', () => {
  const table = new NodeTable();
  const things = [closable(), closable()];
  table.acquire('10.0.0.1', 1).attached.set('links', things[0]!);
  table.acquire('10.0.0.2', 1).attached.set('links', things[1]!);
  table.close();
  expect(things.map(({ closed }) => closed)).toEqual([1, 1]);
  expect(table.size).toBe(0);
});

test('something attached that fails to close does not keep the rest open', () => {
  const node = new Node('10.0.0.1', 6379);
  const links = closable();
  node.attached.set('broken', { close() { throw new Error('broken'); } });
  node.attached.set('links', links);
  expect(() => node.close()).toThrow('node 10.0.0.1:6379 could not be closed cleanly');
  expect(links.closed).toBe(1);
});

test('an IPv6 address stands in brackets', () => {
  const node = new Node('::1', 6379);
  expect(node.address).toBe('[::1]:6379');
  expect(node.dial).toMatchObject({ host: '::1', port: 6379 });
});

test('changes of a node are told with the node, the direction and the reason', async () => {
  const time = new ManualTime();
  const told: string[] = [];
  const table = new NodeTable({
    schedule: time.schedule, random: () => 0, probe: () => Promise.resolve(),
    onChange: (node, up, reason) => told.push(`${node.address} ${up} ${reason}`),
  });
  const node = table.acquire('10.0.0.1', 6379);
  node.health.failed(new Error('refused'));
  expect(node.available).toBe(false);
  await time.advance(20);
  expect(told).toEqual(['10.0.0.1:6379 false refused', '10.0.0.1:6379 true the probe was answered']);
});

test('a released node is probed no more', async () => {
  const time = new ManualTime();
  let probes = 0;
  const table = new NodeTable({ schedule: time.schedule, probe: async () => { probes++; } });
  const node = table.acquire('10.0.0.1', 6379);
  node.health.failed(new Error('refused'));
  table.release(node);
  await time.advance(5_000);
  expect(probes).toBe(0);
});

test('a server that refused and starts again is taken back by a TCP probe', async () => {
  const port = await freePort();
  const taken = Promise.withResolvers<void>();
  const table = new NodeTable({
    onChange: (_node, up) => { if (up) taken.resolve(); },
    maxBackoff: 50,
  });
  const node = table.acquire('127.0.0.1', port);
  node.health.failed(new Error('connect ECONNREFUSED'));
  await expect.poll(() => node.health.reason).toBe(`connect ECONNREFUSED 127.0.0.1:${port}`);
  expect(node.available).toBe(false);
  const server = createServer((socket) => socket.on('error', () => {})).listen(port, '127.0.0.1');
  await once(server, 'listening');
  await taken.promise;
  expect(node.available).toBe(true);
  table.close();
  server.close();
});

test('a host name is tracked while its node lives and probed at its resolved address', async () => {
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const time = new ManualTime();
  const asked: string[] = [];
  const resolver = new Resolver({
    clock: time, schedule: time.schedule,
    lookup: async (host) => { asked.push(host); return [{ address: '127.0.0.1', family: 4 }]; },
  });
  const taken = Promise.withResolvers<void>();
  const table = new NodeTable({ resolver, onChange: (_node, up) => { if (up) taken.resolve(); } });
  const node = table.acquire('redis.test', port);
  node.health.failed(new Error('connect timed out'));
  await taken.promise;
  expect(asked).toEqual(['redis.test']);
  table.release(node);
  expect(resolver.addresses('redis.test')).toEqual([]);
  expect(time.timers).toBe(0);
  server.close();
});

test('a failed connect to a host name puts its address last and asks again', async () => {
  const time = new ManualTime();
  let asked = 0;
  const resolver = new Resolver({
    clock: time, schedule: time.schedule,
    lookup: async () => {
      asked++;
      return [{ address: '10.0.0.1', family: 4 }, { address: '10.0.0.2', family: 4 }];
    },
  });
  const table = new NodeTable({ resolver, schedule: time.schedule });
  const node = table.acquire('redis.test', 6379);
  await settle();
  await time.advance(2_000);
  const cause = Object.assign(new Error('refused'), { address: '10.0.0.1' });
  node.health.failed(new ProxyError('CONNECT_FAILED', undefined, { cause }));
  await settle();
  expect(asked).toBe(2);
  expect(resolver.addresses('redis.test').map(({ address }) => address)).toEqual(['10.0.0.2', '10.0.0.1']);
  table.close();
});
