// O5: whatever a plugin does wrong, it harms the requests of its own route only, and there it fails as it was told to.
import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { definePlugin, type Plugin } from '../../core/plugin.ts';
import type { Request } from '../../core/request.ts';
import { assertNothingWrong, runOracle } from '../support/oracle.ts';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp.ts';
import { connect } from 'node:net';
import { sleep } from '../support/sleep.ts';

/** A client of the route that matches this address. */
async function from(localAddress: string, port: number): Promise<RespClient> {
  const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
  await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).once('error', reject); });
  return new RespClient(socket, { timeout: 3000 });
}

type Misdeed = (request: Request) => void | Promise<void>;
const misdeeds: Readonly<Record<string, Misdeed>> = {
  throws() { throw new Error('oops'); },
  'throws nothing': () => { throw undefined; },
  rejects: () => Promise.reject(new Error('oops')),
  'rejects late': async () => { await sleep(2); throw new Error('oops'); },
  'never ends': () => new Promise(() => undefined),
  'answers twice': (request) => { for (const text of ['first', 'second']) request.settle({ bytes: 0, isError: false, text } as never); },
  // oxlint-disable-next-line unicorn/no-thenable
  'returns what is no promise': (() => ({ then: 7 })) as unknown as Misdeed,
  // oxlint-disable-next-line unicorn/no-thenable
  'returns a thenable that throws': (() => ({ then() { throw new Error('oops'); } })) as unknown as Misdeed,
  'is told of errors by events': () => { new EventEmitter().emit('error', new Error('oops')); },
};

test('one plugin of each bad kind on a route of its own, and another route notices nothing', { timeout: 60_000 }, async () => {
  await using redis = await startRedis();
  const plugins = Object.entries(misdeeds).map(([, request], i): Plugin => definePlugin({
    name: `bad-${i}`, priority: 1, schema: { type: 'object' }, setup: () => ({ request, maxWait: 100 }),
  }));
  await using proxy = await startProxy({ upstream: redis.port, plugins });
  for (const i of plugins.keys()) {
    await proxy.put(`/apisix/admin/stream_routes/bad${i}`, {
      remote_addr: `127.0.1.${i + 1}`, upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' },
      plugins: { [`bad-${i}`]: {} },
    });
  }
  let over = false;
  const victims = plugins.map(async (_plugin, i) => {
    while (!over) {
      const client = await from(`127.0.1.${i + 1}`, proxy.port);
      await client.pipeline(Array.from({ length: 5 }, () => ['GET', 'a'])).catch(() => undefined);
      client.reset();
      await sleep(5);
    }
  });
  const result = await runOracle({ port: proxy.port, seconds: 4, seed: 31, connections: 15, maxValue: 20_000, verifyPort: redis.port });
  over = true;
  await Promise.all(victims);
  assertNothingWrong(result);
  expect([...result.errors]).toEqual([]);
  expect(result.stalled).toBe(0);
  expect(result.ok).toBeGreaterThan(1000);
});

test('by default what fails is refused; with on_failure: pass it goes on, what a plugin refuses stays refused', async () => {
  await using redis = await startRedis();
  const bad = definePlugin<{ where: string; how?: string }>({
    name: 'bad', priority: 10, schema: { type: 'object', properties: { where: { type: 'string' }, how: { type: 'string' } } },
    setup({ where, how }) {
      const fail = (): void | Promise<void> => {
        if (how === 'later') return sleep(1).then(() => { throw new Error('oops'); });
        throw new Error('oops');
      };
      return {
        ...(where === 'connect' ? { connect: fail } : {}),
        ...(where === 'request' ? { request: fail } : {}),
        ...(where === 'response' ? { response: () => { throw new Error('oops'); } } : {}),
      };
    },
  });
  const seen: string[] = [];
  const next = definePlugin({
    name: 'next', priority: 5, schema: { type: 'object' },
    setup: () => ({ request: (request: Request) => { seen.push(request.name); } }),
  });
  await using proxy = await startProxy({ upstream: redis.port, plugins: [bad, next] });
  const use = (plugins: object): Promise<void> => proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' }, plugins,
  });
  for (const place of [{ where: 'request' }, { where: 'request', how: 'later' }, { where: 'response' }, { where: 'connect' }, { where: 'connect', how: 'later' }]) {
    await use({ bad: place, next: {} });
    const refused = await (await proxy.connect()).pipeline([['SET', 'a', '1'], ['GET', 'a']]).catch(() => 'closed');
    if (Array.isArray(refused)) expect(refused).toEqual([new RespError('ERR a plugin failed'), new RespError('ERR a plugin failed')]);
    else expect(refused).toBe('closed');
    seen.length = 0;
    await use({ bad: { ...place, _meta: { on_failure: 'pass' } }, next: {} });
    expect(await (await proxy.connect()).pipeline([['SET', 'a', '1'], ['GET', 'a']])).toEqual(['OK', '1']);
    expect(seen).toEqual(['set', 'get']);
  }
  expect(await proxy.metrics()).toMatch(/millrace_plugin_failures_total\{plugin="bad",route="1"\} [1-9]/);
  await use({ 'limit-count': { count: 1, time_window: 60, _meta: { on_failure: 'pass' } } });
  const replies = await (await proxy.connect()).pipeline([['PING'], ['PING']]);
  expect([replies[0], replies[1] instanceof RespError]).toEqual(['PONG', true]);
});

test('a plugin that changes its configuration changes nobody else\'s', async () => {
  await using redis = await startRedis();
  const seen: number[] = [];
  const greedy = definePlugin<{ list: { n: number }[] }>({
    name: 'greedy', priority: 1,
    schema: { type: 'object', properties: { list: { type: 'array', items: { type: 'object', properties: { n: { type: 'integer' } } } } } },
    setup(conf) {
      seen.push(conf.list[0]!.n);
      conf.list[0]!.n = 99;
      return {};
    },
  });
  await using proxy = await startProxy({ upstream: redis.port, plugins: [greedy] });
  const route = (id: string, address: string): Promise<void> => proxy.put(`/apisix/admin/stream_routes/${id}`, {
    remote_addr: address, upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' },
    plugins: { greedy: { list: [{ n: 7 }] } },
  });
  await route('1', '127.0.0.1');
  await route('2', '127.0.0.2');
  await route('1', '127.0.0.3');
  expect(new Set(seen)).toEqual(new Set([7]));
  const { body } = await proxy.call('GET', '/apisix/admin/stream_routes/2');
  expect(body.value.plugins.greedy).toEqual({ list: [{ n: 7 }] });
});
