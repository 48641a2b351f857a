// The framework as the reference's own tests of its toy protocol see it; where the reference has a defect,
// the right
// behaviour. Ids are those of its rows.
import { createServer, type AddressInfo, type Server } from 'node:net';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { Request } from '../../core/request.ts';
import { plugin } from '../support/line-proxy.ts';
import { tcpLogSink, udpLogSink } from '../support/log-sinks.ts';
import { HEARTBEAT, makeFrame, SERVICE, STREAM, UNARY } from '../support/pingpong/frame.ts';
import { startPingPongProxy } from '../support/pingpong/proxy.ts';
import { startPingPongUpstream } from '../support/pingpong/upstream.ts';
import { bestTime } from '../support/best-time.ts';
import { freePort } from '../support/ports.ts';
import { sleep } from '../support/sleep.ts';

const unary = { type: UNARY, stream: 2, body: 'abc' };
const frame = (type: number, stream: number, service: string, body: string): object => ({
  type, stream, service, body,
});

/** Remembers what the log hook saw: stream and whether it was left unfinished. */
function watcher(): { seen: [stream: number, outcome: string][]; plugin: ReturnType<typeof plugin> } {
  const seen: [number, string][] = [];
  return {
    seen,
    plugin: plugin('watch', (_conf, context) => {
      const outcome = context.variable('outcome');
      return { log: (request: Request) => { seen.push([(request as Request & { stream: number }).stream, outcome(request)]); } };
    }),
  };
}

async function until(met: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !met(); i++) await sleep(10);
  expect(met()).toBe(true);
}

describe('frames', () => {
  test('XF-01 XF-22 a route of a protocol that was loaded is accepted', async () => {
    await using proxy = await startPingPongProxy();
    expect(await proxy.route('1', [1995])).toBe(201);
    const unknown = await proxy.call('PUT', '/apisix/admin/stream_routes/2', {
      upstream: { nodes: { '127.0.0.1:1995': 1 } }, protocol: { name: 'pongping' },
    });
    expect(unknown.status).toBe(400);
    expect(JSON.stringify(unknown.body)).toContain('unknown protocol [pongping]');
  });

  test('XF-02 a frame that is never finished ends the connection, with the reason in log and metric', async () => {
    await using upstream = await startPingPongUpstream();
    await using proxy = await startPingPongProxy({ limits: { request_timeout_s: 0.2 } });
    await proxy.route('1', [upstream.port]);
    const client = await proxy.dial();
    client.socket.write(makeFrame(unary).subarray(0, 3));
    await client.untilEnded();
    expect(client.received).toHaveLength(0);
    expect(proxy.records)
      .toContainEqual(expect.objectContaining({ code: 'CLIENT_REQUEST_TIMEOUT', route: '1' }));
    expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="CLIENT_REQUEST_TIMEOUT"\} 1/);
  });

  test('XF-03 a heartbeat comes back at once, and no node hears of it', async () => {
    await using upstream = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [upstream.port]);
    const client = await proxy.dial();
    client.send({ type: HEARTBEAT, stream: 7 });
    await client.read(1);
    expect(client.received).toEqual(makeFrame({ type: HEARTBEAT, stream: 7 }));
    expect(upstream.accepted).toBe(0);
  });

  test('XF-04 three unary frames in one write come back as they were, over one connection of the client\'s own', async () => {
    await using upstream = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [upstream.port]);
    const [client, other] = [await proxy.dial(), await proxy.dial()];
    client.send(unary, unary, unary);
    await client.read(3);
    expect(client.received).toEqual(Buffer.concat([1, 2, 3].map(() => makeFrame(unary))));
    expect(upstream.accepted).toBe(1);
    await other.ask(unary);
    expect(upstream.accepted).toBe(2);
    client.socket.destroy();
    await until(() => upstream.open.size === 1);
  });

  test('XF-05 a heartbeat and a unary frame in one write are answered in this order', async () => {
    await using upstream = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [upstream.port]);
    const client = await proxy.dial();
    client.send({ type: HEARTBEAT }, unary);
    expect((await client.read(2)).map(({ type }) => type)).toEqual([HEARTBEAT, UNARY]);
  });

  test('XF-11 stream frames may be answered in any order, each by its id', async () => {
    const held: Buffer[] = [];
    await using upstream = await startPingPongUpstream((raw, socket) => {
      held.push(raw);
      if (held.length === 2) socket.write(Buffer.concat(held.reverse()));
    });
    const { seen, plugin: watch } = watcher();
    await using proxy = await startPingPongProxy({ plugins: [watch] });
    await proxy.route('1', [upstream.port], { plugins: { watch: {} } });
    const client = await proxy.dial();
    client.send({ type: STREAM, stream: 1, body: 'first' }, { type: STREAM, stream: 2, body: 'second' });
    expect((await client.read(2)).map(({ stream, body }) => [stream, body]))
      .toEqual([[2, 'second'], [1, 'first']]);
    expect(seen).toEqual([[2, 'ok'], [1, 'ok']]);
  });

  test('XF-12 garbage instead of the second answer: the first arrives, the other is logged with what went wrong', async () => {
    let count = 0;
    await using upstream = await startPingPongUpstream((raw, socket) => {
      if (++count === 2) socket.write(Buffer.concat([raw, Buffer.from('gibberish!')]));
    });
    const { seen, plugin: watch } = watcher();
    await using proxy = await startPingPongProxy({ plugins: [watch] });
    await proxy.route('1', [upstream.port], { plugins: { watch: {} } });
    const client = await proxy.dial();
    client.send({ type: STREAM, stream: 1, body: 'x' }, { type: STREAM, stream: 2, body: 'x' });
    expect(await client.read(1)).toMatchObject([{ stream: 2 }]);
    await client.untilEnded();
    expect(seen).toEqual([[2, 'ok'], [1, 'upstream_protocol']]);
    expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="UPSTREAM_PROTOCOL"\} 1/);
  });

  test('XF-12 a request whose client left is logged as unfinished', async () => {
    await using upstream = await startPingPongUpstream(() => {});
    const { seen, plugin: watch } = watcher();
    await using proxy = await startPingPongProxy({ plugins: [watch] });
    await proxy.route('1', [upstream.port], { plugins: { watch: {} } });
    const client = await proxy.dial();
    client.send({ type: STREAM, stream: 1, body: 'x' });
    await until(() => upstream.received.length === 1);
    client.socket.resetAndDestroy();
    await until(() => seen.length === 1);
    expect(seen).toEqual([[1, 'unfinished']]);
    await until(() => upstream.open.size === 0);
  });

  test('a reply as long as another request ends the session instead of being believed', async () => {
    await using upstream = await startPingPongUpstream((_raw, socket) => {
      socket.write(makeFrame({ ...unary, body: 'longer' }));
    });
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [upstream.port]);
    const client = await proxy.dial();
    client.send(unary);
    await client.untilEnded();
    expect(client.received).toHaveLength(0);
    expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="UPSTREAM_PROTOCOL"\} 1/);
  });

  test('XF-13 the node\'s heartbeat goes back to the node, the client sees its answer only', async () => {
    const beat = makeFrame({ type: HEARTBEAT, stream: 9 });
    const answers: Buffer[] = [];
    await using upstream = await startPingPongUpstream((raw, socket) => {
      if (raw[2] === HEARTBEAT) {
        answers.push(raw);
        socket.write(makeFrame({ type: STREAM, stream: 1, body: 'x' }));
      } else {
        socket.write(beat);
      }
    });
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [upstream.port]);
    const client = await proxy.dial();
    client.send({ type: STREAM, stream: 1, body: 'x' });
    expect(await client.read(1)).toMatchObject([{ type: STREAM, stream: 1, body: 'x' }]);
    expect(answers).toEqual([beat]);
  });

  test('XF-14 frames of the node\'s own are passed on in order, each logged as a request', async () => {
    await using upstream = await startPingPongUpstream((_raw, socket) => {
      socket.write(Buffer.concat([3, 2, 1].map((stream) => makeFrame({ type: STREAM, stream, body: 'x' }))));
    });
    const { seen, plugin: watch } = watcher();
    await using proxy = await startPingPongProxy({ plugins: [watch] });
    await proxy.route('1', [upstream.port], { plugins: { watch: {} } });
    const client = await proxy.dial();
    client.send({ type: STREAM, stream: 1, body: 'x' });
    expect((await client.read(3)).map(({ stream }) => stream)).toEqual([3, 2, 1]);
    expect(seen).toEqual([[3, 'ok'], [2, 'ok'], [1, 'ok']]);
  });
});

describe('nodes', () => {
  test('XF-06 XF-07 XF-10 a node that refuses is logged with its cause, the client is closed without a byte; the next write mends it', async () => {
    await using upstream = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    expect(await proxy.route('1', [await freePort()])).toBe(201);
    const client = await proxy.dial();
    client.send(unary);
    await client.untilEnded();
    expect(client.received).toHaveLength(0);
    expect(JSON.stringify(proxy.records.find(({ code }) => code === 'NODE_DOWN')))
      .toMatch(/failed to connect to upstream.*ECONNREFUSED/);
    expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="CONNECT_FAILED"\} 1/);
    expect(await proxy.route('1', [upstream.port])).toBe(200);
    expect(await (await proxy.dial()).ask(unary)).toMatchObject(unary);
  });

  test('a node that refuses is passed over while another one is there', async () => {
    await using upstream = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [await freePort(), upstream.port]);
    for (let i = 0; i < 4; i++) expect(await (await proxy.dial()).ask(unary)).toMatchObject(unary);
  });

  test('XF-08 XF-09 timeouts of milliseconds are taken, and half an answer runs into them', async () => {
    await using upstream = await startPingPongUpstream((raw, socket) => { socket.write(raw.subarray(0, 11)); });
    const { seen, plugin: watch } = watcher();
    await using proxy = await startPingPongProxy({ plugins: [watch] });
    const timeout = { connect: 0.01, send: 0.009, read: 0.008 };
    expect(await proxy.route('1', [upstream.port], { upstream: { timeout }, plugins: { watch: {} } }))
      .toBe(201);
    const client = await proxy.dial();
    // A neighbour that was asked before, with a hundred times as long: a busy machine delays both.
    await using patient = await startPingPongProxy();
    await patient.route('1', [upstream.port], { upstream: { timeout: { read: 0.8 } } });
    const neighbour = await patient.dial();
    neighbour.send(unary);
    client.send(unary);
    const first = await Promise.race([
      client.untilEnded().then(() => '8 ms'), neighbour.untilEnded().then(() => '800 ms'),
    ]);
    expect(first).toBe('8 ms');
    expect(client.received).toHaveLength(0);
    expect(seen).toEqual([[2, 'upstream_timeout']]);
  });

  test('XF-23 without a timeout of its own a route has the one of the settings', async () => {
    const silent: Server[] = [];
    await using proxy = await startPingPongProxy({ limits: { connect_timeout_s: 0.2 } });
    const asked = async (upstream: object): Promise<number> => {
      const server = createServer(() => {}).listen(0, '127.0.0.1');
      silent.push(server);
      await once(server, 'listening');
      await proxy.route('1', [(server.address() as AddressInfo).port], { upstream: { scheme: 'tls', ...upstream } });
      const client = await proxy.dial();
      const began = performance.now();
      client.send(unary);
      await client.untilEnded();
      return performance.now() - began;
    };
    const [byDefault, own] = [await asked({}), await asked({ timeout: { connect: 1.5 } })];
    expect(byDefault).toBeGreaterThan(180);
    expect(byDefault).toBeLessThan(own);
    expect(own).toBeGreaterThan(1480);
    expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="CONNECT_TIMEOUT"\} 2/);
    for (const server of silent) server.close();
  });
});

describe('subordinate routes', () => {
  const subordinate = (service: string): object => ({ protocol: { superior_id: '1', conf: { service } } });

  test('XF-15 subordinates need a superior that exists and speaks the same protocol', async () => {
    await using proxy = await startPingPongProxy();
    expect(await proxy.route('1', [1995])).toBe(201);
    expect(await proxy.route('2', [1995], { protocol: { superior_id: 1, conf: { service: 'a' } } }))
      .toBe(201);
    expect(await proxy.route('3', [1995], subordinate('b') as Record<string, unknown>)).toBe(201);
    expect(await proxy.route('4', [1995], { protocol: { superior_id: 10000, conf: { service: 'b' } } }))
      .toBe(400);
    expect(await proxy.route('5', [1995], { protocol: { name: 'redis' } })).toBe(201);
    expect(await proxy.route('6', [1995], { protocol: { name: 'redis', superior_id: 1 } })).toBe(400);
  });

  test('XF-16 services a, b, a: answers in order over one connection each', async () => {
    await using a = await startPingPongUpstream();
    await using b = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [await freePort()]);
    await proxy.route('2', [a.port], subordinate('a') as Record<string, unknown>);
    await proxy.route('3', [b.port], subordinate('b') as Record<string, unknown>);
    const client = await proxy.dial();
    client.send(...['a', 'b', 'a'].map((service, i) => frame(SERVICE, i, service, `x${i}`) as { type: number }));
    expect((await client.read(3)).map(({ service, body }) => service + body)).toEqual(['ax0', 'bx1', 'ax2']);
    expect([a.accepted, b.accepted]).toEqual([1, 1]);
    expect([a.received.length, b.received.length]).toEqual([2, 1]);
  });

  test('XF-17 an unknown service goes to the superior\'s own upstream', async () => {
    await using superior = await startPingPongUpstream();
    await using a = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [superior.port]);
    await proxy.route('2', [a.port], subordinate('a') as Record<string, unknown>);
    const client = await proxy.dial();
    client.send(...['zz', 'a', 'zz'].map((service, i) => frame(SERVICE, i, service, 'x') as { type: number }));
    expect((await client.read(3)).map(({ service }) => service)).toEqual(['zz', 'a', 'zz']);
    expect([superior.received.length, a.received.length]).toEqual([2, 1]);
    expect(superior.accepted + a.accepted).toBe(2);
  });

  test('XF-18 a changed subordinate acts on a live connection at its next request', async () => {
    await using superior = await startPingPongUpstream();
    await using old = await startPingPongUpstream();
    await using fresh = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [superior.port]);
    await proxy.route('2', [old.port], subordinate('a') as Record<string, unknown>);
    const client = await proxy.dial();
    await client.ask(frame(SERVICE, 1, 'a', 'x') as { type: number });
    await proxy.route('2', [fresh.port], subordinate('c') as Record<string, unknown>);
    await client.ask(frame(SERVICE, 2, 'a', 'x') as { type: number });
    await client.ask(frame(SERVICE, 3, 'c', 'x') as { type: number });
    const streams = [old, superior, fresh].map(({ received }) => received.map(({ stream }) => stream));
    expect(streams).toEqual([[1], [2], [3]]);
    expect(old.accepted + superior.accepted + fresh.accepted).toBe(3);
  });

  test('XF-19 XF-20 XF-21 a subordinate may name its upstream; a change of that acts on a live connection', async () => {
    await using first = await startPingPongUpstream();
    await using second = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [await freePort()]);
    const upstream = (port: number): object => ({ nodes: { [`127.0.0.1:${port}`]: 1 } });
    await proxy.put('/apisix/admin/upstreams/7', upstream(first.port));
    expect(await proxy.route('2', null, { upstream_id: '7', ...subordinate('a') })).toBe(201);
    const client = await proxy.dial();
    await client.ask(frame(SERVICE, 1, 'a', 'x') as { type: number });
    expect(first.received).toHaveLength(1);
    await proxy.put('/apisix/admin/upstreams/7', upstream(second.port));
    await client.ask(frame(SERVICE, 2, 'a', 'x') as { type: number });
    expect([first.received.length, second.received.length]).toEqual([1, 1]);
    expect(second.accepted).toBe(1);
  });

  test('a subordinate is never matched by a connection, and a plain TCP route beside it does no harm', async () => {
    await using a = await startPingPongUpstream();
    await using superior = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('2', [superior.port]);
    await proxy.route('1', [a.port], { protocol: { superior_id: '2', conf: { service: 'a' } } });
    await proxy.put('/apisix/admin/stream_routes/3', { remote_addr: '127.0.0.9', upstream: { nodes: { '127.0.0.1:1': 1 } } });
    const client = await proxy.dial();
    await client.ask(unary);
    await client.ask(frame(SERVICE, 2, 'a', 'x') as { type: number });
    expect([superior.received.length, a.received.length]).toEqual([1, 1]);
  });
});

describe('loggers', () => {
  test('XF-24 XF-25 a filter that is none is refused when it is written, and what was there goes on', async () => {
    await using upstream = await startPingPongUpstream();
    await using proxy = await startPingPongProxy();
    await proxy.route('1', [upstream.port]);
    const { status, body } = await proxy.call('PUT', '/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [`127.0.0.1:${upstream.port}`]: 1 } },
      protocol: { name: 'pingpong', logger: [{ name: 'syslog', filter: [{}], conf: { host: '127.0.0.1', port: 5044 } }] },
    });
    expect(status).toBe(400);
    expect(JSON.stringify(body)).toContain('rule too short');
    expect(await (await proxy.dial()).ask(unary)).toMatchObject(unary);
  });

  // XF-26 XF-28 XF-30 XF-32 are the writes, XF-27 XF-29 XF-31 XF-33 what 13 bytes make of them.
  test.for([
    { ids: 'XF-26 XF-27', filter: [['rpc_len', '>', 10]], logged: true },
    { ids: 'XF-28 XF-29', filter: [['rpc_len', '<', 10]], logged: false },
    { ids: 'XF-30 XF-31', filter: [['rpc_len', '>', 12], ['rpc_len', '<', 14]], logged: true },
    { ids: 'XF-32 XF-33', filter: [['rpc_len', '<', 10], ['rpc_len', '>', 12]], logged: false },
  ])('$ids a logger with filter $filter logs a frame of 13 bytes: $logged', async ({ filter, logged }) => {
    await using upstream = await startPingPongUpstream();
    await using sink = await tcpLogSink();
    await using proxy = await startPingPongProxy();
    const conf = { tcp: { host: '127.0.0.1', port: sink.port }, batch_max_size: 1 };
    expect(await proxy.route('1', [upstream.port], {
      protocol: { logger: [{ name: 'logger', filter, conf }, { name: 'logger', conf: { ...conf, log_format: { all: 'yes' } } }] },
    })).toBe(201);
    const client = await proxy.dial();
    expect(await client.ask(unary)).toMatchObject(unary);
    const records = (await sink.wait(logged ? 2 : 1)).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(records.filter((record) => record['all'] === undefined)).toHaveLength(logged ? 1 : 0);
  });

  test('XF-34 XF-35 XF-36 the plugin metadata\'s format is used where a logger has none', async () => {
    await using upstream = await startPingPongUpstream();
    await using sink = await udpLogSink();
    await using proxy = await startPingPongProxy();
    await proxy.put('/apisix/admin/plugin_metadata/syslog', { log_format: { client_ip: '$remote_addr' } });
    const conf = { host: '127.0.0.1', port: sink.port, sock_type: 'udp', batch_max_size: 1 };
    expect(await proxy.route('1', [upstream.port], { protocol: { logger: [{ name: 'syslog', conf }] } }))
      .toBe(201);
    await (await proxy.dial()).ask(unary);
    expect((await sink.wait(1))[0]).toMatch(/\{.*"client_ip":"127\.0\.0\.1".*\}/);
  });

  test('XF-37 XF-38 a logger whose filter holds sends its record', async () => {
    await using upstream = await startPingPongUpstream();
    await using sink = await udpLogSink();
    await using proxy = await startPingPongProxy();
    const conf = { host: '127.0.0.1', port: sink.port, sock_type: 'udp', batch_max_size: 1, log_format: { client_ip: '$remote_addr' } };
    const logger = [{ name: 'syslog', filter: [['rpc_len', '>', 10]], conf }];
    expect(await proxy.route('1', [upstream.port], { protocol: { logger } })).toBe(201);
    await (await proxy.dial()).ask(unary);
    expect((await sink.wait(1))[0]).toContain('"client_ip":"127.0.0.1"');
  });

  test('XF-39 a record of its own batch leaves at once, and the answer does not wait for it', async () => {
    await using upstream = await startPingPongUpstream();
    await using sink = await tcpLogSink();
    await using proxy = await startPingPongProxy();
    const conf = { host: '127.0.0.1', port: sink.port, flush_limit: 1, batch_max_size: 1 };
    expect(await proxy.route('1', [upstream.port], { protocol: { logger: [{ name: 'syslog', conf }] } }))
      .toBe(201);
    let count = 0;
    expect(await bestTime(1000, async () => {
      expect(await (await proxy.dial()).ask(unary)).toMatchObject(unary);
      const began = performance.now();
      await sink.wait(++count);
      return performance.now() - began;
    })).toBeLessThan(1000);
  });

  test('XF-40 a changed sink gets the requests from then on, also those of open connections', async () => {
    await using upstream = await startPingPongUpstream();
    await using before = await tcpLogSink();
    await using after = await tcpLogSink();
    await using proxy = await startPingPongProxy();
    const logger = (port: number): Record<string, unknown> =>
      ({ protocol: { logger: [{ name: 'syslog', conf: { host: '127.0.0.1', port, batch_max_size: 1, log_format: { n: '$rpc_len' } } }] } });
    await proxy.route('1', [upstream.port], logger(before.port));
    const client = await proxy.dial();
    await client.ask(unary);
    await before.wait(1);
    await proxy.route('1', [upstream.port], logger(after.port));
    await client.ask({ ...unary, body: 'abcd' });
    await (await proxy.dial()).ask({ ...unary, body: 'abcde' });
    expect((await after.wait(2)).map((line) => /"n":"(\d+)"/.exec(line)?.[1])).toEqual(['14', '15']);
    expect(before.records).toHaveLength(1);
  });

  test('XF-41 XF-42 XF-43 rpc_time is a number, in filters and in records', async () => {
    await using upstream = await startPingPongUpstream((raw, socket) => { setTimeout(() => socket.write(raw), 20); });
    await using sink = await tcpLogSink();
    await using proxy = await startPingPongProxy();
    await proxy.put('/apisix/admin/plugin_metadata/syslog', { log_format: { rpc_time: '$rpc_time' } });
    const conf = { host: '127.0.0.1', port: sink.port, batch_max_size: 1 };
    expect(await proxy.route('1', [upstream.port], {
      protocol: { logger: [{ name: 'syslog', filter: [['rpc_time', '>=', 0]], conf }] },
    })).toBe(201);
    await (await proxy.dial()).ask(unary);
    const time = Number(/"rpc_time":([\d.]+)/.exec((await sink.wait(1))[0]!)?.[1]);
    expect(time).toBeGreaterThan(0.015);
    // In milliseconds it would be 20.
    expect(time).toBeLessThan(10);
  });
});
