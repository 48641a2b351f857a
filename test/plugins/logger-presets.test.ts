// Loggers that are configured as APISIX's of the same names are, on real routes; with and without a protocol.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Plugin } from '../../core/plugin.ts';
import { plugins as all } from '../docs/fields.ts';
import { connectLines } from '../support/line-client.ts';
import { httpLogSink, tcpLogSink, udpLogSink } from '../support/log-sinks.ts';
import { startNamed } from '../support/named-server.ts';
import { problemsOf } from '../support/plugin-context.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(() => redis.stop());

const plugins = new Map<string, Plugin>(all.map((plugin) => [plugin.name, plugin]));
const atOnce = { batch_max_size: 1 };

async function get(proxy: Proxy, key: string): Promise<void> {
  const client = await proxy.connect();
  await client.command('GET', key);
  await client.close();
}

const routeWith = (name: string, conf: object): Record<string, unknown> => ({ plugins: { [name]: conf } });
const parsed = (text: string): unknown => JSON.parse(text.replace(/^<46>1 .* - - /, ''));

describe('presets', () => {
  test('file-logger appends a record per request, with fields of its own beside the usual ones', async () => {
    await using proxy = await startProxy({ upstream: redis.port, route: {} });
    const path = join(proxy.folder, 'logs', 'access.log');
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' },
      plugins: { 'file-logger': { path, ...atOnce, log_format_extra: { k: '$key' }, include_req_body: false } },
    });
    await get(proxy, 'a');
    await expect.poll(() => readFile(path, 'utf8').catch(() => '')).toContain('\n');
    const [record] = (await readFile(path, 'utf8')).trim().split('\n').map(parsed);
    expect(record).toMatchObject({ command: 'get', outcome: 'ok', k: 'a', route_id: '1' });
  });

  test('http-logger sends a POST per group, and its secret is nowhere', async () => {
    await using sink = await httpLogSink();
    const conf = {
      uri: `http://127.0.0.1:${sink.port}/logs`, auth_header: 'Basic c2VjcmV0', ...atOnce, log_format: { c: '$command' },
      match: [[['command', '==', 'get']], [['command', '==', 'incr']]],
    };
    await using proxy = await startProxy({ upstream: redis.port, route: routeWith('http-logger', conf) });
    const client = await proxy.connect();
    await client.pipeline([['PING'], ['GET', 'a'], ['INCR', 'n'], ['SET', 'a', '1']]);
    expect((await sink.wait(2)).map(parsed)).toEqual([{ c: 'get', route_id: '1' }, { c: 'incr', route_id: '1' }]);
    expect(sink.headers[0]!.authorization).toBe('Basic c2VjcmV0');
    expect(JSON.stringify(proxy.records)).not.toContain('c2VjcmV0');
    expect(sink.records).toHaveLength(2);
  });

  test('tcp-logger and udp-logger, as entries of the protocol\'s logger list', async () => {
    await using lines = await tcpLogSink();
    await using datagrams = await udpLogSink();
    const log_format = { c: '$command', k: '$key' };
    await using proxy = await startProxy({ upstream: redis.port, route: { protocol: { name: 'redis', logger: [
      { name: 'tcp-logger', conf: { host: '127.0.0.1', port: lines.port, log_format, ...atOnce } },
      { name: 'udp-logger', filter: [['command', '==', 'get']], conf: { host: '127.0.0.1', port: datagrams.port, log_format, ...atOnce } },
    ] } } });
    const client = await proxy.connect();
    await client.pipeline([['SET', 'a', '1'], ['GET', 'a']]);
    expect((await lines.wait(2)).map(parsed)).toEqual([{ c: 'set', k: 'a', route_id: '1' }, { c: 'get', k: 'a', route_id: '1' }]);
    expect((await datagrams.wait(1)).map(parsed)).toEqual([{ c: 'get', k: 'a', route_id: '1' }]);
  });

  test('on a route without protocol a record is of a connection', async () => {
    await using sink = await tcpLogSink();
    await using server = await startNamed('n');
    const log_format = { r: '$reason', out: '$bytes_out' };
    await using proxy = await startProxy({ route: null, settings: { listeners: [{ port: await freePort() }] } });
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [server.address]: 1 } },
      plugins: { 'tcp-logger': { host: '127.0.0.1', port: sink.port, log_format, log_format_extra: { id: '$session_id' }, ...atOnce } },
    });
    const client = await connectLines(proxy.port);
    expect(await client.line()).toBe('n');
    client.socket.destroy();
    expect((await sink.wait(1)).map(parsed)).toEqual([{ r: 'upstream_ended', out: 2, id: 1, route_id: '1' }]);
  });

  test.each<[string, object, string]>([
    ['file-logger', {}, 'path'],
    ['file-logger', { path: 'a', include_req_body: true }, 'include_req_body'],
    ['file-logger', { path: 'a', match: [[['a', '=', 1]]] }, 'match'],
    ['file-logger', { path: 'a', log_format_extra: { a: [] } }, 'log_format_extra.a: expected a text'],
    ['http-logger', { uri: 'ftp://a' }, 'uri'],
    ['tcp-logger', { host: 'a' }, 'port'],
    ['udp-logger', { host: 'a', port: 0 }, 'port'],
  ])('%s refuses %j and says where', (name, conf, text) => {
    expect(problemsOf(plugins.get(name)!, conf).join('; ')).toContain(text);
  });

  test.each<[string, object, object]>([
    ['http-logger', { uri: 'http://a' }, { timeout: 3, concat_method: 'json', ssl_verify: false }],
    ['tcp-logger', { host: 'a', port: 1 }, { tls: false, timeout: 1000 }],
    ['udp-logger', { host: 'a', port: 1 }, { timeout: 3 }],
  ])('%s has the defaults that existing configurations count on', (name, conf, defaults) => {
    const { properties } = plugins.get(name)!.schema;
    for (const [field, value] of Object.entries(defaults)) expect(properties![field]!.default).toBe(value);
    expect(problemsOf(plugins.get(name)!, conf)).toEqual([]);
  });
});

describe('syslog on a stream route', () => {
  const tcpRoute = async (): Promise<Proxy> => startProxy({ route: null, settings: { listeners: [{ port: await freePort() }] } });
  const pass = async (proxy: Proxy): Promise<void> => {
    await using client = await connectLines(proxy.port);
    expect(await client.line()).toBe('n');
  };

  test('SR-55 without a format there is a default one, no error, and traffic goes on', async () => {
    await using sink = await tcpLogSink();
    await using server = await startNamed('n');
    await using proxy = await tcpRoute();
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [server.address]: 1 } }, ...routeWith('syslog', { host: '127.0.0.1', port: sink.port, ...atOnce }),
    });
    await pass(proxy);
    expect((await sink.wait(1)).map(parsed)).toEqual([expect.objectContaining({ route_id: '1', protocol: 'tcp', bytes_out: 2 })]);
    expect(proxy.records.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  test('SR-56 the format of the metadata, and one of the place itself', async () => {
    await using sink = await udpLogSink();
    await using server = await startNamed('n');
    await using proxy = await tcpRoute();
    const conf = { host: '127.0.0.1', port: sink.port, sock_type: 'udp', ...atOnce };
    const upstream = { nodes: { [server.address]: 1 } };
    await proxy.put('/apisix/admin/plugin_metadata/syslog', { log_format: { from: 'metadata', client: '$remote_addr' } });
    await proxy.put('/apisix/admin/stream_routes/1', { upstream, ...routeWith('syslog', conf) });
    await pass(proxy);
    await sink.wait(1);
    await proxy.put('/apisix/admin/stream_routes/1', { upstream, ...routeWith('syslog', { ...conf, log_format: { from: 'route' } }) });
    await pass(proxy);
    expect((await sink.wait(2)).map(parsed)).toEqual([
      { from: 'metadata', client: '127.0.0.1', route_id: '1' }, { from: 'route', route_id: '1' },
    ]);
  });

  test('SR-57 another target, on the route or on its service, takes the next connection', async () => {
    await using first = await tcpLogSink();
    await using second = await tcpLogSink();
    await using third = await tcpLogSink();
    await using server = await startNamed('n');
    await using proxy = await tcpRoute();
    const upstream = { nodes: { [server.address]: 1 } };
    const to = (port: number): Record<string, unknown> => routeWith('syslog', { host: '127.0.0.1', port, ...atOnce });
    await proxy.put('/apisix/admin/services/s', { upstream, ...to(first.port) });
    await proxy.put('/apisix/admin/stream_routes/1', { service_id: 's' });
    await pass(proxy);
    await first.wait(1);
    await proxy.put('/apisix/admin/services/s', { upstream, ...to(second.port) });
    await pass(proxy);
    await second.wait(1);
    await proxy.put('/apisix/admin/stream_routes/1', { service_id: 's', ...to(third.port) });
    await pass(proxy);
    await third.wait(1);
    expect([first, second, third].map(({ records }) => records.length)).toEqual([1, 1, 1]);
  });
});

test('SR-64 every plugin has a name, and a priority that no other has', async () => {
  await using proxy = await startProxy({ route: null });
  const { body } = await proxy.call('GET', '/apisix/admin/plugins/list');
  expect((body as string[]).toSorted()).toEqual([...plugins.keys()].toSorted());
  const priorities = [...plugins.values()].map(({ priority }) => priority);
  expect(new Set(priorities).size).toBe(priorities.length);
  const reference = { 'ip-restriction': 3000, 'limit-conn': 1003, 'syslog': 401 };
  for (const [name, priority] of Object.entries(reference)) expect(plugins.get(name)!.priority).toBe(priority);
});
