import { expect, test } from 'vitest';
import type { Request } from '../../core/request.ts';
import { plugin, startLineProxy } from '../support/line-proxy.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { sleep } from '../support/sleep.ts';

/** A plugin that says when a place of it begins, is used and ends. */
function lifeline(): { steps: string[]; held: Promise<void>; release: () => void; plugin: ReturnType<typeof plugin> } {
  const steps: string[] = [];
  const { promise: held, resolve: hold } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  return {
    steps, held, release,
    plugin: plugin('life', (conf: { n: number }) => {
      let closed = false;
      steps.push(`setup ${conf.n}`);
      const used = (hook: string): void => { if (closed) steps.push(`${hook} ${conf.n} after close`); };
      return {
        maxWait: 10_000,
        request: (request: Request) => {
          used('request');
          if (request.name !== 'slow') return undefined;
          hold();
          return released;
        },
        log: (request: Request) => { used('log'); steps.push(`log ${conf.n} ${request.name}`); },
        response: () => used('response'),
        close() { closed = true; steps.push(`close ${conf.n}`); },
      };
    }),
  };
}

test('open sessions use the new plan from their next request on; the old one is closed after its last', async () => {
  await using upstream = await startLineUpstream();
  const life = lifeline();
  await using proxy = await startLineProxy({
    nodes: [upstream.port], plugins: [life.plugin], use: { life: { n: 1 } },
  });
  const [busy, other] = [await proxy.dial(), await proxy.dial()];
  busy.send('slow a\n');
  await life.held;
  await proxy.route({ plugins: { life: { n: 2 } } });
  expect(await other.ask('get b')).toBe('get b!');
  expect(life.steps).toEqual(['setup 1', 'setup 2', 'log 2 get']);
  busy.send('get c\n');
  life.release();
  expect(await busy.read(2)).toEqual(['slow a!', 'get c!']);
  await expect.poll(() => life.steps.slice(3)).toEqual(['log 1 slow', 'close 1', 'log 2 get']);
});

test('a place whose route is gone is closed once, and no hook runs after that', async () => {
  await using upstream = await startLineUpstream();
  const life = lifeline();
  await using proxy = await startLineProxy({
    nodes: [upstream.port], plugins: [life.plugin], use: { life: { n: 1 } },
  });
  const client = await proxy.dial();
  expect(await client.ask('get a')).toBe('get a!');
  await proxy.call('DELETE', '/apisix/admin/stream_routes/1');
  client.send('get b\n');
  await client.untilEnded();
  expect(life.steps).toEqual(['setup 1', 'log 1 get', 'close 1']);
  expect(upstream.received).toEqual(['get a']);
});

test('a write that changes nothing of a route leaves its plan and its links alone', async () => {
  await using upstream = await startLineUpstream();
  const life = lifeline();
  await using proxy = await startLineProxy({
    nodes: [upstream.port], plugins: [life.plugin], use: { life: { n: 1 } },
  });
  const client = await proxy.dial();
  await client.ask('get a');
  await proxy.put('/apisix/admin/stream_routes/2', {
    server_addr: '127.0.0.2', upstream: { nodes: { '127.0.0.1:1': 1 } }, protocol: { name: 'line' },
  });
  await client.ask('get b');
  expect(life.steps).toEqual(['setup 1', 'log 1 get', 'log 1 get']);
  expect(upstream.accepted).toBe(1);
});

test('links outlive a change of plugins, and end with the last route that uses the node', async () => {
  await using upstream = await startLineUpstream();
  const life = lifeline();
  await using proxy = await startLineProxy({ nodes: [upstream.port], plugins: [life.plugin] });
  const client = await proxy.dial();
  await client.ask('get a');
  for (let n = 0; n < 5; n++) {
    await proxy.route({ plugins: { life: { n } } });
    await client.ask('get b');
  }
  expect(upstream.accepted).toBe(1);
  await proxy.call('DELETE', '/apisix/admin/stream_routes/1');
  await expect.poll(() => upstream.open.size).toBe(0);
});

test('a change of node under load loses no request and mixes none up', async () => {
  await using one = await startLineUpstream();
  await using two = await startLineUpstream();
  const life = lifeline();
  await using proxy = await startLineProxy({ nodes: [one.port], plugins: [life.plugin] });
  let running = true;
  const clients = await Promise.all(Array.from({ length: 8 }, () => proxy.dial()));
  const counts = clients.map(async (client, c) => {
    let asked = 0;
    while (running) {
      const words = Array.from({ length: 5 }, (_, i) => (i === 2 ? 'ping' : `get ${c}.${asked}.${i}`));
      client.send(`${words.join('\n')}\n`);
      expect(await client.read(5)).toEqual(words.map((word) => (word === 'ping' ? 'pong' : `${word}!`)));
      asked += 5;
    }
    return asked;
  });
  for (let round = 0; round < 40; round++) {
    const port = round % 2 === 0 ? two.port : one.port;
    await proxy.route({
      upstream: { nodes: { [`127.0.0.1:${port}`]: 1 } },
      ...(round % 3 === 0 ? { plugins: { life: { n: round } } } : {}),
    });
    await sleep(5);
  }
  running = false;
  expect((await Promise.all(counts)).every((asked) => asked > 0)).toBe(true);
  expect(one.received.length).toBeGreaterThan(0);
  expect(two.received.length).toBeGreaterThan(0);
  await proxy.route({});
  const begun = life.steps.filter((step) => step.startsWith('setup')).length;
  await expect.poll(() => life.steps.filter((step) => step.startsWith('close'))).toHaveLength(begun);
  await sleep(20);
  expect(life.steps.filter((step) => step.includes('after close'))).toEqual([]);
  expect(life.steps.filter((step) => step.startsWith('close'))).toHaveLength(begun);
});
