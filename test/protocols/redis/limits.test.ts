// L5, section by section of the settings: each limit holds on the wire, is told, closes or waits as it says, and counts.
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { writeProxyHeader } from '../../../core/proxy-header.ts';
import { freePort } from '../../support/ports.ts';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRecordingUpstream } from '../../support/recording-upstream.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand, RespError } from '../../support/resp.ts';

const mib = 1024 * 1024;

async function counted(proxy: Proxy, metric: string, reason: string): Promise<number> {
  const lines = (await proxy.metrics()).split('\n').filter((line) => line.startsWith(`${metric}{`) && line.includes(`reason="${reason}"`));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

const protocolError = (text: string): string => `-ERR Protocol error: ${text}\r\n`;

test.each<[limits: Record<string, number>, within: string, beyond: string, text: string]>([
  [{ inline_bytes: 128 }, `ECHO ${'x'.repeat(100)}\r\n`, `ECHO ${'x'.repeat(150)}`, 'too big inline request'],
  [{ bulk_bytes: 2048, unauthenticated_bulk_bytes: 2048 }, '*2\r\n$4\r\nECHO\r\n$2048\r\n', '*2\r\n$4\r\nECHO\r\n$2049\r\n', 'invalid bulk length'],
  [{ arguments: 5, unauthenticated_arguments: 5 }, '*5\r\n', '*6\r\n', 'invalid multibulk length'],
])('%j: what is within is taken, what is beyond is told, closed and counted', async (limits, within, beyond, text) => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits });
  const good = await proxy.connect();
  await good.command('PING');
  good.send(within);
  expect((await good.readRaw({ idle: 100 })).toString()).not.toContain('Protocol error');
  expect(good.ended).toBeNull();
  const bad = await proxy.connect();
  await bad.command('PING');
  bad.send(beyond);
  expect((await bad.readRaw({ until: '\r\n' })).toString()).toBe(protocolError(text));
  await bad.untilEnded();
  await expect.poll(() => counted(proxy, 'millrace_connections_closed_total', 'PROTOCOL_ERROR')).toBe(1);
});

test.each<[limits: Record<string, number>, within: string, beyond: string, text: string]>([
  [{ unauthenticated_arguments: 3 }, '*3\r\n', '*4\r\n', 'unauthenticated multibulk length'],
  [{ unauthenticated_bulk_bytes: 100 }, '*1\r\n$100\r\n', '*1\r\n$101\r\n', 'unauthenticated bulk length'],
])('%j: holds until the client logged in', async (limits, within, beyond, text) => {
  await using redis = await startRedis(['--requirepass', 'pw']);
  await using proxy = await startProxy({ upstream: redis.port, limits });
  const stranger = await proxy.connect();
  stranger.send(within);
  expect((await stranger.readRaw({ idle: 100 })).toString()).toBe('');
  const bad = await proxy.connect();
  bad.send(beyond);
  expect((await bad.readRaw({ until: '\r\n' })).toString()).toBe(protocolError(text));
  await bad.untilEnded();
  const known = await proxy.connect();
  expect(await known.pipeline([['AUTH', 'pw'], ['SET', 'a', 'x'.repeat(200)], ['MGET', 'a', 'b', 'c', 'd']]))
    .toEqual(['OK', 'OK', ['x'.repeat(200), null, null, null]]);
});

test('reply_nesting: a reply that is nested deeper ends its link, and only that', async () => {
  const nested = (depth: number): string => `${'*1\r\n'.repeat(depth)}:1\r\n`;
  await using server = await startRecordingUpstream({ reply: ([, depth]) => (depth === undefined ? '+PONG\r\n' : nested(Number(depth))) });
  await using proxy = await startProxy({ upstream: server.port, limits: { reply_nesting: 5 } });
  const client = await proxy.connect();
  client.send(encodeCommand(['GET', '5']));
  expect((await client.readRaw({ until: ':1\r\n' })).toString()).toBe(nested(5));
  client.send(encodeCommand(['GET', '7']));
  expect((await client.readRaw({ idle: 300 })).toString()).toBe('-ERR millrace: upstream sent an invalid reply\r\n');
  expect(await counted(proxy, 'millrace_links_closed_total', 'UPSTREAM_PROTOCOL')).toBe(1);
  client.send(encodeCommand(['GET', '1']));
  expect((await client.readRaw({ until: ':1\r\n' })).toString()).toBe(nested(1));
});

test('clients_per_address: an address has its share, another one its own', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits: { clients_per_address: 2 } });
  const from = async (localAddress: string): Promise<RespClient> => {
    const socket = connect({ port: proxy.port, host: '127.0.0.1', localAddress });
    await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).once('error', reject); });
    return new RespClient(socket);
  };
  const [one, two] = [await from('127.0.0.1'), await from('127.0.0.1')];
  expect([await one.command('PING'), await two.command('PING')]).toEqual(['PONG', 'PONG']);
  const third = await from('127.0.0.1');
  expect((await third.readRaw({ until: '\r\n' })).toString()).toBe('-ERR max number of clients reached\r\n');
  await third.untilEnded();
  expect(await counted(proxy, 'millrace_connections_closed_total', 'TOO_MANY_CONNECTIONS')).toBe(1);
  const other = await from('127.0.0.2');
  expect(await other.command('PING')).toBe('PONG');
  await one.close();
  await expect.poll(async () => {
    const again = await from('127.0.0.1');
    again.send('PING\r\n');
    const text = (await again.readRaw({ until: '\r\n' })).toString();
    again.socket.destroy();
    return text;
  }).toBe('+PONG\r\n');
  for (const { socket } of [two, other]) socket.destroy();
});

test('clients_per_address: the addresses of an IPv6 /64 have one share, those of another one theirs, and an IPv4 address is one', async () => {
  await using redis = await startRedis();
  const port = await freePort();
  await using proxy = await startProxy({
    upstream: redis.port, limits: { clients_per_address: 2 },
    settings: { listeners: [{ port, protocol: 'redis', proxy_protocol: { trusted: ['127.0.0.1'] } }] },
  });
  const open: Socket[] = [];
  const from = async (remoteAddress: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1');
    open.push(socket);
    const localAddress = remoteAddress.includes(':') ? '2001:db8::1' : '192.0.2.1';
    socket.write(writeProxyHeader(2, { remoteAddress, remotePort: 4711, localAddress, localPort: 6379 }));
    socket.write('PING\r\n');
    return (await new RespClient(socket).readRaw({ until: '\r\n' })).toString();
  };
  const [yes, no] = ['+PONG\r\n', '-ERR max number of clients reached\r\n'];
  expect([await from('2001:db8:1:2::1'), await from('2001:db8:1:2:ffff::9'), await from('2001:db8:1:2:3::4')]).toEqual([yes, yes, no]);
  expect([await from('2001:db8:1:3::1'), await from('203.0.113.1'), await from('203.0.113.1'), await from('203.0.113.1')]).toEqual([yes, yes, yes, no]);
  expect(await counted(proxy, 'millrace_connections_closed_total', 'TOO_MANY_CONNECTIONS')).toBe(2);
  // A place in the share is given back by whoever had it.
  open[0]!.destroy();
  await expect.poll(() => from('2001:db8:1:2:3::4')).toBe(yes);
  for (const socket of open) socket.destroy();
});

test('link_spent_slots: a link that owes more answers than that is given up with the first timeout', async () => {
  const waits: number[] = [];
  for (const slots of [3, 100]) {
    await using server = await startRecordingUpstream({ reply: ([name]) => (name === 'PING' ? '+PONG\r\n' : null) });
    await using proxy = await startProxy({
      limits: { link_spent_slots: slots },
      route: { upstream: { nodes: { [`127.0.0.1:${server.port}`]: 1 }, timeout: { connect: 1, send: 5, read: 1 } } },
    });
    const client = await proxy.connect();
    const from = performance.now();
    const replies = await client.pipeline(Array.from({ length: 10 }, (_, i) => ['GET', `k${i}`]));
    expect((replies[0] as RespError).text).toBe('ERR millrace: upstream timeout');
    // Those that were not sent yet find the node left out.
    for (const reply of replies) expect((reply as RespError).text).toMatch(/^ERR millrace: (upstream timeout|no healthy upstream)$/);
    await expect.poll(() => counted(proxy, 'millrace_links_closed_total', 'UPSTREAM_TIMEOUT'), { timeout: 5000 }).toBe(1);
    waits.push(performance.now() - from);
  }
  // Otherwise it is kept for twice the timeout, in case it is only late.
  expect(waits[0]).toBeLessThan(waits[1]! - 300);
});

test('buffered_bytes: when all clients together leave too much unsent, those that hold most are closed', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits: { buffered_bytes: 2 * mib } });
  const good = await proxy.connect();
  await good.command('SET', 'big', 'b'.repeat(mib));
  // Each stays below what one client may leave.
  for (let i = 0; i < 4; i++) {
    const mute = await proxy.connect();
    mute.socket.pause();
    mute.send(Buffer.concat(Array.from({ length: 30 }, () => encodeCommand(['GET', 'big']))));
  }
  await expect.poll(() => counted(proxy, 'millrace_connections_closed_total', 'MEMORY_LIMIT'), { timeout: 8000 }).toBeGreaterThan(0);
  expect(await good.command('STRLEN', 'big')).toBe(mib);
});

test('request_bytes: a request that is longer is passed on in pieces or not read further, and arrives whole', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, limits: { request_bytes: 64 * 1024, stream_from_bytes: 32 * 1024 } });
  const client = await proxy.connect();
  const value = 'v'.repeat(500_000);
  expect(await client.pipeline([['SET', 'a', value], ['STRLEN', 'a'], ['MSET', 'b', value, 'c', '1'], ['STRLEN', 'b'], ['GET', 'c']]))
    .toEqual(['OK', 500_000, 'OK', 500_000, '1']);
});
