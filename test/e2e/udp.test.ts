// UDP routes: sessions by client, nodes, plugins, ends.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { startMillrace } from '../support/millrace-process.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';

/** Answers each datagram with its name and what it got; counts its clients. */
async function echo(name: string): Promise<{ port: number; clients: Set<number> } & AsyncDisposable> {
  const socket = createSocket('udp4');
  const clients = new Set<number>();
  socket.on('message', (bytes, { port, address }) => {
    clients.add(port);
    socket.send(`${name}:${bytes.toString()}`, port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { port: socket.address().port, clients, async [Symbol.asyncDispose]() { socket.close(); } };
}

async function dial(port: number, from = '127.0.0.1'): Promise<{ ask(text: string): Promise<string>; send(text: string): void; got: string[]; socket: Socket }> {
  const socket = createSocket('udp4');
  const got: string[] = [];
  socket.on('message', (bytes) => got.push(bytes.toString())).on('error', () => undefined);
  socket.bind(0, from);
  await once(socket, 'listening');
  const send = (text: string): void => socket.send(text, port, '127.0.0.1');
  const ask = async (text: string): Promise<string> => {
    const before = got.length;
    send(text);
    await expect.poll(() => got.length).toBeGreaterThan(before);
    return got[before]!;
  };
  return { ask, send, got, socket };
}

async function start(port: number, limits: Record<string, number> = {}): Promise<Proxy> {
  return startProxy({ route: null, limits, settings: { listeners: [{ port: await freePort(), protocol: 'redis' }, { port, transport: 'udp' }] } });
}

const route = '/apisix/admin/stream_routes/1';

test('each client has a session with one node, datagrams stay apart, and answers reach whom they are for', async () => {
  await using one = await echo('one');
  await using two = await echo('two');
  const port = await freePort();
  await using proxy = await start(port);
  await proxy.put(route, { server_port: port, upstream: { nodes: { [`127.0.0.1:${one.port}`]: 1, [`127.0.0.1:${two.port}`]: 1 } } });
  const clients = await Promise.all(Array.from({ length: 6 }, () => dial(port)));
  const names = await Promise.all(clients.map(async (client, i) => (await client.ask(`hello ${i}`)).split(':')[0]!));
  expect(names.toSorted()).toEqual(['one', 'one', 'one', 'two', 'two', 'two']);
  for (const [i, client] of clients.entries()) {
    for (let n = 0; n < 20; n++) client.send(`${i}-${n}`);
    await expect.poll(() => client.got.length).toBe(21);
    // Of one client, by one node, each datagram for itself.
    expect(client.got.slice(1).toSorted()).toEqual(Array.from({ length: 20 }, (_, n) => `${names[i]}:${i}-${n}`).toSorted());
  }
  expect(one.clients.size + two.clients.size).toBe(6);
  const { body } = await proxy.call('GET', '/apisix/admin/sessions');
  expect(body.list.map(({ server, protocol, route: id }: any) => [server, protocol, id])).toEqual(Array.from({ length: 6 }, () => [`127.0.0.1:${port}`, 'tcp', '1']));
  for (const { socket } of clients) socket.close();
});

test('a session ends when neither side says anything, and the next datagram begins another', async () => {
  await using one = await echo('one');
  const port = await freePort();
  await using proxy = await start(port);
  await proxy.put(route, { server_port: port, upstream: { nodes: { [`127.0.0.1:${one.port}`]: 1 }, timeout: { idle: 0.3 } } });
  const client = await dial(port);
  await client.ask('a');
  await client.ask('b');
  expect(one.clients.size).toBe(1);
  await expect.poll(async () => (await proxy.call('GET', '/apisix/admin/sessions')).body.total, { timeout: 5000 }).toBe(0);
  expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="CLIENT_IDLE"\} 1\n/);
  expect(await client.ask('c')).toBe('one:c');
  expect(one.clients.size).toBe(2);
  client.socket.close();
});

test('a node that was away is used again when it is back, without others losing more than a datagram', async () => {
  const port = await freePort();
  await using proxy = await start(port);
  const away = await echo('away');
  await using there = await echo('there');
  await proxy.put(route, { server_port: port, upstream: { nodes: [
    { host: '127.0.0.1', port: away.port, weight: 1, priority: 1 }, { host: '127.0.0.1', port: there.port, weight: 1 },
  ] } });
  const clients = await Promise.all(Array.from({ length: 4 }, () => dial(port)));
  expect(await clients[0]!.ask('one')).toBe('away:one');
  await away[Symbol.asyncDispose]();
  // The one that finds out may lose what it sent.
  clients[0]!.send('lost');
  await expect.poll(() => proxy.records.some(({ code, transport }) => code === 'NODE_DOWN' && transport === 'udp')).toBe(true);
  expect(await clients[1]!.ask('two')).toBe('there:two');
  const again = createSocket('udp4');
  again.on('message', (bytes, from) => again.send(`back:${bytes.toString()}`, from.port, from.address));
  again.bind(away.port, '127.0.0.1');
  await once(again, 'listening');
  await expect.poll(async () => {
    const client = await dial(port);
    const answer = await client.ask('three');
    client.socket.close();
    return answer;
  }, { timeout: 5000 }).toBe('back:three');
  expect(proxy.records.some(({ code, transport }) => code === 'NODE_UP' && transport === 'udp')).toBe(true);
  again.close();
  for (const { socket } of clients) socket.close();
});

test('plugins that look at connections, limits and routes hold', async () => {
  await using one = await echo('one');
  const port = await freePort();
  await using proxy = await start(port, { clients_per_address: 2 });
  const upstream = { nodes: { [`127.0.0.1:${one.port}`]: 1 } };
  const refused = await dial(port, '127.0.0.2');
  refused.send('no route yet');
  await proxy.put(route, { server_port: port, upstream, plugins: { 'ip-restriction': { blacklist: ['127.0.0.2'] } } });
  refused.send('and now restricted');
  const clients = await Promise.all([dial(port), dial(port), dial(port)]);
  expect(await clients[0].ask('1')).toBe('one:1');
  expect(await clients[1].ask('2')).toBe('one:2');
  clients[2].send('too many of this address');
  await expect.poll(() => proxy.metrics()).toMatch(/reason="TOO_MANY_CONNECTIONS"\} 1\n/);
  expect(await proxy.metrics()).toMatch(/reason="NO_ROUTE"\} 1\n/);
  expect(await proxy.metrics()).toMatch(/reason="DENIED"\} 1\n/);
  expect([refused.got, clients[2].got, one.clients.size]).toEqual([[], [], 2]);
  // A node that is not there.
  await proxy.put(route, { server_port: port, upstream: { nodes: { [`127.0.0.1:${await freePort()}`]: 1 } } });
  const late = await dial(port, '127.0.0.3');
  late.send('x');
  await expect.poll(() => proxy.metrics()).toMatch(/reason="CONNECT_FAILED"\} 1\n/);
  for (const { socket } of [...clients, refused, late]) socket.close();
});

test('with several workers a client stays with its own, and stopping lets silent sessions go', async () => {
  await using one = await echo('one');
  const port = await freePort();
  await using millrace = await startMillrace({ settings: { workers: 3, listeners: [{ port: await freePort(), protocol: 'redis' }, { port, transport: 'udp' }] } });
  await millrace.put(route, { server_port: port, upstream: { nodes: { [`127.0.0.1:${one.port}`]: 1 } } });
  const clients = await Promise.all(Array.from({ length: 12 }, () => dial(port)));
  for (let n = 0; n < 5; n++) await Promise.all(clients.map((client) => client.ask(`${n}`)));
  expect(one.clients.size).toBe(12);
  millrace.signal('SIGTERM');
  expect(await millrace.exited).toBe(0);
  for (const { socket } of clients) socket.close();
});
