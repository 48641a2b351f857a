import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeProxyHeader } from '../../../core/proxy-header.ts';
import { freePort } from '../../support/ports.ts';
import { startProxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespError } from '../../support/resp.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(['--requirepass', 'right']); });
afterAll(() => redis.stop());

test.each([1, 2])('failed log-ins are counted per address over connections and %i workers; then each closes its own', async (workers) => {
  await using proxy = await startProxy({
    upstream: redis.port, limits: { auth_failures_per_minute: 3 }, settings: { workers },
  });
  const guess = async (): Promise<string> => {
    const client = await proxy.connect();
    const answer = await client.command('AUTH', 'wrong');
    expect(answer).toBeInstanceOf(RespError);
    const next = await client.command('AUTH', 'right').catch(() => 'closed');
    await client.close();
    return next === 'OK' ? 'OK' : 'closed';
  };
  expect([await guess(), await guess(), await guess(), await guess()]).toEqual(['OK', 'OK', 'closed', 'closed']);
  const honest = await proxy.connect();
  expect(await honest.command('AUTH', 'right')).toBe('OK');
});

test('who has one IPv6 address has 2^64 of them: guesses are counted per /64, those of a neighbour for himself', async () => {
  const port = await freePort();
  await using _proxy = await startProxy({
    upstream: redis.port, limits: { auth_failures_per_minute: 3 },
    settings: { listeners: [{ port, protocol: 'redis', proxy_protocol: { trusted: ['127.0.0.1'] } }] },
  });
  const guess = (remoteAddress: string): Promise<string> => new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1');
    socket.on('data', (bytes) => { text += String(bytes); }).on('close', () => resolve(text)).on('error', () => undefined);
    socket.write(writeProxyHeader(2, { remoteAddress, remotePort: 4711, localAddress: '2001:db8::1', localPort: 6379 }));
    socket.write('AUTH wrong\r\nAUTH right\r\nQUIT\r\n');
  });
  const answers: string[] = [];
  for (let n = 1; n <= 5; n++) answers.push(await guess(`2001:db8:1:2::${n}`));
  expect(answers.map((text) => text.includes('+OK'))).toEqual([true, true, false, false, false]);
  expect(await guess('2001:db8:1:3::1')).toContain('+OK');
});
