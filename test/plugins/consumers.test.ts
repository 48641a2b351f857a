// Users with plugins of their own, over a real server with users.
import { expect, test } from 'vitest';
import { ProxyError } from '../../core/errors.ts';
import type { Hooks, Plugin } from '../../core/plugin.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';

const admin = '/apisix/admin';
const limit = (count: number): object => ({ 'limit-count': { count, time_window: 60, key: 'remote_addr' } });

async function start(options: Parameters<typeof startProxy>[0] = {}): Promise<{ redis: RedisServer; proxy: Proxy } & AsyncDisposable> {
  const redis = await startRedis();
  await using direct = await RespClient.connect(redis.port);
  for (const user of ['jack', 'jill']) expect(await direct.command('ACL', 'SETUSER', user, 'on', '>j', '~*', '&*', '+@all')).toBe('OK');
  const proxy = await startProxy({ upstream: redis.port, ...options });
  return { redis, proxy, async [Symbol.asyncDispose]() {
    await proxy[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  } };
}

async function login(proxy: Proxy, name: string): Promise<RespClient> {
  const client = await proxy.connect();
  expect(await client.command('AUTH', name, 'j')).toBe('OK');
  return client;
}

/** Whether each of `count` requests was let through. */
async function ask(client: RespClient, count: number): Promise<string> {
  const replies = await client.pipeline(Array.from({ length: count }, () => ['INCR', 'n']));
  return replies.map((reply) => (typeof reply === 'number' ? '+' : '-')).join('');
}

test('a consumer has limits of his own in place of the route\'s, also for what he sends in one piece with AUTH', async () => {
  await using all = await start({ route: { plugins: limit(4) } });
  const { proxy } = all;
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: limit(2) });
  const jack = await proxy.connect();
  const replies = await jack.pipeline([['AUTH', 'jack', 'j'], ['INCR', 'n'], ['INCR', 'n'], ['INCR', 'n']]);
  expect(replies.slice(0, 3)).toEqual(['OK', 1, 2]);
  expect(JSON.stringify(replies[3])).toMatch(/limit/i);
  // AUTH was the route's first.
  expect(await ask(await proxy.connect(), 4)).toBe('+++-');
  expect(await ask(jack, 1)).toBe('-');
});

test('each consumer is counted for himself, over all his connections, and RESET makes him nobody again', async () => {
  await using all = await start();
  const { proxy } = all;
  for (const username of ['jack', 'jill']) await proxy.put(`${admin}/consumers`, { username, plugins: limit(3) });
  const jack = await login(proxy, 'jack');
  expect(await ask(jack, 2)).toBe('++');
  const second = await login(proxy, 'jack');
  expect(await second.command('RESET')).toBe('RESET');
  expect(await ask(second, 5)).toBe('+++++');
  expect(await ask(await login(proxy, 'jack'), 1)).toBe('-');
  const jill = await proxy.connect();
  expect(await jill.command('HELLO', '3', 'AUTH', 'jill', 'j')).toBeInstanceOf(Map);
  expect(await ask(jill, 4)).toBe('+++-');
  expect(await ask(await proxy.connect(), 5)).toBe('+++++');
  const { body } = await proxy.call('GET', `${admin}/plugins/status`);
  expect(JSON.stringify(body)).toContain('"1/jill"');
  expect(await proxy.metrics()).toContain('route="1/jack"');
});

test('a changed consumer has his new plugins at once, one without plugins those of the route, and what was set up is closed', async () => {
  const open = new Set<string>();
  await using all = await start({ plugins: [watched(open)], route: { plugins: { watched: { name: 'route' } } } });
  const { proxy } = all;
  const jack = await login(proxy, 'jack');
  expect(await jack.command('PING')).toBe('PONG');
  expect([...open]).toEqual(['route']);
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: { watched: { name: 'a', answer: 'no' } } });
  expect([...open]).toEqual(['route']);
  expect(JSON.stringify(await jack.command('PING'))).toContain('no');
  expect([...open]).toEqual(['route', 'a']);
  // What has nothing to do with him changes nothing.
  await proxy.put(`${admin}/consumers`, { username: 'jill', plugins: limit(1) });
  expect(JSON.stringify(await jack.command('PING'))).toContain('no');
  expect([...open]).toEqual(['route', 'a']);
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: { watched: { name: 'b' } } });
  expect(await jack.command('PING')).toBe('PONG');
  await expect.poll(() => [...open]).toEqual(['route', 'b']);
  await proxy.call('PATCH', `${admin}/stream_routes/1`, { plugins: { watched: { name: 'route 2' } } });
  expect(await jack.command('PING')).toBe('PONG');
  await expect.poll(() => [...open].toSorted()).toEqual(['b', 'route 2']);
  await proxy.call('DELETE', `${admin}/consumers/jack`);
  await expect.poll(() => [...open]).toEqual(['route 2']);
  expect(await jack.command('PING')).toBe('PONG');
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: { watched: { name: 'c' } } });
  expect(await jack.command('PING')).toBe('PONG');
  await proxy.call('DELETE', `${admin}/stream_routes/1`);
  await expect.poll(() => [...open]).toEqual([]);
});

test('a transaction goes on through a change of its consumer, and replies stay with their requests', async () => {
  await using all = await start();
  const { proxy } = all;
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: limit(1000) });
  const jack = await login(proxy, 'jack');
  expect(await jack.pipeline([['WATCH', 'w'], ['MULTI'], ['SET', 'k', '1']])).toEqual(['OK', 'OK', 'QUEUED']);
  const replies = jack.pipeline([['GET', 'k'], ['EXEC'], ['GET', 'k']]);
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: limit(2000) });
  expect(await replies).toEqual(['QUEUED', ['OK', '1'], '1']);
  const many = Array.from({ length: 500 }, (_, i) => ['ECHO', `${i}`]);
  for (let round = 0; round < 4; round++) {
    const echoes = jack.pipeline(many);
    await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: limit(3000 + round) });
    expect(await echoes).toEqual(many.map(([, text]) => text));
  }
});

test('what a consumer\'s plugins do with connections they do when he says who he is', async () => {
  await using all = await start();
  const { proxy } = all;
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: { 'ip-restriction': { blacklist: ['127.0.0.1'] } } });
  const jack = await proxy.connect();
  jack.send('AUTH jack j\r\nSET stolen 1\r\n');
  await jack.untilEnded();
  expect(await (await login(proxy, 'jill')).command('GET', 'stolen')).toBe(null);
});

test('a consumer whose plugins cannot be set up is refused, and goes on with the last good ones where there are any', async () => {
  const open = new Set<string>();
  await using all = await start({ plugins: [watched(open)] });
  const { proxy } = all;
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: { watched: { name: 'broken' } } });
  const jack = await login(proxy, 'jack');
  expect(JSON.stringify(await jack.command('PING'))).toMatch(/plugin/);
  expect(await (await login(proxy, 'jill')).command('PING')).toBe('PONG');
  expect(proxy.records).toContainEqual(expect.objectContaining({ code: 'CONFIG_INVALID', kind: 'consumers', id: 'jack', route: '1' }));
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: { watched: { name: 'good' } } });
  expect(await jack.command('PING')).toBe('PONG');
  await proxy.put(`${admin}/consumers`, { username: 'jack', plugins: { watched: { name: 'broken' } } });
  expect(await jack.command('PING')).toBe('PONG');
  expect([...open]).toEqual(['good']);
});

test('consumer_name is the user who is a consumer, and empty for others', async () => {
  await using all = await start({ route: { plugins: { mocking: { rules: [{ reply: 'x' }], _meta: { filter: [['consumer_name', '==', 'jack']] } } } } });
  const { proxy } = all;
  const [jack, jill] = [await login(proxy, 'jack'), await login(proxy, 'jill')];
  expect(await jack.command('GET', 'a')).toBe(null);
  await proxy.put(`${admin}/consumers`, { username: 'jack' });
  expect(await jack.command('GET', 'a')).not.toBe(null);
  expect(await jill.command('GET', 'a')).toBe(null);
});

/** A plugin that says which of its places are set up. */
function watched(open: Set<string>): Plugin<{ name: string; answer?: string }> {
  return {
    name: 'watched', priority: 1,
    schema: { type: 'object', properties: { name: { type: 'string' }, answer: { type: 'string' } } },
    setup({ name, answer }): Hooks {
      if (name === 'broken') throw new Error('it is broken');
      open.add(name);
      return {
        ...(answer === undefined ? {} : { request: (request) => request.settle(new ProxyError('DENIED', answer)) }),
        close: () => void open.delete(name),
      };
    },
  };
}
