// Replies that are out of step with requests: the worst that can happen to a proxy, and only a check can see it.
import { expect, test, vi } from 'vitest';
import { startEvilUpstream } from '../../support/evil-upstream.ts';
import { startProxy } from '../../support/proxy.ts';
import { RespError } from '../../support/resp.ts';
import { startRedis } from '../../support/redis-server.ts';

const routeWith = (port: number, integrity: string): Record<string, unknown> => ({
  upstream: { nodes: { [`127.0.0.1:${port}`]: 1 }, integrity, timeout: { connect: 1, read: 0.3 } },
});

test('D6 with integrity: strict no client gets another one’s reply from a server that skips replies', async () => {
  await using evil = await startEvilUpstream({ seed: 7, chances: { skip: 0.01 } });
  await using proxy = await startProxy({ upstream: evil.port, route: routeWith(evil.port, 'strict') });
  const clients = await Promise.all(Array.from({ length: 20 }, () => proxy.connect()));
  let answered = 0;
  let failed = 0;
  await Promise.all(clients.map(async (client, who) => {
    for (let i = 0; i < 60; i++) {
      const key = `k-${who}-${i}`;
      const reply = await client.command('GET', key);
      if (reply instanceof RespError) failed++;
      else {
        expect(reply).toBe(key);
        answered++;
      }
    }
  }));
  expect(answered).toBeGreaterThan(500);
  expect(failed).toBeGreaterThan(0);
});

test('D6 with integrity: check a link whose replies are out of step is closed', async () => {
  await using evil = await startEvilUpstream({ seed: 7 });
  await using proxy = await startProxy({ upstream: evil.port, route: routeWith(evil.port, 'check') });
  const client = await proxy.connect();
  expect(await client.command('GET', 'a')).toBe('a');
  await client.pipeline(Array.from({ length: 300 }, (_, i) => ['GET', i === 100 ? 'evil:twice:x' : `k${i}`])).catch(() => undefined);
  const closed = /^millrace_links_closed_total\{.*reason="UPSTREAM_PROTOCOL".*\} 1$/m;
  await vi.waitFor(async () => expect(await proxy.metrics()).toMatch(closed), { timeout: 10_000 });
});

test('integrity costs a well-behaved server’s clients nothing but the tokens', async () => {
  await using redis = await startRedis();
  for (const integrity of ['check', 'strict']) {
    await using proxy = await startProxy({ upstream: redis.port, route: routeWith(redis.port, integrity) });
    const client = await proxy.connect();
    const commands = Array.from({ length: 500 }, (_, i) => ['SET', `k${i}`, `v${i}`.repeat(100)]);
    expect(await client.pipeline(commands)).toEqual(commands.map(() => 'OK'));
    const values = await client.pipeline(commands.map(([, key]) => ['GET', key!]));
    expect(values).toEqual(commands.map(([, , value]) => value));
  }
});
