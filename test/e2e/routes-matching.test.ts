// Which stream route takes a connection.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connectLines, greetingAt } from '../support/line-client.ts';
import { startNamed, type NamedServer } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';

let proxy: Proxy;
let port: number;
let servers: readonly NamedServer[];

beforeAll(async () => {
  servers = await Promise.all(['a', 'b', 'c'].map((name) => startNamed(name)));
  port = await freePort();
  // No protocol: there is no default route, and bytes pass as they are. `::` takes IPv4 clients, too.
  proxy = await startProxy({ route: null, settings: { listeners: [{ address: '::', port }] } });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  for (const server of servers) await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  const { body } = await proxy.call('GET', '/apisix/admin/stream_routes');
  for (const { value } of body.list) await proxy.call('DELETE', `/apisix/admin/stream_routes/${value.id}`);
});

const to = (name: 'a' | 'b' | 'c'): unknown => ({ nodes: { [servers['abc'.indexOf(name)]!.address]: 1 } });
const route = (id: string, name: 'a' | 'b' | 'c', conf: Record<string, unknown> = {}): Promise<void> =>
  proxy.put(`/apisix/admin/stream_routes/${id}`, { upstream: to(name), ...conf });
const from = (address: string): Promise<string | null> => greetingAt(port, { from: address });

test('a client that no route matches is closed without a byte, and that is logged', async () => {
  await route('1', 'a', { remote_addr: '127.0.0.9' });
  const before = proxy.records.length;
  expect(await from('127.0.0.1')).toBe(null);
  expect(proxy.records.slice(before)).toContainEqual(
    expect.objectContaining({ code: 'NO_ROUTE', remote_addr: '127.0.0.1', server_port: port }));
  expect(await proxy.metrics()).toMatch(/millrace_connections_closed_total\{reason="NO_ROUTE"\} [1-9]/);
});

test('thousands of clients that no route matches do not flood the log, and are all counted (P9)', async () => {
  await route('1', 'a', { remote_addr: '127.0.0.9' });
  const closed = async (): Promise<number> =>
    Number(/millrace_connections_closed_total\{reason="NO_ROUTE"\} (\d+)/.exec(await proxy.metrics())?.[1] ?? 0);
  const [before, counted] = [proxy.records.length, await closed()];
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 100 }, () => from('127.0.0.1')));
  await new Promise((resolve) => { setTimeout(resolve, 1100); });
  expect(await from('127.0.0.1')).toBe(null);
  const said = proxy.records.slice(before).filter(({ code, level }) => code === 'NO_ROUTE' && Number(level) >= 30);
  expect(said.length).toBeLessThan(200);
  const more = said.reduce((sum, { count }) => sum + Number(count ?? 1), 0);
  expect(more).toBe(1001);
  expect(await closed()).toBe(counted + 1001);
});

test('remote_addr is an address or a network; the smaller network wins', async () => {
  await route('1', 'a', { remote_addr: '127.0.0.0/8' });
  await route('2', 'b', { remote_addr: '127.0.0.0/29' });
  await route('3', 'c', { remote_addr: '127.0.0.2' });
  expect(await from('127.0.0.2')).toBe('c');
  expect(await from('127.0.0.3')).toBe('b');
  expect(await from('127.0.0.8')).toBe('a');
});

test('remote_addr of IPv6, as address and as network; an IPv4 client is none of them', async () => {
  await route('1', 'a', { remote_addr: '::1' });
  expect(await greetingAt(port, { host: '::1' })).toBe('a');
  expect(await from('127.0.0.1')).toBe(null);
  await route('1', 'b', { remote_addr: '::/64' });
  expect(await greetingAt(port, { host: '::1' })).toBe('b');
  expect(await from('127.0.0.1')).toBe(null);
  await route('1', 'c', { remote_addr: '2001:db8::/32' });
  expect(await greetingAt(port, { host: '::1' })).toBe(null);
});

test('server_addr and server_port are those that the client connected to', async () => {
  await route('1', 'a', { server_addr: '127.0.0.5' });
  await route('2', 'b', { server_addr: '127.0.1.0/24' });
  await route('3', 'c', { server_port: port });
  expect(await greetingAt(port, { host: '127.0.0.5' })).toBe('a');
  expect(await greetingAt(port, { host: '127.0.1.7' })).toBe('b');
  expect(await greetingAt(port, { host: '127.0.0.1' })).toBe('c');
});

test('all conditions of a route must hold', async () => {
  await route('1', 'a', { remote_addr: '127.0.0.2', server_addr: '127.0.0.5', server_port: port });
  await route('2', 'b');
  expect(await greetingAt(port, { from: '127.0.0.2', host: '127.0.0.5' })).toBe('a');
  expect(await greetingAt(port, { from: '127.0.0.2', host: '127.0.0.1' })).toBe('b');
  expect(await greetingAt(port, { from: '127.0.0.3', host: '127.0.0.5' })).toBe('b');
});

test('the client\'s address counts more than ours, ours more than the port', async () => {
  await route('1', 'a', { server_port: port, priority: 100 });
  await route('2', 'b', { server_addr: '127.0.0.0/8', priority: 50 });
  expect(await from('127.0.0.2')).toBe('b');
  await route('3', 'c', { remote_addr: '127.0.0.0/8' });
  expect(await from('127.0.0.2')).toBe('c');
});

test('among equally specific routes the higher priority wins, then the lower id, numbers by value', async () => {
  await route('10', 'a');
  await route('9', 'b');
  expect(await from('127.0.0.1')).toBe('b');
  await route('10', 'a', { priority: 1 });
  expect(await from('127.0.0.1')).toBe('a');
  await route('9', 'b', { priority: 1 });
  await route('x', 'c', { priority: 1 });
  expect(await from('127.0.0.1')).toBe('b');
  await route('x', 'c', { priority: 2 });
  expect(await from('127.0.0.1')).toBe('c');
});

test('the order does not depend on the order of writing', async () => {
  const all: (readonly [string, 'a' | 'b' | 'c', Record<string, unknown>])[] = [
    ['3', 'a', {}], ['2', 'b', { remote_addr: '127.0.0.2' }], ['1', 'c', { remote_addr: '127.0.0.0/24' }],
  ];
  for (const order of [all, all.toReversed()]) {
    for (const [id, name, conf] of order) await route(id, name, conf);
    expect([await from('127.0.0.2'), await from('127.0.0.3'), await from('127.0.1.1')]).toEqual(['b', 'c', 'a']);
    for (const [id] of order) await proxy.call('DELETE', `/apisix/admin/stream_routes/${id}`);
  }
});

test('status 0 keeps a route but takes it out; open connections go on until then, new ones pass by', async () => {
  await route('1', 'a', { priority: 1 });
  await route('2', 'b');
  await using before = await connectLines(port);
  expect(await before.line()).toBe('a');
  await route('1', 'a', { priority: 1, status: 0 });
  expect(await from('127.0.0.1')).toBe('b');
  before.send('still here\n');
  expect(await before.line()).toBe('still here');
  expect((await proxy.call('GET', '/apisix/admin/stream_routes/1')).body.value.status).toBe(0);
  await route('1', 'a', { priority: 1, status: 1 });
  expect(await from('127.0.0.1')).toBe('a');
});

test('a deleted route is gone for the next connection', async () => {
  await route('1', 'a');
  expect(await from('127.0.0.1')).toBe('a');
  await proxy.call('DELETE', '/apisix/admin/stream_routes/1');
  expect(await from('127.0.0.1')).toBe(null);
});

test('a route with an sni never takes a client without TLS', async () => {
  await route('1', 'a', { sni: '*' });
  expect(await from('127.0.0.1')).toBe(null);
});

test('addresses that are none are refused when they are written', async () => {
  for (const [field, value] of [['remote_addr', ':/8'], ['remote_addr', '127.0.0.1/33'], ['server_addr', '1.2.3'],
    ['server_port', 0], ['server_port', 65536], ['sni', 'a b']] as const) {
    const { status, body } = await proxy.call('PUT', '/apisix/admin/stream_routes/9', { upstream: to('a'), [field]: value });
    expect([field, value, status]).toEqual([field, value, 400]);
    expect(body.error_msg).toContain(field);
  }
});
