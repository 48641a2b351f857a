// The plugins where they are used: on a Redis route, configured through the admin API.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tcpLogSink, udpLogSink } from '../support/log-sinks.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(() => redis.stop());

const pings = (count: number): string[][] => Array.from({ length: count }, () => ['PING']);

async function errorOf(client: RespClient, ...command: string[]): Promise<string> {
  const answer = await client.command(...command);
  return answer instanceof RespError ? answer.text : `no error: ${JSON.stringify(answer)}`;
}

const proxyWith = (plugins: object, workers = 1): Promise<Proxy> =>
  startProxy({ upstream: redis.port, route: { plugins }, settings: { workers } });

test('fault-injection: a delayed request holds back what its client sent behind it', async () => {
  await using proxy = await proxyWith({ 'fault-injection': { commands: ['GET'], delay: { duration: 0.03 } } });
  const client = await proxy.connect();
  const before = performance.now();
  const answers = await client.pipeline([['SET', 'a', '1'], ['GET', 'a'], ['PING']]);
  expect(answers).toEqual(['OK', '1', 'PONG']);
  expect(performance.now() - before).toBeGreaterThanOrEqual(30);
});

test('fault-injection: an error, a closed connection, and an end after so many hits', async () => {
  await using proxy = await proxyWith({ 'fault-injection': { commands: ['get'], keys: ['bad*'], abort: { error: 'no $key' }, hits: 1 } });
  const client = await proxy.connect();
  expect(await errorOf(client, 'GET', 'bad1')).toContain('no bad1');
  expect(await client.command('GET', 'bad1')).toBeNull();
  expect(await proxy.metrics()).toMatch(/^millrace_fault_injection_aborts_total\{.*\} 1$/m);
  await proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' },
    plugins: { 'fault-injection': { commands: ['get'], abort: { close: true, error: 'bye' } } },
  });
  const raw = await proxy.connect();
  raw.send('PING\r\nGET a\r\n');
  expect(await raw.untilEnded()).toBe('end');
  expect(String(await raw.readRaw({ idle: 20 }))).toBe('+PONG\r\n-ERR bye\r\n');
});

test.each([1, 2])('limit-count: exactly the limit over %i workers, with what is left on the metrics page', async (workers) => {
  await using proxy = await proxyWith({ 'limit-count': { count: 10, time_window: 60, rejected_msg: 'slow down' } }, workers);
  const clients = await Promise.all(Array.from({ length: 8 }, () => proxy.connect()));
  const answers = (await Promise.all(clients.map((client) => client.pipeline(pings(5))))).flat();
  expect(answers.filter((answer) => answer === 'PONG')).toHaveLength(10);
  expect(answers.filter((answer) => answer instanceof RespError && answer.text.includes('slow down'))).toHaveLength(30);
  const page = await proxy.metrics();
  expect(page).toMatch(/^millrace_limit_count_rejected_total\{.*\} 30$/m);
  expect(page).toMatch(/^millrace_limit_count_left\{.*\} 0$/m);
});

test('limit-count: what is left is not lowered by a worker that has decided nothing', async () => {
  await using proxy = await proxyWith({ 'limit-count': { count: 10, time_window: 60 } }, 2);
  await (await proxy.connect()).pipeline(pings(3));
  expect(await proxy.metrics()).toMatch(/^millrace_limit_count_left\{.*\} 7$/m);
});

test('limit-count: a Redis keeps the count, over a link of our own', async () => {
  const client = { policy: 'redis', redis_host: '127.0.0.1', redis_port: redis.port };
  await using proxy = await proxyWith({ 'limit-count': { count: 3, time_window: 60, ...client } });
  const user = await proxy.connect();
  const answers = await user.pipeline(pings(5));
  expect(answers.slice(0, 3)).toEqual(['PONG', 'PONG', 'PONG']);
  expect(answers.slice(3).map((answer) => (answer as RespError).text.includes('rate limit exceeded'))).toEqual([true, true]);
});

test('logger: one record per request, filtered; the rest travels as if it were not there', async () => {
  await using proxy = await startProxy({ upstream: redis.port, route: {} });
  const path = join(proxy.folder, 'access.log');
  await proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' },
    plugins: {
      logger: {
        file: { path }, batch_max_size: 1, filter: [['command', 'in', ['set', 'get']]],
        log_format: { command: '$command', key: '$key', outcome: '$outcome', at: '$upstream_addr', took: '$rpc_time' },
      },
    },
  });
  const client = await proxy.connect();
  expect(await client.command('SET', 'logged', '1')).toBe('OK');
  expect(await client.command('PING')).toBe('PONG');
  expect(await errorOf(client, 'GET', 'logged', 'too', 'many')).toContain('wrong number');
  const lines = async (): Promise<unknown[]> => (await readFile(path, 'utf8').catch(() => ''))
    .split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as unknown);
  await expect.poll(lines).toEqual(['set', 'get'].map((command) => ({
    command, key: 'logged', outcome: command === 'get' ? 'error' : 'ok', at: `127.0.0.1:${redis.port}`,
    took: expect.any(Number), route_id: '1',
  })));
});

test('logger: requests that another plugin answered, at once or after a wait, are logged as well', async () => {
  await using sink = await tcpLogSink();
  const fault = { commands: ['get'], delay: { duration: 0.02 }, abort: { error: 'late' } };
  await using proxy = await proxyWith({
    'fault-injection': fault, 'limit-count': { count: 3, time_window: 60 },
    logger: { tcp: { host: '127.0.0.1', port: sink.port }, batch_max_size: 1, log_format: { what: '$command $outcome' } },
  });
  const client = await proxy.connect();
  await client.pipeline([['GET', 'a'], ['SET', 'a', '1'], ['PING'], ['PING'], ['PING']]);
  expect((await sink.wait(5)).map((text) => (JSON.parse(text) as { what: string }).what)).toEqual([
    'get fault_injected', 'set ok', 'ping ok', 'ping ok', 'ping limit_exceeded',
  ]);
});

test('XR-18 to XR-20: the logger list of a route, with the format of the metadata and a filter on the time', async () => {
  await using sink = await udpLogSink();
  await using proxy = await startProxy({ upstream: redis.port, route: {} });
  await proxy.put('/apisix/admin/plugin_metadata/syslog', {
    log_format: { rpc_time: '$rpc_time', redis_cmd_line: '$redis_cmd_line' },
  });
  await proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } },
    protocol: {
      name: 'redis',
      conf: { faults: [{ delay: 0.01, commands: ['hmset', 'hmget', 'ping'] }] },
      logger: [{
        name: 'syslog', filter: [['rpc_time', '>=', 0.001]],
        conf: { host: '127.0.0.1', port: sink.port, sock_type: 'udp', batch_max_size: 1, flush_limit: 1 },
      }],
    },
  });
  const client = await proxy.connect();
  await client.command('HMSET', 'animals', 'dog', 'bark', 'cat', 'meow');
  await client.command('HMGET', 'animals', 'dog', 'cat');
  await client.command('PING');
  const lines = (await sink.wait(3)).map((text) => (JSON.parse(text.slice(text.indexOf('{'))) as { redis_cmd_line: string }).redis_cmd_line);
  expect(lines).toEqual(['hmset animals dog bark cat meow', 'hmget animals dog cat', 'ping']);
});

test('XF-40: another port of the sink is used at once, and what waited still goes to the old one', async () => {
  await using first = await tcpLogSink();
  await using second = await tcpLogSink();
  const route = (port: number): object => ({
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } },
    protocol: { name: 'redis', logger: [{ name: 'syslog', conf: { host: '127.0.0.1', port } }] },
  });
  await using proxy = await startProxy({ upstream: redis.port, route: {} });
  const client = await proxy.connect();
  await proxy.put('/apisix/admin/stream_routes/1', route(first.port));
  await client.command('GET', 'a');
  await proxy.put('/apisix/admin/stream_routes/1', route(second.port));
  await client.command('SET', 'a', '1');
  expect((await first.wait(1))[0]).toContain('"command":"get"');
  await proxy.put('/apisix/admin/stream_routes/1', { ...route(first.port), plugins: {} });
  expect((await second.wait(1))[0]).toContain('"command":"set"');
});

test.each<[object, string]>([
  [{ protocol: { name: 'redis', logger: [{ name: 'syslog', filter: [{}], conf: { host: 'a', port: 1 } }] } }, 'rule too short'],
  [{ plugins: { 'limit-count': { count: 1, time_window: 1, policy: 'redis' } } }, 'redis_host: expected because policy is redis'],
  [{ plugins: { 'fault-injection': {} } }, 'expected abort, delay or both'],
  [{ plugins: { logger: {} } }, 'expected one of file, tcp, udp, http, syslog'],
  [{ plugins: { logger: { file: { path: 'x' }, log_format: { a: '${b c}' } } } }, 'log_format.a: variable'],
])('refused by the admin API (XF-24): %j', async (route, text) => {
  await using proxy = await startProxy({ upstream: redis.port, route: null });
  const upstream = { nodes: { [`127.0.0.1:${redis.port}`]: 1 } };
  const { status, body } = await proxy.call('PUT', '/apisix/admin/stream_routes/9', { upstream, ...route });
  expect(status).toBe(400);
  expect(JSON.stringify(body)).toContain(text);
});
test('limit-count: a group whose members differ is refused', async () => {
  const conf = { count: 5, time_window: 60, group: 'g' };
  await using proxy = await proxyWith({ 'limit-count': conf });
  const upstream = { nodes: { [`127.0.0.1:${redis.port}`]: 1 } };
  const put = (count: number): Promise<{ status: number; body: unknown }> => proxy.call('PUT', '/apisix/admin/stream_routes/2', {
    upstream, remote_addr: '10.0.0.1', protocol: { name: 'redis' }, plugins: { 'limit-count': { ...conf, count } },
  });
  expect((await put(5)).status).toBe(201);
  const { status, body } = await put(6);
  expect(status).toBe(400);
  expect(JSON.stringify(body)).toContain('group conf mismatched');
});
