// U2, U4, U5, U9, U10: servers that vanish, are not ready, do not let us in or fail half of the time; clocks that jump.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { expect, test, vi } from 'vitest';
import { startEvilUpstream } from '../../support/evil-upstream.ts';
import { freePort } from '../../support/ports.ts';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRecordingUpstream } from '../../support/recording-upstream.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand, RespError } from '../../support/resp.ts';
import { sleep } from '../../support/sleep.ts';
import { startToxicMiddle } from '../../support/toxic-middle.ts';

const upstream = (port: number, more: object = {}): Record<string, unknown> => (
  { upstream: { nodes: { [`127.0.0.1:${port}`]: 1 }, timeout: { connect: 0.5, send: 1, read: 0.5 }, ...more } });

const changes = (proxy: Proxy, code: 'NODE_DOWN' | 'NODE_UP'): Record<string, unknown>[] =>
  proxy.records.filter((record) => record['code'] === code);

/** Timers of this process's open connections to a local port, as the kernel has them; `02` is keepalive. */
function timersTowards(port: number): { readonly timer: string; readonly seconds: number }[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, state]) => remote?.endsWith(suffix) && state === '01')
    // Ticks of 10 ms, in hexadecimal.
    .map(([, , , , , timer]) => ({ timer: timer!.slice(0, 2), seconds: Number.parseInt(timer!.slice(3), 16) / 100 }));
}

test.each(['shared', 'dedicated'])('a peer that falls silent ends requests at their deadline, and clients go on when it is back (U2, %s)', async (mode) => {
  await using redis = await startRedis();
  await using middle = await startToxicMiddle({ to: redis.port });
  await using proxy = await startProxy({
    route: { ...upstream(middle.port), protocol: { name: 'redis', conf: { upstream_connection: mode } } },
  });
  const client = await proxy.connect();
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  middle.set('both', { stopped: true });
  const from = performance.now();
  const lost = await client.command('GET', 'a').catch(() => 'closed');
  expect(lost instanceof RespError ? lost.text : lost).toMatch(/^(ERR millrace: upstream timeout|closed)$/);
  expect(performance.now() - from).toBeLessThan(5000);
  // To a probe that connects the node looks well; it must be asked something.
  await sleep(300);
  const meanwhile = await (await proxy.connect()).command('GET', 'a');
  expect((meanwhile as RespError).text).toMatch(/^ERR millrace: /);
  middle.set('both', {});
  await expect.poll(async () => (await proxy.connect()).command('GET', 'a'), { timeout: 10_000, interval: 100 }).toBe('1');
});

test('idle connections to a server are kept alive by probes of the kernel, the first within 15 s (U2)', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const client = await proxy.connect();
  expect(await client.pipeline([['GET', 'a'], ['MULTI'], ['GET', 'a']])).toEqual([null, 'OK', 'QUEUED']);
  // The shared link and the own one.
  await expect.poll(() => timersTowards(redis.port).filter(({ timer }) => timer === '02').length).toBeGreaterThanOrEqual(2);
  for (const { timer, seconds } of timersTowards(redis.port)) if (timer === '02') expect(seconds).toBeLessThanOrEqual(15);
});

test.each([
  'LOADING Redis is loading the dataset in memory', 'READONLY You can\'t write against a read only replica.',
  'MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \'no\'.',
  'OOM command not allowed when used memory > \'maxmemory\'.', 'BUSY Redis is busy running a script.',
  'CLUSTERDOWN The cluster is down', 'NOREPLICAS Not enough good replicas to write.', 'MISCONF Redis is configured to save RDB snapshots.',
])('%s passes unchanged, is not asked again and is not held against the node (U4)', async (text) => {
  await using server = await startRecordingUpstream({ reply: ([name]) => (name === 'PING' ? '+PONG\r\n' : `-${text}\r\n`) });
  await using proxy = await startProxy({ upstream: server.port });
  const client = await proxy.connect();
  client.send(encodeCommand(['SET', 'a', '1']));
  expect((await client.readRaw({ until: '\r\n' })).toString()).toBe(`-${text}\r\n`);
  expect(await client.pipeline([['GET', 'a'], ['INCR', 'b']])).toEqual([new RespError(text), new RespError(text)]);
  expect(server.received.filter((line) => line !== 'PING')).toEqual(['SET a 1', 'GET a', 'INCR b']);
  expect(changes(proxy, 'NODE_DOWN')).toEqual([]);
});

test.each(['LOADING Redis is loading the dataset in memory', 'MASTERDOWN Link with MASTER is down'])(
  'a node that comes back but says %s is left out until it does not (U4)', async (text) => {
    const port = await freePort();
    let ready = false;
    const serve = (): ReturnType<typeof startRecordingUpstream> => startRecordingUpstream({
      port, reply: ([name]) => (ready ? (name === 'PING' ? '+PONG\r\n' : '+OK\r\n') : `-${text}\r\n`),
    });
    await using proxy = await startProxy({ route: upstream(port) });
    const client = await proxy.connect();
    expect((await client.command('GET', 'a') as RespError).text).toMatch(/failed to connect/);
    await using server = await serve();
    await expect.poll(() => server.received.filter((line) => line === 'PING').length).toBeGreaterThan(2);
    // Probes ask it; no client's command is tried on it.
    expect(await client.command('GET', 'a')).toEqual(new RespError('ERR millrace: no healthy upstream'));
    expect(server.received.filter((line) => line !== 'PING')).toEqual([]);
    expect(changes(proxy, 'NODE_UP')).toEqual([]);
    ready = true;
    await expect.poll(() => client.command('SET', 'a', '1'), { timeout: 5000 }).toBe('OK');
    expect(changes(proxy, 'NODE_UP')).toHaveLength(1);
  });

test('a server that does not take our password is left out with its reason; the others serve, and no client sees it (U5)', async () => {
  await using wrong = await startRedis(['--requirepass', 'another']);
  await using right = await startRedis(['--requirepass', 'ours-CANARY']);
  const nodes = [wrong, right].map(({ port }) => ({ host: '127.0.0.1', port, weight: 1 }));
  await using proxy = await startProxy({ route: { upstream: { nodes, auth: { password: 'ours-CANARY' } } } });
  // The first that is sent there is told; from then on the node is out.
  const texts = new Set<string>();
  await expect.poll(async () => {
    const client = await proxy.connect();
    const reply = await client.command('SET', 'a', '1');
    if (reply instanceof RespError) texts.add(reply.text);
    await client.close();
    return changes(proxy, 'NODE_DOWN').length;
  }).toBe(1);
  for (const text of texts) expect(text).toMatch(/^ERR millrace: upstream refused the handshake: WRONGPASS /);
  const [down] = changes(proxy, 'NODE_DOWN');
  expect(down).toMatchObject({ node: `127.0.0.1:${wrong.port}` });
  expect(JSON.stringify(down)).toContain('WRONGPASS');
  for (let i = 0; i < 20; i++) expect(await (await proxy.connect()).command('SET', 'a', '1')).toBe('OK');
  expect(JSON.stringify(proxy.records)).not.toContain('CANARY');
  // Another upstream knows the password: for it the same server is well.
  await proxy.put('/apisix/admin/stream_routes/2', {
    remote_addr: '127.0.0.3', protocol: { name: 'redis' },
    upstream: { nodes: { [`127.0.0.1:${wrong.port}`]: 1 }, auth: { password: 'another' } },
  });
  const socket = connect({ port: proxy.port, host: '127.0.0.1', localAddress: '127.0.0.3' });
  const other = new RespClient(socket);
  expect(await other.command('GET', 'a')).toBe(null);
  socket.destroy();
  await using admin = await RespClient.connect(wrong.port);
  expect(await admin.pipeline([['AUTH', 'another'], ['CONFIG', 'SET', 'requirepass', 'ours-CANARY']])).toEqual(['OK', 'OK']);
  await expect.poll(() => changes(proxy, 'NODE_UP').length, { timeout: 5000 }).toBe(1);
});

test('what a client asks of its connection and may not have is its own error, and says nothing against the node (U5)', async () => {
  await using redis = await startRedis(['--databases', '2']);
  await using direct = await RespClient.connect(redis.port);
  await direct.command('ACL', 'SETUSER', 'noselect', 'on', '>pw-CANARY', '~*', '+get', '+set', '+auth', '+ping', '+reset');
  await using proxy = await startProxy({ upstream: redis.port });
  await using other = await proxy.connect();
  const client = await proxy.connect();
  expect(await client.command('SELECT', '7')).toEqual(new RespError('ERR DB index is out of range'));
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  expect(await client.command('AUTH', 'noselect', 'pw-CANARY')).toBe('OK');
  expect(await client.command('GET', 'a')).toBe('1');
  await using straight = await RespClient.connect(redis.port);
  expect(await straight.command('AUTH', 'noselect', 'pw-CANARY')).toBe('OK');
  expect(await client.command('SELECT', '1')).toEqual(await straight.command('SELECT', '1'));
  expect(await client.command('GET', 'a')).toBe('1');
  expect(await other.command('GET', 'a')).toBe('1');
  expect(changes(proxy, 'NODE_DOWN')).toEqual([]);
  expect(JSON.stringify(proxy.records)).not.toContain('CANARY');
});

test('of a server that fails half of its requests no request is run more often than it was asked for (U9)', async () => {
  await using evil = await startEvilUpstream({ seed: 5, chances: { fin: 0.5 } });
  await using proxy = await startProxy({ route: upstream(evil.port, { retries: 3 }) });
  const clients = await Promise.all(Array.from({ length: 10 }, () => proxy.connect()));
  let [asked, failed] = [0, 0];
  await Promise.all(clients.map(async (client, n) => {
    for (let i = 0; i < 40; i++) {
      asked++;
      const reply = await client.command('INCR', `u9:${n}:${i}`);
      if (reply instanceof RespError) failed++;
      else expect(reply).toBe(1);
    }
  }));
  const executed = [...evil.executed].filter(([name]) => name.startsWith('incr u9:'));
  expect(executed.filter(([, times]) => times > 1)).toEqual([]);
  expect(executed.reduce((sum, [, times]) => sum + times, 0)).toBeLessThanOrEqual(asked);
  expect(failed).toBeGreaterThan(asked / 10);
  // Each failure ends a connection, and none is opened without a request that needs it.
  expect(evil.connections).toBeLessThanOrEqual(1);
});

test('a jump of the wall clock ends nothing early and lets nothing wait longer (U10)', async () => {
  const real = Date.now;
  await using evil = await startEvilUpstream({ seed: 6 });
  await using proxy = await startProxy({
    route: { ...upstream(evil.port), plugins: { 'limit-count': { count: 1000, time_window: 60 } } },
    limits: { client_idle_timeout_s: 30 },
  });
  const [client, idle] = [await proxy.connect(), await proxy.connect()];
  expect(await idle.command('GET', 'a')).toBe('a');
  try {
    for (const hours of [1, -1]) {
      const answer = client.command('GET', 'evil:late=250:b');
      await sleep(50);
      vi.spyOn(Date, 'now').mockImplementation(() => real() + hours * 3_600_000);
      expect(await answer).toBe('evil:late=250:b');
      const from = performance.now();
      expect((await client.command('GET', `evil:never:${hours}`) as RespError).text).toBe('ERR millrace: upstream timeout');
      const took = performance.now() - from;
      expect(took).toBeGreaterThan(480);
      expect(took).toBeLessThan(3000);
      await expect.poll(() => client.command('GET', 'c'), { timeout: 5000 }).toBe('c');
      expect(await idle.command('GET', 'd')).toBe('d');
    }
  } finally {
    vi.restoreAllMocks();
  }
});
