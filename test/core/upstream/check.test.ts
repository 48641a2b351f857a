import { expect, test } from 'vitest';
import { ProxyError } from '../../../core/errors.ts';
import { checksSchema } from '../../../core/config/schemas/checks.ts';
import type { JsonSchema } from '../../../core/schema.ts';
import { checkConfOf } from '../../../core/upstream/check-conf.ts';
import { CheckState } from '../../../core/upstream/check-state.ts';
import { Check, type CheckNews, type CheckOptions } from '../../../core/upstream/check.ts';
import { Health } from '../../../core/upstream/health.ts';
import { ProbeFailure } from '../../../core/upstream/probe.ts';
import { ManualTime } from './manual-time.ts';

/** `+`: a success, `t`, `h`, `o`, `p`: failures by connection, status, time and protocol. Limits: 2 successes, 3 failures. */
function statusAfter(events: string): string {
  const state = new CheckState();
  const kinds = { t: 'tcp', h: 'http', o: 'timeout', p: 'protocol' } as const;
  for (const event of events) {
    if (event === '+') state.succeeded(2);
    else state.failed(kinds[event as keyof typeof kinds], 3, event);
  }
  return state.snapshot.status;
}

test.each([
  ['', 'healthy'], ['+++', 'healthy'], ['t', 'mostly_healthy'], ['tt', 'mostly_healthy'], ['ttt', 'unhealthy'],
  // Each kind has a count of its own, and a success begins all anew.
  ['tthh', 'mostly_healthy'], ['tthho', 'mostly_healthy'], ['tthhot', 'unhealthy'], ['tt+tt', 'mostly_healthy'],
  ['tt+', 'mostly_healthy'], ['tt++', 'healthy'], ['ppp+', 'mostly_unhealthy'], ['ppp++', 'healthy'], ['ppp+p', 'unhealthy'],
  ['ppp+p+', 'mostly_unhealthy'], ['ooo++o', 'mostly_healthy'], ['ttttttt++', 'healthy'],
])('after %j a node is %s', (events, status) => {
  expect(statusAfter(events)).toBe(status);
});

test('a limit of 0 does not count', () => {
  const state = new CheckState();
  expect(state.failed('tcp', 0, 'no')).toBe(false);
  expect(state.snapshot.status).toBe('healthy');
});

interface Staged {
  readonly time: ManualTime;
  readonly check: Check;
  readonly health: Health;
  readonly told: CheckNews[];
  probes: number;
  answer: () => Promise<void>;
}

function stage(checks: object, options: Partial<CheckOptions> = {}): Staged {
  const time = new ManualTime();
  const told: CheckNews[] = [];
  const health = new Health(() => Promise.resolve(), { schedule: time.schedule, clock: time });
  const staged: Staged = { time, told, health, probes: 0, answer: () => Promise.resolve(), check: undefined as never };
  const check = new Check({
    conf: checkConfOf(checks as Record<string, unknown>), schedule: time.schedule, random: () => 0, slack: 0, now: () => time.now(),
    probe: () => { staged.probes++; return staged.answer(); },
    enter: (run) => run(() => undefined), tell: (news) => told.push(news), counted: () => undefined, ...options,
  });
  Object.assign(staged, { check });
  health.watch(check);
  return staged;
}

const refused = (): Promise<void> => Promise.reject(new Error('connect ECONNREFUSED'));
const often = { active: { type: 'tcp', healthy: { interval: 2 }, unhealthy: { interval: 5, tcp_failures: 1 } } };

test('probes begin at once, and go on at the interval of the state', async () => {
  const staged = stage(often);
  await staged.time.advance(0);
  expect(staged.probes).toBe(1);
  await staged.time.advance(4000);
  expect(staged.probes).toBe(3);
  staged.answer = refused;
  await staged.time.advance(2000);
  expect(staged.health.available).toBe(false);
  expect(staged.health.reason).toBe('connect ECONNREFUSED');
  await staged.time.advance(9999);
  expect(staged.probes).toBe(5);
  await staged.time.advance(1);
  expect(staged.probes).toBe(6);
});

test('a probe that never answers has failed when its time is over, and its late answer changes nothing', async () => {
  const staged = stage({ active: { type: 'tcp', timeout: 1, unhealthy: { timeouts: 1 } } });
  const late = Promise.withResolvers<void>();
  staged.answer = () => late.promise;
  await staged.time.advance(1000);
  expect(staged.check.status).toMatchObject({ status: 'unhealthy', lastError: 'no answer in 1 s' });
  late.resolve();
  await staged.time.advance(0);
  expect(staged.check.status.status).toBe('unhealthy');
});

test('with checks but no passive ones, clients\' failures take nobody out', async () => {
  const staged = stage(often);
  await staged.time.advance(0);
  for (let n = 0; n < 10; n++) staged.health.failed(new ProxyError('CONNECT_FAILED'));
  expect(staged.health.available).toBe(true);
});

test('passive checks tell failures of connections from timeouts, and both from answers', async () => {
  const passive = { unhealthy: { tcp_failures: 2, timeouts: 3, protocol_failures: 4 } };
  const failures: [cause: unknown, times: number, counter: string][] = [
    [new ProxyError('CONNECT_FAILED'), 2, 'tcp_failure'], [new ProxyError('CONNECT_TIMEOUT'), 3, 'timeout_failure'],
    [new ProxyError('UPSTREAM_TIMEOUT'), 3, 'timeout_failure'], [new ProbeFailure('protocol', 'LOADING'), 4, 'protocol_failure'],
  ];
  for (const [cause, times, counter] of failures) {
    const { health, check } = stage({ ...often, passive });
    for (let n = 1; n < times; n++) health.failed(cause);
    expect([counter, health.available]).toEqual([counter, true]);
    health.failed(cause);
    expect([counter, health.available, check.status.counter[counter as 'tcp_failure']]).toEqual([counter, false, times]);
  }
});

test('a worker that hears of another one\'s probe puts its own off, and takes over when nothing more comes', async () => {
  const staged = stage(often, { slack: 250 });
  staged.check.heard({ found: null });
  await staged.time.advance(1349);
  expect(staged.probes).toBe(0);
  const snapshot = { status: 'unhealthy', counter: { success: 0, http_failure: 0, tcp_failure: 1, timeout_failure: 0, protocol_failure: 0 }, lastError: 'refused', checkedAt: 1349 } as const;
  staged.check.heard({ found: snapshot });
  expect(staged.health.available).toBe(false);
  expect(staged.check.status).toMatchObject({ status: 'unhealthy', checkedAt: 1349, nextAt: 1349 + 5250 });
  await staged.time.advance(5249);
  expect(staged.probes).toBe(0);
  await staged.time.advance(1);
  expect(staged.probes).toBe(1);
  expect(staged.told).toHaveLength(2);
});

test('a closed check probes no more', async () => {
  const staged = stage(often);
  await staged.time.advance(0);
  staged.health.close();
  await staged.time.advance(60_000);
  expect([staged.probes, staged.time.timers]).toEqual([1, 0]);
});

test('the defaults that the schema shows are those that are used', () => {
  const shown = (schema: JsonSchema): any => (schema.properties === undefined ? schema.default
    : Object.fromEntries(Object.entries(schema.properties).map(([name, each]) => [name, shown(each)])));
  const { active, passive } = shown(checksSchema);
  const used = checkConfOf({ active: {}, passive: {} });
  expect(checkConfOf({ active, passive })).toEqual({ ...used, written: active });
});
