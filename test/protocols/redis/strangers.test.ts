// Who gave no password may send little, where one is wanted; where nobody can say whether it is, the client is told so.
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { freePort } from '../../support/ports.ts';
import { startProxy } from '../../support/proxy.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp.ts';

const large = 'x'.repeat(20 * 1024);
const nodesOf = (...ports: number[]): Record<string, unknown> => (
  { upstream: { nodes: ports.map((port, index) => ({ host: '127.0.0.1', port, weight: 1, priority: -index })), timeout: { connect: 1 } } });

test('a new client whose node is down reads the same reason for a large value as for a small one', async () => {
  await using proxy = await startProxy({ route: nodesOf(await freePort()) });
  // The first one finds the node unreachable, the later ones find it left out.
  for (const [value, reason] of [[large, 'failed to connect to upstream'], [large, 'no healthy upstream'], ['x'.repeat(200 * 1024), 'no healthy upstream']] as const) {
    const client = await proxy.connect();
    const reply = await client.command('SET', 'a', value) as RespError;
    expect(reply.text).toContain(`ERR millrace: ${reason}`);
    await client.untilEnded();
  }
  const small = await (await proxy.connect()).command('SET', 'a', '1') as RespError;
  expect(small.text).toBe('ERR millrace: no healthy upstream');
  const many = await proxy.connect();
  expect(await many.command('MSET', ...Array.from({ length: 20 }, (_, i) => String(i)))).toEqual(small);
});

test('the answer to a large value leaves behind those to what was sent before it', async () => {
  await using proxy = await startProxy({ route: nodesOf(await freePort()) });
  const client = await proxy.connect();
  const replies = await client.pipeline([['GET', 'a'], ['ECHO'], ['SET', 'a', large]]) as RespError[];
  expect(replies.map(({ text }) => text)).toEqual(Array.from({ length: 3 }, () => expect.stringMatching(/^ERR millrace: /)));
  await client.untilEnded();
});

test('a node that cannot be reached is passed over for a large value as it is for a small one', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ route: nodesOf(await freePort(), await freePort(), redis.port) });
  const client = await proxy.connect();
  expect(await client.pipeline([['SET', 'a', large], ['GET', 'a'], ['CLIENT', 'SETNAME', 'me']])).toEqual(['OK', large, 'OK']);
});

test('a command about the client passes a dead node over as well', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ route: nodesOf(await freePort(), redis.port) });
  expect(await (await proxy.connect()).command('CLIENT', 'SETNAME', 'me')).toBe('OK');
});

test('a large value waits for the connect, and its client hears that it timed out', async () => {
  // It accepts and says nothing, until the connect timeout of its TLS handshake.
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as AddressInfo;
  await using proxy = await startProxy({
    route: { upstream: { nodes: { [`127.0.0.1:${port}`]: 1 }, scheme: 'tls', timeout: { connect: 0.3 } } },
  });
  const client = await proxy.connect();
  expect(((await client.command('SET', 'a', large)) as RespError).text).toMatch(/^ERR millrace: .*timed out/);
  silent.close();
});

test('a server that wants a password keeps its limit, on the second node, too, and when it is down again', async () => {
  await using redis = await startRedis(['--requirepass', 'secret']);
  await using proxy = await startProxy({ route: nodesOf(await freePort(), redis.port) });
  const strict = 'ERR Protocol error: unauthenticated bulk length';
  for (let i = 0; i < 3; i++) {
    const client = await proxy.connect();
    expect(await client.command('SET', 'a', large)).toEqual(new RespError(strict));
    await client.untilEnded();
  }
  const known = await proxy.connect();
  expect(await known.command('AUTH', 'secret')).toBe('OK');
  expect(await known.command('SET', 'a', large)).toBe('OK');
  await redis.stop();
  // It is not read, whatever the answer is.
  const client = await proxy.connect();
  const reply = await client.command('SET', 'a', large);
  expect(reply).toBeInstanceOf(RespError);
  await client.untilEnded();
});

test('who logged in goes on when the password changes, until the connection to the server is made anew, as on Redis', async () => {
  await using redis = await startRedis(['--requirepass', 'old']);
  await using proxy = await startProxy({ upstream: redis.port });
  const client = await proxy.connect();
  expect(await client.pipeline([['AUTH', 'old'], ['SET', 'a', '1']])).toEqual(['OK', 'OK']);
  const admin = await RespClient.connect(redis.port);
  expect(await admin.pipeline([['AUTH', 'old'], ['CONFIG', 'SET', 'requirepass', 'new']])).toEqual(['OK', 'OK']);
  expect(await client.command('GET', 'a')).toBe('1');
  const late = await proxy.connect();
  expect(await late.command('AUTH', 'old')).toMatchObject({ text: expect.stringMatching(/^WRONGPASS /) });
  expect(await late.pipeline([['AUTH', 'new'], ['GET', 'a']])).toEqual(['OK', '1']);
  await admin.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await expect.poll(() => client.command('GET', 'a')).toMatchObject({ text: expect.stringMatching(/WRONGPASS|refused/) });
  await expect.poll(() => late.command('GET', 'a')).toBe('1');
  await admin.close();
});
