// Requests as they are answered, watched over several workers.
import { get } from 'node:http';
import { expect, test } from 'vitest';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';

interface Watch {
  readonly status: number;
  readonly records: any[];
  readonly dropped: number[];
  readonly text: string;
  readonly ended: Promise<void>;
  stop(): void;
}

function watch(proxy: Proxy, query = ''): Promise<Watch> {
  return new Promise((resolve, reject) => {
    const request = get(`${proxy.admin}/apisix/admin/tail${query}`, { headers: { 'X-API-KEY': proxy.key } }, (response) => {
      const records: any[] = [];
      const dropped: number[] = [];
      let rest = '';
      let all = '';
      response.on('data', (bytes) => {
        all += String(bytes);
        const events = (rest + String(bytes)).split('\n\n');
        rest = events.pop()!;
        for (const event of events) {
          const data = /^data: (.*)$/m.exec(event)?.[1];
          if (data === undefined) continue;
          if (event.startsWith('event: dropped')) dropped.push(Number(data));
          else records.push(JSON.parse(data));
        }
      });
      const ended = new Promise<void>((done) => response.once('close', () => done()));
      resolve({ status: response.statusCode!, records, dropped, ended, get text() { return all; }, stop: () => request.destroy() });
    });
    request.on('error', reject);
  });
}

test('everybody\'s requests are shown with how they went, secrets masked, and what is filtered out is not', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port, settings: { workers: 2 } });
  const clients = await Promise.all(Array.from({ length: 6 }, () => proxy.connect()));
  await clients[0]!.command('SET', 'before', '1');
  const all = await watch(proxy);
  const gets = await watch(proxy, `?filter=${encodeURIComponent(JSON.stringify([['command', '==', 'get']]))}`);
  expect(all.status).toBe(200);
  for (const [i, client] of clients.entries()) await client.pipeline([['SET', `k${i}`, 'v'], ['GET', `k${i}`], ['LPOP', `k${i}`], ['AUTH', 'hunter2']]);
  await expect.poll(() => [all.records.length, gets.records.length]).toEqual([24, 6]);
  expect(gets.records.map(({ keys }) => keys[0]).toSorted()).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'k5']);
  const [set] = all.records.filter(({ command, keys }) => command === 'set' && keys[0] === 'k0');
  expect(set).toEqual({
    time: expect.stringMatching(/^\d{4}-/), worker: expect.any(Number), session: expect.any(Number), client: expect.stringMatching(/^127\.0\.0\.1:/),
    route: '1', command: 'set', keys: ['k0'], line: expect.stringContaining('set k0'), outcome: 'ok', took: expect.any(Number),
    upstream: `127.0.0.1:${redis.port}`, bytes_in: 28, bytes_out: 5,
  });
  expect(all.records.filter(({ command }) => command === 'lpop').map(({ outcome }) => outcome)).toEqual(Array.from({ length: 6 }, () => 'error'));
  expect(all.text).not.toContain('hunter2');
  all.stop();
  gets.stop();
  // Afterwards requests travel together again.
  await expect.poll(async () => (await clients[0]!.pipeline([['GET', 'k0'], ['GET', 'k1']]))).toEqual(['v', 'v']);
});

test('more than the rate is counted, a limit ends it, and what cannot be watched is refused', async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy({ upstream: redis.port });
  const client = await proxy.connect();
  const few = await watch(proxy, '?rate=10');
  const three = await watch(proxy, '?limit=3');
  await client.pipeline(Array.from({ length: 200 }, (_, i) => ['GET', `k${i}`]));
  await three.ended;
  expect(three.records.length).toBe(3);
  await expect.poll(() => few.records.length + few.dropped.reduce((sum, each) => sum + each, 0)).toBe(200);
  expect(few.records.length).toBeLessThanOrEqual(30);
  few.stop();
  const refused = async (query: string): Promise<unknown> => {
    const answer = await watch(proxy, query);
    await answer.ended;
    return [answer.status, JSON.parse(answer.text).error_msg];
  };
  expect(await refused('?filter=nonsense')).toEqual([400, 'filter: expected an expression such as [["command","==","get"]]']);
  expect(await refused(`?filter=${encodeURIComponent('[["command"]]')}`)).toEqual([400, expect.stringContaining('rule too short')]);
  expect(await refused('?rate=0')).toEqual([400, expect.stringContaining('rate: expected a whole number')]);
  const open = await Promise.all(Array.from({ length: 5 }, () => watch(proxy)));
  expect(await refused('')).toEqual([429, 'expected at most 5 watchers at a time']);
  for (const each of open) each.stop();
});

test('watchers do not keep Millrace from ending', async () => {
  const proxy = await startProxy({ route: { upstream: { type: 'memory' } } });
  const open = await watch(proxy);
  expect(open.status).toBe(200);
  const began = performance.now();
  await proxy[Symbol.asyncDispose]();
  await open.ended;
  expect(performance.now() - began).toBeLessThan(3000);
  expect(open.records).toEqual([]);
});
