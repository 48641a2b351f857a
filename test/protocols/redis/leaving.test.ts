// Clients that leave while a hook holds their request: who reset the connection wanted nothing any more; who only said
// that nothing more comes wants the answers.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { definePlugin } from '../../../core/plugin.ts';
import { makeAuthority, type Authority, type Certificate } from '../../support/certificates.ts';
import { freePort } from '../../support/ports.ts';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { encodeCommand } from '../../support/resp.ts';
import { RespClient } from '../../support/resp-client.ts';

let redis: RedisServer;
let authority: Authority;
let certificate: Certificate;
beforeAll(async () => {
  redis = await startRedis();
  authority = makeAuthority();
  certificate = authority.issue('front.example', ['DNS:front.example']);
});
afterAll(async () => {
  authority[Symbol.dispose]();
  await redis[Symbol.asyncDispose]();
});

/** What lets each SET go that is being held. */
const held: (() => void)[] = [];
const holding = definePlugin({
  name: 'holding', priority: 1, schema: { type: 'object' },
  setup: () => ({
    request: (request) => (request.name === 'set' ? new Promise<void>((resolve) => { held.push(resolve); }) : undefined),
  }),
});

/** With an empty database, and one client that stays. */
async function start(): Promise<Proxy & { readonly securePort: number; readonly other: RespClient }> {
  held.length = 0;
  const [port, securePort] = [await freePort(), await freePort()];
  const proxy = await startProxy({
    upstream: redis.port, plugins: [holding], route: { plugins: { holding: {} } },
    settings: { listeners: [{ port, protocol: 'redis' }, { port: securePort, protocol: 'redis', tls: certificate }] },
  });
  const other = await proxy.connect();
  await other.command('FLUSHALL');
  return { ...proxy, securePort, other };
}

/** The socket under TLS can be reset; a TLS socket cannot. */
async function secure(raw: Socket): Promise<RespClient> {
  const socket = connectTls({ socket: raw, ca: authority.text, servername: 'front.example' });
  await once(socket, 'secureConnect');
  return new RespClient(socket);
}

async function until(met: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await met())) await sleep(10);
}

async function untilClosed(proxy: Proxy): Promise<void> {
  await until(async () => /millrace_connections_active\{[^}]*\} 1\n/.test(await proxy.metrics()));
}

const set = (key: string): Buffer => encodeCommand(['SET', key, '1']);

/** What has been received of the client's requests when the first of them is held, and how it goes on. */
const more: [string, (client: RespClient) => Promise<void>][] = [
  ['one request', async () => {}],
  ['several requests', async (client) => {
    // The proxy reads as long as nothing waits behind the request that is held; then no more.
    for (let i = 0; i < 3; i++) {
      client.send(set(`behind${i}`));
      await sleep(20);
    }
  }],
  ['more than a socket holds', async (client) => {
    client.send(Buffer.concat(Array.from({ length: 200_000 }, (_, i) => set(`behind${i}`))));
    await sleep(50);
  }],
];

describe.each([['', false], [' over TLS', true]])('a client%s that resets its connection while a hook holds its request', (_kind, tls) => {
  // Over TLS a socket is read ahead only so far.
  test.each(tls ? more.slice(0, 2) : more)('after %s: it is closed meanwhile, and nothing is sent', async (_, send) => {
      await using proxy = await start();
    await using raw = await RespClient.connect(tls ? proxy.securePort : proxy.port);
    await using leaving = tls ? await secure(raw.socket) : raw;
    leaving.send(set('left'));
    await until(() => held.length === 1);
    await send(leaving);
    raw.reset();
    await untilClosed(proxy);
    held[0]!();
    expect(await proxy.other.command('DBSIZE')).toBe(0);
    expect(held).toHaveLength(1);
  });
});

test.each(more)('a client that resets its connection right before the hook ends, after %s: nothing is sent', async (_, send) => {
  await using proxy = await start();
  const leaving = await proxy.connect();
  leaving.send(set('left'));
  await until(() => held.length === 1);
  await send(leaving);
  leaving.reset();
  // Long enough to hear of it, too short for those to be looked after of whom nothing is heard.
  await sleep(5);
  held[0]!();
  expect(await proxy.other.command('DBSIZE')).toBe(0);
  expect(held).toHaveLength(1);
  await untilClosed(proxy);
});

test('a client that sends nothing more while a hook holds its request is answered', async () => {
  await using proxy = await start();
  const client = await proxy.connect();
  client.send(set('half'));
  await until(() => held.length === 1);
  for (const key of ['way', 'there']) {
    client.send(set(key));
    await sleep(20);
  }
  client.end();
  // Longer than it takes to look after those of whom nothing is heard.
  await sleep(1200);
  for (let i = 0; i < 3; i++) {
    await until(() => held.length === i + 1);
    held[i]!();
  }
  expect(await client.read(3)).toEqual(['OK', 'OK', 'OK']);
  expect(await client.untilEnded()).toBe('end');
});

test('a client that sends nothing more, and resets its connection later, is not served', async () => {
  await using proxy = await start();
  const leaving = await proxy.connect();
  leaving.send(set('left'));
  leaving.end();
  await until(() => held.length === 1);
  await sleep(20);
  leaving.reset();
  await untilClosed(proxy);
  held[0]!();
  expect(await proxy.other.command('DBSIZE')).toBe(0);
});
