// G6: configuration changes under load. Nobody notices.
import { readFileSync } from 'node:fs';
import { runOracle, type OracleResult } from '../support/oracle.ts';
import { collectGarbage } from '../support/collect-garbage.ts';
import { makeAuthority } from '../support/certificates.ts';
import { freePort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';
import { sleep } from '../support/sleep.ts';

export interface ReloadResult {
  readonly reloads: number;
  readonly untouched: OracleResult;
  readonly changed: OracleResult;
  readonly heap: { readonly before: number; readonly after: number };
  readonly timers: { readonly before: number; readonly after: number };
}

const variants: readonly Record<string, unknown>[] = [
  {},
  { 'fault-injection': { commands: ['nothing'], abort: { error: 'x' } } },
  { 'limit-count': { count: 2_000_000_000, time_window: 60 } },
  { 'fault-injection': { commands: ['echo'], delay: { duration: 0.001, percentage: 1 } }, 'limit-count': { count: 2_000_000_000, time_window: 60 } },
];

/** In this process, so that its heap can be collected before it is weighed, `settle` seconds after the start. */
export async function reloadsUnderLoad(upstream: number, reloads: number, settle: number): Promise<ReloadResult> {
  await using proxy = await startProxy({ upstream, settings: { log: { level: 'error' } } });
  const nodes = { [`127.0.0.1:${upstream}`]: 1 };
  const other = await freePort();
  const shared = (n: number): Promise<void> =>
    proxy.put('/apisix/admin/upstreams/shared', { nodes, timeout: { connect: 2 + (n % 3), send: 10, read: 10 } });
  const change = (n: number): Promise<void> => proxy.put('/apisix/admin/stream_routes/changed', {
    server_port: other, service_id: 'common',
    protocol: { name: 'redis', ...(n % 5 === 0 ? { metric: { enable: true } } : {}) }, plugins: variants[n % variants.length],
  });
  const come = async (n: number): Promise<void> => {
    await proxy.put(`/apisix/admin/stream_routes/come${n % 7}`, { remote_addr: '10.9.8.7', upstream: { nodes }, protocol: { name: 'redis' }, plugins: variants[n % variants.length] });
    if (n % 3 === 2) await proxy.call('DELETE', `/apisix/admin/stream_routes/come${(n + 3) % 7}`);
  };
  using authority = makeAuthority();
  const certificates = ['one', 'two'].map((name) => {
    const { cert, key } = authority.issue(name, ['DNS:reload.example']);
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8'), sni: 'reload.example' };
  });
  // What several routes have in common, and what no route is about.
  const around: readonly ((n: number) => Promise<void>)[] = [
    shared,
    (n) => proxy.put('/apisix/admin/services/common', { upstream_id: 'shared', desc: `${n}`, plugins: variants[n % 2 === 0 ? 0 : 1] }),
    (n) => proxy.put('/apisix/admin/ssls/1', certificates[n % 2]!),
    (n) => proxy.put('/apisix/admin/global_rules/1', { plugins: variants[1 + (n % 2)] }),
    (n) => proxy.put('/apisix/admin/plugin_metadata/logger', { log_format: { n: `${n}` } }),
    (n) => proxy.put('/apisix/admin/plugin_configs/1', { plugins: variants[1 + (n % 3)] }),
  ];
  for (const each of around) await each(0);
  const turn = [change, come, (n: number): Promise<void> => around[(n / 3 | 0) % around.length]!(n)];
  for (let n = 0; n < 20; n++) for (const each of turn) await each(n);
  // Keys carry the seed: two runs of one seed would meet.
  let seed = 600;
  const load = (port: number, seconds: number): Promise<OracleResult> =>
    runOracle({ port, seconds, seed: ++seed, connections: 8, depth: 16, maxValue: 5000, verifyPort: upstream });
  const under = async (count: number): Promise<[OracleResult, OracleResult][]> => {
    let done = 0;
    const changing = (async () => {
      for (; done < count; done++) await turn[done % turn.length]!(done);
    })();
    const results: [OracleResult, OracleResult][] = [];
    do results.push(await Promise.all([load(proxy.port, 2), load(other, 2)])); while (done < count);
    await changing;
    return results;
  };
  // Code that only starting needed is dropped when it was not used for half a minute: before the first weighing, not after it.
  for (const until = performance.now() + settle * 1000; performance.now() < until;) await under(20);
  const before = await weigh();
  const timersBefore = timers();
  const results = await under(reloads);
  await change(0);
  const after = await weigh();
  return {
    reloads, untouched: sum(results.map(([a]) => a)), changed: sum(results.map(([, b]) => b)),
    heap: { before, after }, timers: { before: timersBefore, after: timers() },
  };
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
}

async function weigh(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    await sleep(150);
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

function sum(results: readonly OracleResult[]): OracleResult {
  const errors = new Map<string, number>();
  for (const each of results) for (const [text, count] of each.errors) errors.set(text, (errors.get(text) ?? 0) + count);
  const total = (of: (each: OracleResult) => number): number => results.reduce((n, each) => n + of(each), 0);
  return {
    ...results[0]!, ok: total(({ ok }) => ok), errors, closed: total(({ closed }) => closed), stalled: total(({ stalled }) => stalled),
    wrong: results.find(({ wrong }) => wrong !== null)?.wrong ?? null, miscounted: results.flatMap(({ miscounted }) => miscounted),
  };
}
