import { describe, expect, test } from 'vitest';
import type { Origin } from '../../core/connection.ts';
import type { Route } from '../../core/route.ts';
import { Router, type MatchConf } from '../../core/router.ts';

function router(routes: Readonly<Record<string, MatchConf>>): Router {
  return new Router(Object.entries(routes).map(([id, conf]) => {
    const route: Route = { id, protocol: 'line', conf: {}, plan: null };
    return { route, conf };
  }));
}

const client: Origin = { remoteAddress: '10.1.2.3', remotePort: 5, localAddress: '127.0.0.1', localPort: 9100, sni: null, tls: false };

describe('of several routes that match', () => {
  test.for<{ what: string; routes: Record<string, MatchConf>; origin?: Partial<Origin>; wins: string | null }>([
    { what: 'nothing matches without a route', routes: {}, wins: null },
    { what: 'a route without conditions takes everybody', routes: { a: {} }, wins: 'a' },
    {
      what: 'an exact server name before a wildcard',
      routes: { a: { sni: '*.example.org' }, b: { sni: 'x.example.org' } }, origin: { sni: 'x.example.org' },
      wins: 'b',
    },
    {
      what: 'a longer wildcard before a shorter one',
      routes: { a: { sni: '*.org' }, b: { sni: '*.example.org' }, c: { sni: '*' } },
      origin: { sni: 'x.example.org' }, wins: 'b',
    },
    {
      what: 'a wildcard is not its own domain', routes: { a: { sni: '*.example.org' } },
      origin: { sni: 'example.org' }, wins: null,
    },
    {
      what: 'a client without a server name takes no route that asks for one',
      routes: { a: { sni: '*' }, b: {} }, wins: 'b',
    },
    {
      what: 'the server name before the client\'s address',
      routes: { a: { remote_addr: '10.1.2.3' }, b: { sni: '*' } }, origin: { sni: 'x' }, wins: 'b',
    },
    {
      what: 'a smaller network before a larger one',
      routes: { a: { remote_addr: '10.0.0.0/8' }, b: { remote_addr: '10.1.0.0/16' } }, wins: 'b',
    },
    {
      what: 'an address before a network',
      routes: { a: { remote_addr: '10.1.2.0/24' }, b: { remote_addr: '10.1.2.3' } }, wins: 'b',
    },
    { what: 'another client\'s address never', routes: { a: { remote_addr: '10.1.2.4' } }, wins: null },
    {
      what: 'the client\'s address before ours',
      routes: { a: { server_addr: '127.0.0.1' }, b: { remote_addr: '10.0.0.0/8' } }, wins: 'b',
    },
    {
      what: 'our address before our port',
      routes: { a: { server_port: 9100 }, b: { server_addr: '127.0.0.0/8' } }, wins: 'b',
    },
    { what: 'a port before no condition', routes: { a: {}, b: { server_port: 9100 } }, wins: 'b' },
    { what: 'another port never', routes: { a: { server_port: 9101 } }, wins: null },
    { what: 'the higher priority', routes: { a: {}, b: { priority: 1 }, c: { priority: -1 } }, wins: 'b' },
    {
      what: 'what is more specific whatever the priority',
      routes: { a: { priority: 9 }, b: { server_port: 9100 } }, wins: 'b',
    },
    { what: 'the lower number of an id, not its text', routes: { 10: {}, 9: {} }, wins: '9' },
    { what: 'a number before a name, and names by text', routes: { b: {}, a: {}, 7: {} }, wins: '7' },
    {
      what: 'an IPv6 network for an IPv6 client',
      routes: { a: { remote_addr: '0.0.0.0/0' }, b: { remote_addr: 'fd00::/8' } },
      origin: { remoteAddress: 'fd00::1' }, wins: 'b',
    },
  ])('$what', ({ routes, origin, wins }) => {
    expect(router(routes).match({ ...client, ...origin })?.id ?? null).toBe(wins);
  });
});

test('the ports that routes ask for are known', () => {
  expect([...router({ a: { server_port: 9100 }, b: { server_port: 9101 }, c: {} }).ports])
    .toEqual([9100, 9101]);
});
