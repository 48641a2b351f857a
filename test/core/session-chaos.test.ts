// Looks for the worst fault, a reply given to the wrong request: random requests of many clients, some of
// them seen by
// hooks, answered here, delayed or refused; nodes that break links and answer late; reloads all the time.
import { expect, test } from 'vitest';
import { ProxyError } from '../../core/errors.ts';
import type { Request } from '../../core/request.ts';
import { Dice, freshSeed } from '../support/dice.ts';
import { plugin, startLineProxy, type LineProxy } from '../support/line-proxy.ts';
import { startLineUpstream, type LineUpstream } from '../support/line-upstream.ts';
import { sleep } from '../support/sleep.ts';

const duration = Number(process.env['CHAOS_MS'] ?? 4000);

const rules = plugin('rules', () => ({
  maxWait: 500,
  request(request: Request) {
    if (request.name === 'deny') request.settle(new ProxyError('DENIED', 'no'));
    return request.name === 'delay' ? sleep(3) : undefined;
  },
  select: (request: Request) => request.name === 'see',
  log() {},
}));

const operations = ['get', 'get', 'get', 'get', 'see', 'deny', 'delay', 'ping'] as const;
const failures = /^-(UPSTREAM_CLOSED|UPSTREAM_TIMEOUT|CONNECT_FAILED|NO_NODE) /;

function expected(line: string): (reply: string) => boolean {
  if (line.startsWith('ping')) return (reply) => reply === 'pong';
  if (line.startsWith('deny')) return (reply) => reply === '-DENIED no';
  return (reply) => reply === `${line}!` || failures.test(reply);
}

async function converse(
  proxy: LineProxy, name: string, dice: Dice, over: () => boolean, answered: () => void,
): Promise<{ ok: number; failed: number }> {
  const counts = { ok: 0, failed: 0 };
  let client = await proxy.dial();
  for (let turn = 0; !over(); turn++) {
    const lines = Array.from({ length: dice.between(1, 24) }, (_, i) => `${dice.of(operations)} ${name}.${turn}.${i}`);
    const text = `${lines.join('\n')}\n`;
    const cut = dice.between(0, text.length);
    client.send(text.slice(0, cut));
    if (dice.chance(0.2)) await sleep(1);
    client.send(text.slice(cut));
    if (dice.chance(0.03)) {
      client.socket.resetAndDestroy();
      client = await proxy.dial();
      continue;
    }
    const replies = await client.read(lines.length);
    for (const [i, reply] of replies.entries()) {
      if (!expected(lines[i]!)(reply)) throw new Error(`${lines[i]} was answered with ${reply}; turn: ${JSON.stringify([lines, replies])}`);
      if (failures.test(reply)) counts.failed++;
      else {
        counts.ok++;
        answered();
      }
    }
  }
  expect(client.lines).toEqual([]);
  return counts;
}

/** Answers in order, but late now and then, in pieces, or not at all and never again on this connection. */
function moody(upstream: LineUpstream, dice: Dice): void {
  const chains = new WeakMap<object, Promise<void>>();
  upstream.answer = (line, socket) => {
    const mood = dice.next();
    if (mood < 0.002) return void socket.destroy();
    const before = chains.get(socket) ?? Promise.resolve();
    const wait = mood < 0.01 ? 30 : mood < 0.012 ? 260 : 0;
    chains.set(socket, before.then(async () => {
      if (wait > 0) await sleep(wait);
      const text = `${line}!\n`;
      if (socket.destroyed) return;
      socket.write(text.slice(0, 3));
      socket.write(text.slice(3));
    }));
  };
}

const seed = Number(process.env['CHAOS_SEED'] ?? freshSeed());
test(`no reply reaches the wrong request, whatever happens (seed ${seed})`, async () => {
  const dice = new Dice(seed);
  await using one = await startLineUpstream();
  await using two = await startLineUpstream();
  moody(one, dice);
  moody(two, dice);
  const upstreamConf = { timeout: { read: 0.2, connect: 1 } };
  await using proxy = await startLineProxy({
    nodes: [one.port, two.port], upstreamConf, plugins: [rules], use: { rules: {} },
    limits: { pipelined_requests: 32 },
  });
  const began = performance.now();
  let answered = 0;
  // On a slow machine longer: it is the number of requests that counts.
  const over = (): boolean => performance.now() - began > duration && (answered > 1000 || performance.now() - began > duration * 4);
  const clients = Array.from({ length: 12 }, (_, c) => converse(proxy, `c${c}`, dice, over, () => { answered++; }));
  const reloads = (async () => {
    while (!over()) {
      const ports = dice.of([[one.port], [two.port], [one.port, two.port]]);
      await proxy.route({
        upstream: { nodes: ports.map((port) => ({ host: '127.0.0.1', port, weight: 1 })), ...upstreamConf },
        plugins: { rules: { n: dice.between(0, 3) } },
      });
      await sleep(20);
    }
  })();
  const counts = await Promise.all(clients);
  await reloads;
  const [ok, failed] = [counts.reduce((sum, each) => sum + each.ok, 0), counts.reduce((sum, each) => sum + each.failed, 0)];
  expect(ok).toBeGreaterThan(1000);
  expect(failed).toBeLessThan(ok);
  expect(proxy.records.filter(({ code }) => code === 'INTERNAL')).toEqual([]);
});
