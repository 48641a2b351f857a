// M2, M4, M7–M9, P8: what one client, one server or one flood of names may cost the process.
import { connect, Socket } from 'node:net';
import { expect, test } from 'vitest';
import { collectGarbage } from '../../support/collect-garbage.ts';
import { startEvilUpstream } from '../../support/evil-upstream.ts';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand, RespError } from '../../support/resp.ts';
import { sleep } from '../../support/sleep.ts';

const mib = 1024 * 1024;

async function closedFor(proxy: Proxy, reason: string): Promise<number> {
  const found = new RegExp(`millrace_connections_closed_total\\{reason="${reason}"\\} (\\d+)`).exec(await proxy.metrics());
  return Number(found?.[1] ?? 0);
}

/** The most that was written to a socket of the proxy although it had said that it is full. `own`: the test's sockets. */
function watchQueues(own: readonly Socket[]): Disposable & { readonly most: number } {
  const write = Socket.prototype.write;
  let most = 0;
  Socket.prototype.write = function (this: Socket, ...args: unknown[]): boolean {
    const full = this.writableNeedDrain;
    const taken = (write as (...args: unknown[]) => boolean).apply(this, args);
    if (full && !own.includes(this)) most = Math.max(most, this.writableLength);
    return taken;
  };
  return { get most() { return most; }, [Symbol.dispose]: () => { Socket.prototype.write = write; } };
}

/** Sends PING for ever and reads nothing. Ends when the proxy has closed that many for being slow. */
async function flood(proxy: Proxy, wanted: number, within: number): Promise<number> {
  const stranger = await RespClient.connect(proxy.port);
  stranger.socket.pause();
  const asked = Buffer.from('PING\r\n'.repeat(10_000));
  const asking = setInterval(() => { if (stranger.socket.writableLength < mib) stranger.send(asked); }, 5);
  const from = performance.now();
  let closed = 0;
  while (closed < wanted && performance.now() - from < within) {
    await sleep(50);
    closed = await closedFor(proxy, 'CLIENT_SLOW');
  }
  clearInterval(asking);
  stranger.socket.destroy();
  return closed;
}

test('a stranger who asks and reads nothing is closed within seconds by the limits as they are (M7)', { timeout: 30_000 }, async () => {
  await using redis = await startRedis(['--requirepass', 'secret']);
  await using proxy = await startProxy({ upstream: redis.port });
  const known = await proxy.connect();
  expect(await known.command('AUTH', 'secret')).toBe('OK');
  expect(await flood(proxy, 1, 10_000)).toBe(1);
  // Who logged in may be slow for longer.
  await known.command('SET', 'big', 'b'.repeat(mib));
  known.socket.pause();
  known.send(Buffer.concat(Array.from({ length: 20 }, () => encodeCommand(['GET', 'big']))));
  await sleep(3500);
  known.socket.resume();
  expect(await known.read(20)).toHaveLength(20);
  expect(await closedFor(proxy, 'CLIENT_SLOW')).toBe(1);
});

test('strangers get every refusal, however many they ask for at once, and cost the server nothing', async () => {
  await using redis = await startRedis(['--requirepass', 'secret']);
  await using proxy = await startProxy({ upstream: redis.port });
  const refused = 'NOAUTH Authentication required.';
  // Not known before somebody asked.
  expect(await (await proxy.connect()).command('PING')).toEqual(new RespError(refused));
  const strangers = await Promise.all(Array.from({ length: 20 }, () => proxy.connect()));
  const count = 2000;
  for (const stranger of strangers) stranger.send(Buffer.from('PING\r\n'.repeat(count)));
  const replies = (await Promise.all(strangers.map((stranger) => stranger.read(count)))).flat();
  expect(new Set(replies.map((reply) => (reply as RespError).text))).toEqual(new Set([refused]));
  // Redis closes a connection without a user that so many answers wait for; here it would be that of all strangers.
  expect(await proxy.metrics()).not.toMatch(/millrace_links_closed_total\{reason="UPSTREAM_CLOSED"/);
  expect(await strangers[0]!.pipeline([
    ['GET'], ['NOPE'], ['MULTI'], ['SET', 'a', '1'], ['EXEC'], ['DISCARD'], ['CONFIG', 'GET', 'port'], ['AUTH', 'secret'], ['PING'],
  ])).toEqual([
    new RespError("ERR wrong number of arguments for 'get' command"),
    new RespError("ERR unknown command 'NOPE', with args beginning with: "), new RespError(refused), new RespError(refused),
    new RespError(`EXECABORT Transaction discarded because of: ${refused}`), new RespError(refused), new RespError(refused), 'OK', 'PONG',
  ]);
  await using admin = await RespClient.connect(redis.port);
  await admin.pipeline([['AUTH', 'secret'], ['CONFIG', 'SET', 'requirepass', '']]);
  // Who is no stranger any more hears of it within a second.
  await expect.poll(() => strangers[1]!.command('PING'), { timeout: 3000 }).toBe('PONG');
});

test('of many subscribers the one that reads nothing is closed for a counted reason, the others miss no message (M2)', { timeout: 40_000 }, async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const subscribers = await Promise.all(Array.from({ length: 10 }, () => proxy.connect()));
  for (const each of subscribers) expect(await each.command('SUBSCRIBE', 'news')).toEqual(['subscribe', 'news', 1]);
  const slow = subscribers[0]!;
  slow.socket.pause();
  await using publisher = await RespClient.connect(redis.port);
  const [messages, size] = [6000, 10 * 1024];
  const body = 'x'.repeat(size - 8);
  using queued = watchQueues([...subscribers.map(({ socket }) => socket), publisher.socket]);
  const read = subscribers.slice(1).map(() => 0);
  const reading = subscribers.slice(1).map(async (each, which) => {
    for (let n = 0; n < messages; n++) {
      read[which] = n;
      const [message] = await each.read(1) as [string[]];
      if (message[2] !== `${String(n).padStart(8, '0')}${body}`) throw new Error(`expected message ${n}, got ${message[2]?.slice(0, 8)}`);
    }
  });
  for (let n = 0; n < messages; n += 100) {
    // The server ends whoever is 32 MB behind: those who read, on a busy machine, too.
    while (n - Math.min(...read) > 1000) await sleep(1);
    await publisher.pipeline(Array.from({ length: 100 }, (_, i) => ['PUBLISH', 'news', `${String(n + i).padStart(8, '0')}${body}`]));
  }
  await Promise.all(reading);
  slow.socket.resume();
  expect(await slow.untilEnded()).toBeTruthy();
  const reasons = await Promise.all(['UPSTREAM_CLOSED', 'CLIENT_SLOW', 'REPLY_CUT'].map((reason) => closedFor(proxy, reason)));
  expect(reasons.reduce((sum, each) => sum + each, 0)).toBe(1);
  // 60 MB were sent to it: the proxy waits with the rest, and the server has limits of its own for who does.
  expect(queued.most).toBeLessThan(2 * mib);
  expect(await subscribers[1]!.command('PING')).toEqual(['pong', '']);
});

test('whoever does not read, no more than the limit is ever queued behind a full socket (M4)', { timeout: 30_000 }, async () => {
  await using redis = await startRedis();
  await using evil = await startEvilUpstream({ chances: { deaf: 1 } });
  const limit = 256 * 1024;
  await using proxy = await startProxy({
    upstream: redis.port, limits: { unsent_reply_pause_bytes: limit, link_pending_bytes: limit, request_bytes: 4 * mib },
  });
  await proxy.put('/apisix/admin/stream_routes/2', {
    remote_addr: '127.0.0.2', protocol: { name: 'redis' }, upstream: { nodes: { [`127.0.0.1:${evil.port}`]: 1 } },
  });
  const [good, mute, subscriber] = [await proxy.connect(), await proxy.connect(), await proxy.connect()];
  const towardsDeaf = connect({ port: proxy.port, host: '127.0.0.1', localAddress: '127.0.0.2' }).on('error', () => undefined);
  await good.command('SET', 'big', 'b'.repeat(100_000));
  await subscriber.command('SUBSCRIBE', 'news');
  for (const { socket } of [mute, subscriber]) socket.pause();
  using queued = watchQueues([good.socket, mute.socket, subscriber.socket, towardsDeaf]);
  for (let round = 0; round < 100; round++) {
    mute.send(Buffer.concat(Array.from({ length: 10 }, () => encodeCommand(['GET', 'big']))));
    if (towardsDeaf.writableLength < mib) towardsDeaf.write(encodeCommand(['SET', `k${round}`, 'v'.repeat(100_000)]));
    await good.command('PUBLISH', 'news', 'm'.repeat(100_000));
  }
  await sleep(300);
  towardsDeaf.destroy();
  // The mark, what was asked for before it was reached, and what one read of a server brings.
  expect(queued.most).toBeLessThan(limit + 512 * 1024 + 100_000);
  expect(queued.most).toBeGreaterThan(0);
});

test('names that clients make up are one label, whatever their number, and cost no memory (M8)', { timeout: 30_000 }, async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({
    upstream: redis.port, route: { protocol: { name: 'redis', metric: { enable: true } } },
  });
  const client = await proxy.connect();
  const names = (from: number): string[][] => Array.from({ length: 500 }, (_, i) => [`made-up-${from + i}`, 'x']);
  await client.pipeline(names(0));
  await client.pipeline([['CLIENT', 'made-up'], ['CONFIG', 'made-up', 'x'], ['GET', 'a']]);
  const lines = (await proxy.metrics()).split('\n').length;
  for (let from = 500; from < 20_000; from += 500) {
    await client.pipeline(names(from));
    await client.pipeline(Array.from({ length: 200 }, (_, i) => ['GET', `key-${from}-${i}`]));
  }
  const page = await proxy.metrics();
  expect(page.split('\n').length).toBeLessThanOrEqual(lines + 5);
  expect(page).not.toContain('made-up');
  expect(page).toMatch(/millrace_redis_commands_total\{command="unknown",route="1"\} 20\d{3}/);
});

test('a reply of hundreds of thousands of elements streams through, and others are answered beside it (M9)', { timeout: 40_000 }, async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  await using direct = await RespClient.connect(redis.port);
  const value = 'v'.repeat(100);
  for (let i = 0; i < 200; i++) {
    await direct.command('MSET', ...Array.from({ length: 1000 }, (_, at) => [`m:${i * 1000 + at}`, value]).flat());
  }
  const request = encodeCommand(['MGET', ...Array.from({ length: 200_000 }, (_, i) => `m:${i}`)]);
  const element = `$100\r\n${value}\r\n`;
  const expected = '*200000\r\n'.length + 200_000 * element.length;
  const asker = await proxy.connect();
  asker.socket.removeAllListeners('data');
  let [got, tail] = [0, ''];
  asker.socket.on('data', (bytes: Buffer) => { got += bytes.length; tail = (tail + bytes.toString('latin1', Math.max(0, bytes.length - 4))).slice(-4); });
  const other = await proxy.connect();
  await other.command('PING');
  const before = process.memoryUsage().external;
  let [most, answered] = [0, 0];
  for (let round = 0; round < 3; round++) {
    got = 0;
    asker.send(request);
    while (got < expected) {
      expect(await other.command('ECHO', String(answered))).toBe(String(answered));
      answered++;
      if (process.memoryUsage().external - before > most) {
        // Only what is still in use counts.
        collectGarbage();
        most = Math.max(most, process.memoryUsage().external - before);
      }
    }
    expect([got, tail]).toEqual([expected, 'vv\r\n']);
  }
  expect(answered).toBeGreaterThanOrEqual(6);
  // 3 × what is on the wire: the request and the reply.
  expect(most).toBeLessThan(3 * (request.length + expected));
});

test('who speaks HTTP is closed as a security event, counted and logged (P8)', async () => {
  await using proxy = await startProxy({});
  await proxy.put('/apisix/admin/stream_routes/1', { upstream: { type: 'memory' }, protocol: { name: 'redis' } });
  const client = await proxy.connect();
  client.send('POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a 1\r\n');
  await client.untilEnded();
  expect((await client.readRaw({ idle: 20 })).toString()).toBe('');
  expect(await closedFor(proxy, 'SECURITY_ABORT')).toBe(1);
  expect(proxy.records).toContainEqual(expect.objectContaining({ code: 'SECURITY_ABORT', remote_addr: '127.0.0.1' }));
});
