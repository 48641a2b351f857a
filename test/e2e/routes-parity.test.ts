// Rows of the reference about which connection goes where, on real sockets.
import { once } from 'node:events';
import { createServer, connect as dial, type Server } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../support/proxy.ts';

/** Says its name to whoever says something. */
async function named(name: string): Promise<{ nodes: Record<string, number>; server: Server }> {
  const server = createServer((socket) => {
    socket.on('data', () => socket.write(`${name}\n`)).on('error', () => undefined).on('end', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { nodes: { [`127.0.0.1:${(server.address() as { port: number }).port}`]: 1 }, server };
}

let one: Awaited<ReturnType<typeof named>>;
let two: typeof one;
let proxy: Proxy;
beforeAll(async () => {
  [one, two] = await Promise.all([named('one'), named('two')]);
  proxy = await startProxy({ route: null, settings: { listeners: [{ port: await freeOne() }] } });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  for (const { server } of [one, two]) server.close();
});

async function freeOne(): Promise<number> {
  const { freePort } = await import('../support/ports.ts');
  return freePort();
}

/** What a new connection gets; empty: it is closed without data. */
async function answer(): Promise<string> {
  const socket = dial(proxy.port, '127.0.0.1');
  socket.on('error', () => undefined);
  let text = '';
  socket.on('data', (bytes) => {
    text += String(bytes);
    socket.destroy();
  });
  socket.write('hello');
  await once(socket, 'close');
  return text.trim();
}

const routes = '/apisix/admin/stream_routes';
const put = (id: string, value: object): Promise<void> => proxy.put(`${routes}/${id}`, value);
async function clear(): Promise<void> {
  const { body } = await proxy.call('GET', routes);
  for (const { value } of body.list) await proxy.call('DELETE', `${routes}/${value.id}?force=true`);
}

test('SR-22 SR-23 SR-25 SR-28 a route takes the addresses that it names, until it is deleted', async () => {
  await put('1', { remote_addr: '127.0.0.1', upstream: { nodes: one.nodes } });
  expect(await answer()).toBe('one');
  await put('1', { remote_addr: '127.0.0.2', upstream: { nodes: one.nodes } });
  expect(await answer()).toBe('');
  await put('1', { remote_addr: '127.0.0.1/26', upstream: { nodes: one.nodes } });
  expect(await answer()).toBe('one');
  await proxy.call('DELETE', `${routes}/1`);
  expect(await answer()).toBe('');
});

test('SR-24 SR-27 by upstream_id, with settings that only HTTP knows', async () => {
  await proxy.put('/apisix/admin/upstreams/u', { nodes: one.nodes, type: 'roundrobin', pass_host: 'node', scheme: 'http' });
  await put('1', { remote_addr: '127.0.0.1', upstream_id: 'u' });
  expect(await answer()).toBe('one');
  await clear();
});

test('SR-29 SR-30 by a service with an upstream of its own or by id; a changed service counts from the next connection on', async () => {
  await proxy.put('/apisix/admin/services/s', { upstream: { nodes: one.nodes } });
  await put('1', { service_id: 's' });
  expect(await answer()).toBe('one');
  await proxy.put('/apisix/admin/upstreams/u', { nodes: two.nodes });
  await proxy.put('/apisix/admin/services/s', { upstream_id: 'u' });
  expect(await answer()).toBe('two');
  await proxy.put('/apisix/admin/upstreams/u', { nodes: one.nodes });
  expect(await answer()).toBe('one');
  await clear();
});

test('SR-61 SR-62 SR-63 sessions are counted, good and failed ones by why they ended, and live ones are shown with their bytes', async () => {
  const { freePort } = await import('../support/ports.ts');
  const series = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name.replaceAll(/[{}"]/g, '\\$&')} (\\d+)$`, 'm').exec(await proxy.metrics())?.[1] ?? 0);
  const ended = (reason: string): Promise<number> => series(`millrace_connections_closed_total{reason="${reason}"}`);
  await put('m', { upstream: { nodes: one.nodes, timeout: { idle: 0.3 } } });
  const of = '{protocol="tcp",route="m"}';
  const before = await Promise.all([ended('UPSTREAM_ENDED'), ended('CLIENT_IDLE'), ended('CONNECT_FAILED')]);
  // Closes normally: the node ends after the client did.
  const socket = dial(proxy.port, '127.0.0.1');
  socket.write('hello');
  await once(socket, 'data');
  await expect.poll(() => series(`millrace_connections_active${of}`)).toBe(1);
  socket.end();
  socket.resume();
  await once(socket, 'close');
  await expect.poll(() => series(`millrace_connections_active${of}`)).toBe(0);
  expect([await series(`millrace_connections_total${of}`), await series(`millrace_received_bytes_total${of}`), await series(`millrace_sent_bytes_total${of}`)])
    .toEqual([1, 5, 4]);
  expect(await ended('UPSTREAM_ENDED')).toBe(before[0] + 1);
  // Says nothing for too long.
  const silent = dial(proxy.port, '127.0.0.1');
  silent.resume();
  await once(silent, 'close');
  expect(await ended('CLIENT_IDLE')).toBe(before[1] + 1);
  // The node cannot be reached.
  await put('m', { upstream: { nodes: { [`127.0.0.1:${await freePort()}`]: 1 } } });
  expect(await answer()).toBe('');
  await expect.poll(() => ended('CONNECT_FAILED')).toBe(before[2] + 1);
  await expect.poll(() => series(`millrace_connections_total${of}`)).toBe(3);
  await clear();
});
