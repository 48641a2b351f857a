// Clients of other machines, which a test has none of: the guard sees of them no more than this.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { expect, test } from 'vitest';
import { Guard } from '../../admin/guard.ts';
import { AdminKeys } from '../../admin/keys.ts';
import { Refusal } from '../../admin/refusal.ts';

const key = 'a-key-of-the-tests';

const others = ['10.0.0.8', '10.0.1.9', '127.0.0.1', '2001:db8:2::1', '::1', 'fe80::1%eth0', ''];

interface Asked { readonly from: string; readonly key?: string; readonly host?: string; readonly route?: string }

function startGuard(allow?: readonly string[]): { guard: Guard; ask: (asked: Asked) => number; wait: (ms: number) => void } {
  let now = 0;
  const access = (route: string): 'local' | 'open' | 'key' =>
    (route === '/metrics' ? 'local' : route === '/healthz' ? 'open' : 'key');
  const guard = new Guard(AdminKeys.open({ address: '127.0.0.1', key, key_file: 'none' }), access, { now: () => now, ...(allow === undefined ? {} : { allow }) });
  const reply = { header: () => undefined } as unknown as FastifyReply;
  const ask = ({ from, key: given, host = 'proxy.example:9180', route = '/admin' }: Asked): number => {
    const request = {
      socket: { remoteAddress: from, localAddress: from.startsWith('127.') ? '127.0.0.1' : '10.0.0.1' },
      headers: { host, ...(given === undefined ? {} : { 'x-api-key': given }) }, query: {},
    } as unknown as FastifyRequest;
    try {
      guard.check(request, reply, route);
      return 200;
    } catch (error) {
      if (error instanceof Refusal) return error.status;
      throw error;
    }
  };
  return { guard, ask, wait: (ms) => { now += ms; } };
}

test('metrics are open on this machine only, health everywhere', () => {
  const { ask } = startGuard();
  expect(ask({ from: '127.0.0.1', host: 'localhost', route: '/metrics' })).toBe(200);
  expect(ask({ from: '10.0.0.9', route: '/metrics' })).toBe(401);
  expect(ask({ from: '::ffff:10.0.0.9', route: '/metrics' })).toBe(401);
  expect(ask({ from: '10.0.0.9', route: '/metrics', key })).toBe(200);
  expect(ask({ from: '10.0.0.9', route: '/healthz' })).toBe(200);
});

test('another machine may use any host name, this one may not', () => {
  const { ask } = startGuard();
  expect(ask({ from: '10.0.0.9', key })).toBe(200);
  expect(ask({ from: '127.0.0.1', key })).toBe(403);
});

test('with an allow list other addresses get nothing, with a good key neither, and health neither', () => {
  const { ask } = startGuard(['10.0.0.9', '10.2.0.0/16', '2001:db8:1::/48', 'fe80::2']);
  for (const from of others) {
    for (const route of ['/metrics', '/healthz', '/admin', '']) expect([from, route, ask({ from, route, key })]).toEqual([from, route, 403]);
  }
  for (const from of ['10.0.0.9', '::ffff:10.0.0.9', '10.2.255.1', '2001:db8:1:5::1', 'fe80::2%eth0']) expect([from, ask({ from, key })]).toEqual([from, 200]);
  for (let count = 0; count < 20; count++) expect(ask({ from: '10.0.0.8', key: 'wrong' })).toBe(403);
});

test('wrong keys are counted per IPv4 address and per IPv6 network, for a minute', () => {
  const { ask, wait } = startGuard();
  const tries = (from: (index: number) => string): number[] =>
    Array.from({ length: 12 }, (_, index) => ask({ from: from(index), key: 'wrong' }));
  expect(tries(() => '10.0.0.9').filter((status) => status === 429)).toHaveLength(2);
  expect(tries((index) => `10.0.1.${index}`)).not.toContain(429);
  expect(tries((index) => `2001:db8:1:2::${index}`).filter((status) => status === 429)).toHaveLength(2);
  expect(tries((index) => `2001:db8:9:${index}::1`)).not.toContain(429);
  expect(ask({ from: '10.0.0.9', key })).toBe(200);
  wait(60_000);
  expect(ask({ from: '10.0.0.9', key: 'wrong' })).toBe(401);
});

test('a hundred thousand addresses are not all remembered', () => {
  const { ask } = startGuard();
  for (let count = 0; count < 11; count++) ask({ from: '10.0.0.9', key: 'wrong' });
  expect(ask({ from: '10.0.0.9', key: 'wrong' })).toBe(429);
  for (let count = 0; count < 100_000; count++) {
    ask({ from: `11.${count >> 16}.${(count >> 8) & 255}.${count & 255}`, key: 'wrong' });
  }
  // Forgotten: the oldest made room.
  expect(ask({ from: '10.0.0.9', key: 'wrong' })).toBe(401);
});
