// A10: connections that Millrace makes itself do not lead to link-local addresses, cloud metadata, and its own Admin API.
import { createSocket } from 'node:dgram';
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDns } from '../support/dns-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import type { RespError } from '../support/resp.ts';

const place = '/apisix/admin/stream_routes/1';
const redis = { protocol: { name: 'redis' } };
/** Counts who connects to 127.0.0.66, at a port that somebody has at 127.0.0.1. */
async function trap(port: number): Promise<AsyncDisposable & { readonly hits: () => number }> {
  let hits = 0;
  const server = createServer((socket) => { hits++; socket.destroy(); });
  await new Promise<void>((resolve, reject) => { server.once('error', reject).listen(port, '127.0.0.66', resolve); });
  return { hits: () => hits, [Symbol.asyncDispose]: () => new Promise((resolve) => { server.close(() => resolve()); }) };
}
const refused = ({ records }: Proxy): unknown[] => records.filter(({ code }) => code === 'TARGET_REFUSED').map(({ host }) => host);

let server: RedisServer;
beforeAll(async () => { server = await startRedis(); });
afterAll(() => server.stop());

describe('A10: when it is written', () => {
  let proxy: Proxy;
  beforeAll(async () => { proxy = await startProxy({ upstream: server.port }); });
  afterAll(() => proxy[Symbol.asyncDispose]());
  const upstreamOf = (nodes: unknown, more: object = {}): object => ({ ...redis, upstream: { nodes, ...more } });
  const pluginOf = (name: string, conf: object): object => ({ upstream: { nodes: { '127.0.0.1:1': 1 } }, ...redis, plugins: { [name]: conf } });

  test('nodes and health checks are answered with 400, the place, what was expected and what permits it', async () => {
    const admin = proxy.app.admin.port;
    const cases: readonly (readonly [string, object])[] = [
      ['upstream.nodes["169.254.169.254:80"]', upstreamOf({ '169.254.169.254:80': 1 })],
      ['upstream.nodes["169.254.0.9"]', upstreamOf({ '127.0.0.1:6379': 1, '169.254.0.9': 1 })],
      ['upstream.nodes["[fd00:ec2::254]:80"]', upstreamOf({ '[fd00:ec2::254]:80': 1 })],
      ['upstream.nodes[1].host', upstreamOf([{ host: '10.0.0.1', port: 1, weight: 1 }, { host: '[fe80::1]', port: 1, weight: 1 }])],
      ...['127.0.0.1', '0.0.0.0', 'localhost', '[::ffff:127.0.0.1]'].map((host) =>
        [`upstream.nodes["${host}:${admin}"]`, upstreamOf({ [`${host}:${admin}`]: 1 })] as const),
      ['upstream.checks.active.port', upstreamOf({ '127.0.0.1:6379': 1 }, { checks: { active: { type: 'tcp', port: admin } } })],
    ];
    for (const [at, body] of cases) {
      const { status, body: { error_msg: text } } = await proxy.call('PUT', place, body);
      expect([at, status]).toEqual([at, 400]);
      expect(text).toContain(`${at}: expected an address that connections may go to (targets.allow in the settings permits more), got `);
    }
    expect((await proxy.call('PUT', '/apisix/admin/upstreams/u', { nodes: { '169.254.169.254:80': 1 } })).status).toBe(400);
    expect((await proxy.call('PUT', place, upstreamOf({ [`127.0.0.2:${admin}`]: 1 }))).status).toBe(200);
  });

  test('so are log sinks, the store of limit-count, and upstreams in plugins', async () => {
    const host = '169.254.169.254';
    const limit = { count: 1, time_window: 60, rejected_code: 503 };
    const cases: readonly (readonly [string, string, object])[] = [
      ['http-logger', 'uri', { uri: `http://${host}/latest` }], ['http-logger', 'uri', { uri: 'http://0xa9fea9fe' }],
      ['http-logger', 'uri', { uri: `http://localhost:${proxy.app.admin.port}/apisix/admin/stream_routes/1` }],
      ['tcp-logger', 'host', { host, port: 80 }], ['udp-logger', 'host', { host, port: 80 }], ['syslog', 'host', { host, port: 514 }],
      ['kafka-logger', 'brokers[1].host', { brokers: [{ host: '127.0.0.1', port: 9092 }, { host, port: 80 }], kafka_topic: 'a' }],
      ['logger', 'tcp.host', { tcp: { host, port: 80 } }], ['logger', 'udp.host', { udp: { host, port: 80 } }],
      ['logger', 'syslog.host', { syslog: { host, port: 80 } }], ['logger', 'http.uri', { http: { uri: 'http://[fd00:ec2::254]/' } }],
      ['opentelemetry', 'endpoint', { endpoint: `http://${host}:4318` }],
      ['limit-count', 'redis_host', { ...limit, policy: 'redis', redis_host: host }],
      ['limit-count', 'redis_cluster_nodes[1]', {
        ...limit, policy: 'redis-cluster', redis_cluster_name: 'c', redis_cluster_nodes: ['127.0.0.1:1', `${host}:6379`],
      }],
      ['traffic-split', 'rules[0].weighted_upstreams[0].upstream: nodes["169.254.169.254:80"]', {
        rules: [{ weighted_upstreams: [{ upstream: { nodes: { [`${host}:80`]: 1 } } }] }],
      }],
    ];
    for (const [name, at, conf] of cases) {
      const { status, body: { error_msg: text } } = await proxy.call('PUT', place, pluginOf(name, conf));
      expect([name, at, status]).toEqual([name, at, 400]);
      expect(text).toContain(`${at}: expected an address that connections may go to`);
    }
  });
});

describe('A10: when it is connected to', () => {
  test('a name that leads to a good address first and to a refused one then is not followed there, and is again when it leads back', async () => {
    await using caught = await trap(server.port);
    await using dns = await startDns({ 'node.test': { a: ['127.0.0.1'], ttl: 0 } });
    await using proxy = await startProxy({
      settings: { dns: { servers: [dns.address], min_ttl_s: 0.02, refresh_s: 0.05, negative_ttl_s: 0.02 }, targets: { refuse: ['127.0.0.66'] } },
      route: { upstream: { nodes: { [`node.test:${server.port}`]: 1 } } },
    });
    const ask = async (): Promise<unknown> => {
      const client = await proxy.connect();
      const answer = await client.command('PING').catch((cause: unknown) => cause) as string | RespError;
      await client.close();
      return typeof answer === 'string' ? answer : answer.text;
    };
    expect(await ask()).toBe('PONG');
    for (const address of ['169.254.169.254', '127.0.0.66']) {
      dns.names.set('node.test', { a: [address], ttl: 0 });
      await expect.poll(ask, { timeout: 5000 }).toMatch(/^ERR millrace: /);
      expect(refused(proxy)).toEqual(['node.test']);
      dns.names.set('node.test', { a: ['127.0.0.1'], ttl: 0 });
      await expect.poll(ask, { timeout: 10_000 }).toBe('PONG');
    }
    // A good address beside a refused one is enough.
    dns.names.set('node.test', { a: ['127.0.0.66', '127.0.0.1'], ttl: 0 });
    const asked = dns.questions.length;
    await expect.poll(() => dns.questions.length, { timeout: 5000 }).toBeGreaterThan(asked + 4);
    for (let i = 0; i < 5; i++) expect(await ask()).toBe('PONG');
    expect(caught.hits()).toBe(0);
  });

  test('nodes of a service, plain connections and probes of every kind do not go there either', async () => {
    await using caught = await trap(server.port);
    const nodes = { [`node.test:${server.port}`]: 1 };
    await using dns = await startDns({ 'node.test': { a: ['127.0.0.66'] }, 'service.test': { a: ['127.0.0.66'] } });
    await using proxy = await startProxy({ route: null, settings: { dns: { servers: [dns.address] }, targets: { refuse: ['127.0.0.66'] } } });
    const upstreams = [
      { service_name: `service.test:${server.port}`, discovery_type: 'dns' },
      ...['tcp', 'http', 'https', 'redis'].map((type) => ({ nodes, retries: 0, labels: { type }, checks: { active: { type, healthy: { interval: 1 }, unhealthy: { interval: 1 } } } })),
    ];
    for (const upstream of upstreams) {
      await proxy.put(place, { ...redis, upstream });
      const client = await proxy.connect();
      expect((await client.command('PING').catch((cause: unknown) => cause) as RespError).text).toMatch(/^ERR millrace: /);
      await client.close();
    }
    await proxy.put(place, { upstream: { nodes } });
    await (await proxy.connect()).untilEnded();
    expect(new Set(refused(proxy))).toEqual(new Set(['node.test', '127.0.0.66']));
    expect(caught.hits()).toBe(0);
  });

  test('datagrams go there neither by name nor by address', async () => {
    const caught: string[] = [];
    const sink = createSocket('udp4').on('message', (bytes) => caught.push(String(bytes)));
    await new Promise<void>((resolve) => { sink.bind(0, '127.0.0.66', resolve); });
    const { port } = sink.address();
    const listener = await freePort();
    await using dns = await startDns({ 'node.test': { a: ['127.0.0.66'] } });
    await using proxy = await startProxy({ route: null, settings: {
      listeners: [{ port: await freePort(), protocol: 'redis' }, { port: listener, transport: 'udp' }],
      dns: { servers: [dns.address] }, targets: { refuse: ['127.0.0.66'] },
    } });
    const client = createSocket('udp4');
    const by = async (upstream: object): Promise<void> => {
      await proxy.put(place, { server_port: listener, upstream });
      const known = refused(proxy).length;
      client.send('a', listener, '127.0.0.1');
      await expect.poll(() => refused(proxy).length, { timeout: 5000 }).toBe(known + 1);
    };
    await by({ nodes: { [`node.test:${port}`]: 1 } });
    await by({ service_name: `node.test:${port}`, discovery_type: 'dns' });
    expect(refused(proxy)).toEqual(['node.test', '127.0.0.66']);
    expect(caught).toEqual([]);
    client.close();
    sink.close();
  });

  test('a number that the system takes for an address is a name, and judged as one', async () => {
    await using proxy = await startProxy({ route: { upstream: { nodes: { '0xa9fea9fe:80': 1 } } } });
    const client = await proxy.connect();
    expect((await client.command('PING').catch((cause: unknown) => cause) as RespError).text).toMatch(/^ERR millrace: /);
    expect(refused(proxy)).toEqual(['0xa9fea9fe']);
  });

  test('names of log sinks and of a store lead nowhere either: nobody is connected to, and what was logged is dropped', async () => {
    let hits = 0;
    const sink = createServer((socket) => { hits++; socket.destroy(); });
    await new Promise<void>((resolve) => { sink.listen(0, '127.0.0.66', resolve); });
    const { port } = sink.address() as AddressInfo;
    // The system takes it for 127.0.0.66, which the check of a written address does not see.
    const host = '127.66';
    const one = { batch_max_size: 1 };
    await using proxy = await startProxy({
      upstream: server.port, settings: { targets: { refuse: ['127.0.0.66'] } },
      route: { plugins: {
        'tcp-logger': { host, port, ...one }, 'udp-logger': { host, port, ...one }, 'syslog': { host, port, ...one },
        'kafka-logger': { brokers: [{ host, port }], kafka_topic: 'a', timeout: 1, ...one },
        'limit-count': { count: 5, time_window: 60, policy: 'redis', redis_host: '0x7f.66', redis_port: port, allow_degradation: true },
      } },
    });
    const client = await proxy.connect();
    expect(await client.command('PING')).toBe('PONG');
    const dropped = (): string[] => proxy.records.filter(({ code }) => code === 'LOG_DROPPED').map(({ plugin }) => String(plugin)).toSorted();
    await expect.poll(dropped, { timeout: 5000 }).toEqual(['kafka-logger', 'syslog', 'tcp-logger', 'udp-logger']);
    expect(hits).toBe(0);
    await new Promise<void>((resolve) => { sink.close(() => resolve()); });
  });

  test('what the settings allow is connected to', async () => {
    await using proxy = await startProxy({ route: null, settings: { targets: { allow: ['169.254.0.0/16', '127.0.0.1'] } } });
    const { status } = await proxy.call('PUT', place, { ...redis, upstream: { nodes: { '169.254.1.1:6379': 1, [`127.0.0.1:${proxy.app.admin.port}`]: 1 } } });
    expect(status).toBe(201);
    expect(refused(proxy)).toEqual([]);
  });
});
