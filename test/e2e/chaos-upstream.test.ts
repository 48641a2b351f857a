// The oracle against upstreams and networks that misbehave (G1, D1–D5, D9, D15, P11 of the reliability list).
import { expect, test, vi } from 'vitest';
import { misbehaviours, startEvilUpstream, type Misbehaviour } from '../support/evil-upstream.ts';
import { assertNothingWrong, runOracle, type OracleResult } from '../support/oracle.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError, type Value } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';

const read = 0.2;

function route(port: number, seconds = read): Record<string, unknown> {
  return { upstream: { nodes: { [`127.0.0.1:${port}`]: 1 }, timeout: { connect: 1, send: 1, read: seconds } } };
}

/** Misbehaviours after which a proxy without integrity mode cannot know whose a reply is. */
const shifting: ReadonlySet<Misbehaviour> = new Set(['skip', 'swap', 'twice', 'extra', 'long', 'short', 'deep']);

async function metric(proxy: Proxy, name: string): Promise<number> {
  let sum = 0;
  for (const line of (await proxy.metrics()).split('\n')) {
    if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

function replies(result: OracleResult): number {
  return result.ok + [...result.errors.values()].reduce((sum, each) => sum + each, 0);
}

/**
 * Asks until the answer is no error of ours: a server that was silent is left out until it answers a probe, 20 ms at
 * first, and a busy machine may miss a deadline. A wrong value is never asked for again.
 */
async function rightInTheEnd(client: RespClient, key: string): Promise<boolean> {
  let answer: Value = null;
  for (let i = 0; i < 100; i++) {
    answer = await client.command('GET', key);
    if (!(answer instanceof RespError)) break;
    expect(answer.text).toMatch(/^ERR millrace: /);
    await sleep(50);
  }
  return answer === key;
}

test('no reply is swapped while replies are late, cut, sliced, malformed or missing', async () => {
  const chances: Partial<Record<Misbehaviour, number>> = {};
  for (const kind of misbehaviours) if (!shifting.has(kind)) chances[kind] = kind === 'sliver' ? 0.001 : 0.0004;
  chances['close-on-accept'] = chances.deaf = 0.05;
  await using evil = await startEvilUpstream({ seed: 11, chances, lateMs: read * 1500 });
  await using proxy = await startProxy({ upstream: evil.port, route: route(evil.port) });
  let answered = 0;
  // It is the number of replies and of kinds that counts; a slow machine takes longer for them.
  const enough = (): boolean => answered > 20_000 && evil.done.size > 12;
  for (let round = 0; round < 8 && !enough(); round++) {
    const result = await runOracle({
      port: proxy.port, seconds: 6, seed: 11 + round * 100, connections: 40, maxValue: 65_536, echoKeys: true,
      kill: 0.002, halfClose: 0.002, slow: 0.002,
      counterValue: (key) => evil.executed.get(`incr ${key}`) ?? 0,
    });
    assertNothingWrong(result);
    expect(result.stalled).toBe(0);
    answered += replies(result);
  }
  expect(answered).toBeGreaterThan(20_000);
  expect(evil.done.size).toBeGreaterThan(12);
}, 90_000);

test('two hundred thousand replies come in order', async () => {
  await using evil = await startEvilUpstream({ seed: 12, chances: { late: 0.00005, sliver: 0.0001 }, lateMs: read * 1500 });
  await using proxy = await startProxy({ upstream: evil.port, route: route(evil.port) });
  let answered = 0;
  for (let round = 0; round < 24 && answered <= 200_000; round++) {
    const result = await runOracle({
      port: proxy.port, seconds: 3, seed: 12 + round, connections: 40, maxValue: 256, echoKeys: true,
      counterValue: (key) => evil.executed.get(`incr ${key}`) ?? 0,
    });
    assertNothingWrong(result);
    answered += result.ok;
  }
  expect(answered).toBeGreaterThan(200_000);
}, 120_000);

test.for(['twice', 'extra', 'swap', 'skip', 'long', 'short', 'deep'] as const)('a connection on which replies may have shifted (%s) answers nobody for long', async (kind) => {
  await using evil = await startEvilUpstream({ seed: 13 });
  await using proxy = await startProxy({ upstream: evil.port, route: route(evil.port) });
  const client = await proxy.connect();
  expect(await client.command('GET', 'before')).toBe('before');
  client.send(`*2\r\n$3\r\nGET\r\n$${10 + kind.length}\r\nevil:${kind}:key1\r\n`);
  // Alone on the link, so the mistake is seen at once or at the deadline; then everything is as it was.
  await expect.poll(() => proxy.records.filter(({ msg }) => msg === 'upstream connection ended')).toHaveLength(1);
  const other = await proxy.connect();
  expect(await rightInTheEnd(other, 'after')).toBe(true);
  expect(await rightInTheEnd(other, 'again')).toBe(true);
});

test.each([true, false])('a command that is never answered leaves its node out only when nobody else is answered either (others: %s)', async (others) => {
  await using evil = await startEvilUpstream({ seed: 15 });
  await using proxy = await startProxy({
    upstream: evil.port,
    // Long: what counts is silence, and a busy machine is silent for a moment, too.
    route: { upstream: { nodes: { [`127.0.0.1:${evil.port}`]: 1 }, timeout: { connect: 1, send: 1, read: 1 } } },
  });
  const [stuck, other] = [await proxy.connect(), await proxy.connect()];
  // Another database: another connection to the same node.
  expect(await other.command('SELECT', '1')).toBe('OK');
  expect(await other.command('GET', 'before')).toBe('before');
  const answer = stuck.command('GET', 'evil:never:a');
  await vi.waitFor(async () => {
    if (others) expect(await other.command('GET', 'meanwhile')).toBe('meanwhile');
    expect(proxy.records.filter(({ code }) => code === 'UPSTREAM_TIMEOUT').length).toBe(1);
  }, { timeout: 10_000, interval: 20 });
  expect(((await answer) as RespError).text).toBe('ERR millrace: upstream timeout');
  expect(proxy.records.filter(({ code }) => code === 'NODE_DOWN').length).toBe(others ? 0 : 1);
}, 20_000);

test('the reply to a request that timed out is dropped in its place (D1)', async () => {
  // 0.2 s late; the link is given up when it is 0.8 s.
  await using evil = await startEvilUpstream({ seed: 14, lateMs: 1000 });
  await using proxy = await startProxy({ upstream: evil.port, route: route(evil.port, 0.8) });
  const timeouts = (): Promise<number> => metric(proxy, 'millrace_upstream_timeouts_total');
  const clients = await Promise.all(Array.from({ length: 10 }, () => proxy.connect()));
  for (let round = 0; round < 3; round++) {
    const answers = clients.map((client, i) => client.pipeline([
      ['GET', `first:${i}`], ['GET', i === 3 ? `evil:late:${round}` : `second:${i}`], ['GET', `third:${i}`],
    ]));
    for (const [i, [first, second, third]] of (await Promise.all(answers)).entries()) {
      for (const [name, reply] of [['first', first], ['second', second], ['third', third]] as const) {
        if (reply instanceof RespError) expect(reply.text).toBe('ERR millrace: upstream timeout');
        else expect(reply).toBe(`${name}:${i}`);
      }
    }
    expect(evil.connections).toBe(1);
    await expect.poll(() => metric(proxy, 'millrace_upstream_late_replies_total')).toBe(await timeouts());
    expect(await timeouts()).toBeGreaterThan(round);
  }
}, 20_000);

test('an answer before the request is complete belongs to that request (D3)', async () => {
  await using evil = await startEvilUpstream({ seed: 16 });
  await using proxy = await startProxy({ upstream: evil.port, route: route(evil.port) });
  const client = await proxy.connect();
  const other = await proxy.connect();
  client.send('*3\r\n$3\r\nSET\r\n$12\r\nevil:early:1\r\n$4000000\r\n');
  for (let i = 0; i < 40; i++) {
    client.send(Buffer.alloc(100_000, 'x'));
    expect(await other.command('GET', `k${i}`)).toBe(`k${i}`);
  }
  client.send('\r\n*2\r\n$3\r\nGET\r\n$4\r\nnext\r\n');
  const answers = await client.read(2);
  expect((answers[0] as RespError).text).toContain('too big');
  expect(answers[1]).toBe('next');
}, 20_000);
