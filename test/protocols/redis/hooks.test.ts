// Hooks beside the fast path: whatever they do with some requests, the others pass, and every answer is the right one.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ProxyError } from '../../../core/errors.ts';
import { definePlugin, type Hooks } from '../../../core/plugin.ts';
import type { Request } from '../../../core/request.ts';
import { startProxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespError, type Value } from '../../support/resp.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(async () => { await redis[Symbol.asyncDispose](); });

function plugin(hooks: Hooks) {
  return definePlugin({ name: 'of-the-test', priority: 1, schema: { type: 'object' }, setup: () => hooks });
}

function text(value: Value): string {
  return value instanceof RespError ? value.text : String(value);
}

const route = { plugins: { 'of-the-test': {} } };

describe('hooks that let go of requests', () => {
  /** The first letter of a key says what happens to it: pass, refuse, wait, log, wait and log. */
  const logged: string[] = [];
  const hooks: Hooks = {
    transient: true,
    request(request) {
      const kind = request.key(0).toString('latin1', 0, 1);
      if (kind === 'r') return request.settle(new ProxyError('DENIED', `no ${request.key(0).toString()}`));
      return kind === 'w' || kind === 'b' ? sleep(1) : undefined;
    },
    select: (request) => request.someKey((bytes, start) => bytes[start] === 0x6c || bytes[start] === 0x62),
    log: (request) => { logged.push(request.key(0).toString()); },
  };

  test('each of a thousand mixed requests gets its own answer, and only those that they want are logged', async () => {
    await using proxy = await startProxy({ upstream: redis.port, plugins: [plugin(hooks)], route });
    logged.length = 0;
    const clients = await Promise.all(Array.from({ length: 5 }, () => proxy.connect()));
    const wanted: string[] = [];
    await Promise.all(clients.map(async (client, n) => {
      const keys = Array.from({ length: 200 }, (_, i) => `${'pppppprwlb'[(i * 7 + n + (i >> 3)) % 10]}${n}:${i}`);
      wanted.push(...keys.filter((key) => /^[lb]/.test(key)));
      const values = await client.pipeline(keys.map((key) => ['SET', key, `v${key}`]));
      const read = await client.pipeline(keys.map((key) => ['GET', key]));
      const refused = (key: string): boolean => key.startsWith('r');
      expect(values.map(text)).toEqual(keys.map((key) => (refused(key) ? `ERR no ${key}` : 'OK')));
      expect(read.map(text)).toEqual(keys.map((key) => (refused(key) ? `ERR no ${key}` : `v${key}`)));
    }));
    expect(logged.toSorted()).toEqual([...wanted, ...wanted].toSorted());
  });

  test('a hook that closes the connection of a request ends it without harm to others', async () => {
    const closing: Hooks = { transient: true, request: (request) => {
      if (request.key(0).toString() === 'end') request.session.destroy('CLIENT_CLOSED');
    } };
    await using proxy = await startProxy({ upstream: redis.port, plugins: [plugin(closing)], route });
    const [one, other] = await Promise.all([proxy.connect(), proxy.connect()]);
    one.pipeline(['a', 'b', 'end', 'c'].map((key) => ['SET', key, '1'])).catch(() => undefined);
    await one.untilEnded();
    expect(text(await other.command('SET', 'x', '1'))).toBe('OK');
    expect(text(await other.command('EXISTS', 'c', 'end'))).toBe('0');
  });
});

test('a plugin that does not let go has each request to itself', async () => {
  const kept: Request[] = [];
  const hooks: Hooks = { request: (request) => { kept.push(request); } };
  await using proxy = await startProxy({ upstream: redis.port, plugins: [plugin(hooks)], route });
  const client = await proxy.connect();
  await client.pipeline(Array.from({ length: 50 }, (_, i) => ['GET', `k${i}`]));
  expect(new Set(kept).size).toBe(kept.length);
  expect(kept.length).toBeGreaterThanOrEqual(50);
});

test.each<[string, Record<string, unknown>]>([['without plugins', {}], ['with plugins', route]])(
  'a client that sends something now and then is not idle, %s', async (_, place) => {
    await using proxy = await startProxy({
      upstream: redis.port, plugins: [plugin({ transient: true, request: () => undefined })], route: place,
      limits: { client_idle_timeout_s: 0.6 },
    });
    const client = await proxy.connect();
    for (let i = 0; i < 12; i++) {
      await sleep(100);
      expect(text(await client.command('GET', 'nothing'))).toBe('null');
    }
  });
