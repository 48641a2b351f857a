// `_meta`: what a place may change about its plugin, in every phase and with every way in which a plugin says no.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ProxyError } from '../../core/errors.ts';
import { definePlugin } from '../../core/plugin.ts';
import { connectLines } from '../support/line-client.ts';
import { startNamed } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { RespError } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(() => redis.stop());

/** Says no to GET, in the way that it is told. */
const gate = definePlugin<{ how: string }>({
  name: 'gate', priority: 50, schema: { type: 'object', properties: { how: { type: 'string' } } },
  setup: ({ how }) => ({
    request(request) {
      if (request.name !== 'get') return undefined;
      const no = new ProxyError('DENIED', 'its own words');
      if (how === 'settles') {
        request.settle(no);
        return undefined;
      }
      if (how === 'throws') throw no;
      if (how === 'breaks') throw new Error('a secret detail');
      return (async () => {
        await sleep(20);
        if (how === 'rejects later') throw no;
        request.settle(no);
      })();
    },
  }),
});

const start = (plugins: object): Promise<Proxy> => startProxy({ upstream: redis.port, plugins: [gate, order('one', 1), order('two', 2)], route: { plugins } });

/** Settles, so that the first one wins. */
const order = (name: string, priority: number): ReturnType<typeof definePlugin> => definePlugin({
  name, priority, schema: { type: 'object' }, setup: () => ({ request: (request) => request.settle(new ProxyError('DENIED', name)) }),
});

const textOf = (answer: unknown): string => (answer instanceof RespError ? answer.text : `no error: ${String(answer)}`);

test.each(['settles', 'throws', 'settles later', 'rejects later'])('error_response replaces the text of a plugin that %s', async (how) => {
  await using proxy = await start({ gate: { how, _meta: { error_response: 'BUSY ask again' } } });
  const client = await proxy.connect();
  // Once at the head, once behind requests under way.
  expect(textOf(await client.command('GET', 'a'))).toBe('BUSY ask again');
  const answers = await client.pipeline([['SET', 'a', '1'], ['GET', 'a'], ['PING'], ['GET', 'a'], ['PING']]);
  expect(answers.map((each) => (each instanceof RespError ? each.text : each))).toEqual(['OK', 'BUSY ask again', 'PONG', 'BUSY ask again', 'PONG']);
});

test('error_response may be an object; a plugin that breaks keeps our text', async () => {
  await using proxy = await start({ gate: { how: 'settles later', _meta: { error_response: { error_msg: 'no', retry: 5 } } } });
  expect(textOf(await (await proxy.connect()).command('GET', 'a'))).toBe('ERR {"error_msg":"no","retry":5}');
  await proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' },
    plugins: { gate: { how: 'breaks', _meta: { error_response: 'other words' } } },
  });
  expect(textOf(await (await proxy.connect()).command('GET', 'a'))).toBe('ERR a plugin failed');
});

test('error_response and filter work for connections, too', async () => {
  const restriction = (meta: object): object => ({ 'ip-restriction': { whitelist: ['10.0.0.1'], _meta: meta } });
  await using proxy = await start(restriction({ error_response: 'not from there' }));
  const refused = await proxy.connect();
  expect(await refused.untilEnded()).toBe('end');
  expect(String(await refused.readRaw({ idle: 20 }))).toBe('-ERR not from there\r\n');
  await proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' },
    plugins: restriction({ filter: [['remote_addr', '==', '192.168.0.1']] }),
  });
  expect(await (await proxy.connect()).command('PING')).toBe('PONG');
});

test('a filter leaves a connection out on plain TCP, and phases leave out a hook', async () => {
  await using server = await startNamed('n');
  await using proxy = await startProxy({ route: null, settings: { listeners: [{ port: await freePort() }] } });
  const greeting = async (meta: object): Promise<string | null> => {
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { nodes: { [server.address]: 1 } }, plugins: { 'ip-restriction': { blacklist: ['127.0.0.0/8'], _meta: meta } },
    });
    await using client = await connectLines(proxy.port);
    return await client.line();
  };
  expect(await greeting({})).toBe(null);
  expect(await greeting({ filter: [['server_port', '==', 1]] })).toBe('n');
  expect(await greeting({ filter: [['server_port', '==', proxy.port]] })).toBe(null);
  expect(await greeting({ phases: ['log'] })).toBe('n');
  expect(await greeting({ disable: true })).toBe('n');
});

test('priority of a place wins over that of its plugin', async () => {
  await using proxy = await start({ one: {}, two: {} });
  expect(textOf(await (await proxy.connect()).command('GET', 'a'))).toBe('ERR two');
  await proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' }, plugins: { one: { _meta: { priority: 3 } }, two: {} },
  });
  expect(textOf(await (await proxy.connect()).command('GET', 'a'))).toBe('ERR one');
});

test('a disabled place may be wrong; its _meta may not, and its name must be known', async () => {
  await using proxy = await start({});
  const put = async (plugins: object): Promise<unknown> => {
    const { status, body } = await proxy.call('PUT', '/apisix/admin/stream_routes/1', { upstream: { type: 'memory' }, protocol: { name: 'redis' }, plugins });
    return status < 300 ? 'taken' : body.error_msg;
  };
  expect(await put({ 'ip-restriction': { _meta: { disable: true } } })).toBe('taken');
  expect(await put({ 'ip-restriction': { _meta: { disable: false } } })).toContain('matches none');
  expect(await put({ 'ip-restriction': { _meta: { disable: true, filter: [['a']] } } })).toContain('rule too short');
  expect(await put({ 'ip-restrictions': { _meta: { disable: true } } })).toContain('unknown plugin [ip-restrictions]');
  expect(await put({ 'ip-restriction': { whitelist: ['::1'], _meta: { other: 1 } } })).toContain('other');
});

test('pre_function is taken, never run, and said', async () => {
  await using proxy = await start({ 'ip-restriction': { blacklist: ['::1'], _meta: { pre_function: 'return os.exit(1)' } } });
  expect(await (await proxy.connect()).command('PING')).toBe('PONG');
  expect(proxy.records).toContainEqual(expect.objectContaining({ plugin: 'ip-restriction', route: '1', msg: '_meta.pre_function is never run' }));
});
