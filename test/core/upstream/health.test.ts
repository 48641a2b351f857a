import { expect, test } from 'vitest';
import { ProxyError } from '../../../core/errors.ts';
import { Health, type HealthOptions, type HealthSource } from '../../../core/upstream/health.ts';
import { ManualTime } from './manual-time.ts';

const refused = new Error('connect ECONNREFUSED 127.0.0.1:1');

/** A node's health whose probe is answered as `answers` say; without an answer the probe hangs. */
function watched(answers: ('up' | 'down')[] = [], options: HealthOptions = {}) {
  const time = new ManualTime();
  const probes: number[] = [];
  const signals: AbortSignal[] = [];
  const changes: string[] = [];
  const health = new Health(
    (signal) => {
      probes.push(time.now());
      signals.push(signal);
      const answer = answers.shift();
      if (answer === undefined) return new Promise(() => {});
      return answer === 'up' ? Promise.resolve() : Promise.reject(refused);
    },
    {
      clock: time,
      schedule: time.schedule,
      random: () => 0,
      onChange: (up, reason) => changes.push(`${up ? 'up' : 'down'}: ${reason}`),
      ...options,
    },
  );
  return { health, time, probes, signals, changes };
}

test('a node is available until a connect fails', () => {
  const { health, changes } = watched();
  expect(health.available).toBe(true);
  expect(health.reason).toBeNull();
  health.failed(refused);
  expect(health.available).toBe(false);
  expect(health.reason).toBe('connect ECONNREFUSED 127.0.0.1:1');
  expect(changes).toEqual(['down: connect ECONNREFUSED 127.0.0.1:1']);
});

test('a refused node is probed after the shortest back-off and an answer takes it back', async () => {
  const { health, time, probes, changes } = watched(['up']);
  health.failed(refused);
  await time.advance(19);
  expect(probes).toEqual([]);
  await time.advance(1);
  expect(probes).toEqual([20]);
  expect(health.available).toBe(true);
  expect(changes.at(-1)).toBe('up: the probe was answered');
  expect(time.timers).toBe(0);
});

test('each failed probe doubles the back-off up to the longest', async () => {
  const { health, time, probes } = watched(Array.from({ length: 12 }, () => 'down'));
  health.failed(refused);
  await time.advance(5_540);
  const pauses = probes.map((at, n) => at - (probes[n - 1] ?? 0));
  expect(pauses).toEqual([20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000, 1_000]);
  expect(health.available).toBe(false);
});

test('jitter adds at most as much again and never exceeds the longest back-off', async () => {
  const almostOne = 1 - Number.EPSILON;
  const answers = Array.from({ length: 12 }, () => 'down' as const);
  const { health, time, probes } = watched(answers, { random: () => almostOne });
  health.failed(refused);
  await time.advance(8_000);
  const pauses = probes.map((at, n) => Math.round(at - (probes[n - 1] ?? 0)));
  expect(pauses).toEqual([40, 80, 160, 320, 640, 1_280, 2_000, 2_000]);
});

test('the first back-off stays between 20 and 40 ms whatever the dice say', async () => {
  for (let i = 0; i < 50; i++) {
    const { health, time, probes } = watched(['up'], { random: Math.random });
    health.failed(refused);
    await time.advance(40);
    expect(probes).toHaveLength(1);
    expect(probes[0]).toBeGreaterThanOrEqual(20);
  }
});

test('one probe is under way at a time and a hanging one counts as failed', async () => {
  const { health, time, probes, signals } = watched([], { probeTimeout: 500 });
  health.failed(refused);
  await time.advance(519);
  expect(probes).toEqual([20]);
  expect(signals[0]?.aborted).toBe(false);
  await time.advance(1);
  expect(signals[0]?.aborted).toBe(true);
  expect(health.reason).toBe('the probe got no answer in 500 ms');
  await time.advance(40);
  expect(probes).toEqual([20, 560]);
});

test('a probe that answers after its time was over changes nothing', async () => {
  const slow = Promise.withResolvers<void>();
  const { time, changes } = watched();
  const health = new Health(() => slow.promise, {
    clock: time, schedule: time.schedule, random: () => 0, probeTimeout: 100,
  });
  health.failed(refused);
  await time.advance(120);
  slow.resolve();
  await time.advance(1);
  expect(health.available).toBe(false);
  expect(changes).toEqual([]);
});

test('a probe function that throws is a failed probe', async () => {
  const { time } = watched();
  const broken = (): never => { throw new Error('no route'); };
  const health = new Health(broken, { schedule: time.schedule, random: () => 0 });
  health.failed(refused);
  await time.advance(20);
  expect(health.reason).toBe('no route');
  expect(time.timers).toBe(1);
});

test('many links that fail at once are one failure', async () => {
  const { health, time, probes, changes } = watched(['down']);
  for (let link = 0; link < 10; link++) health.failed(refused);
  await time.advance(20);
  expect(probes).toEqual([20]);
  expect(changes).toHaveLength(1);
  await time.advance(39);
  expect(probes).toHaveLength(1);
});

test('a node that accepts probes but fails its links comes back ever more slowly', async () => {
  const { health, time, probes } = watched(['up', 'up', 'up']);
  for (let round = 0; round < 3; round++) {
    health.failed(new Error('handshake refused'));
    await time.advance(2_000);
  }
  expect(probes).toEqual([20, 2_040, 4_080]);
});

test('after real success the next failure starts with the shortest back-off again', async () => {
  const { health, time, probes } = watched(['down', 'down', 'up', 'up']);
  health.failed(refused);
  await time.advance(1_000);
  health.succeeded();
  health.failed(refused);
  await time.advance(20);
  expect(probes.at(-1)).toBe(1_020);
  expect(health.available).toBe(true);
});

test('a connection that succeeds while the node is out takes it back at once', async () => {
  const { health, time, probes, changes } = watched();
  health.failed(refused);
  health.succeeded();
  expect(health.available).toBe(true);
  expect(changes.at(-1)).toBe('up: connected');
  await time.advance(5_000);
  expect(probes).toEqual([]);
});

test('close ends the timer and the probe and tells nothing more', async () => {
  const waiting = watched();
  waiting.health.failed(refused);
  waiting.health.close();
  expect(waiting.time.timers).toBe(0);

  const probing = watched();
  probing.health.failed(refused);
  await probing.time.advance(20);
  probing.health.close();
  expect(probing.signals[0]?.aborted).toBe(true);
  expect(probing.time.timers).toBe(0);
  probing.health.failed(refused);
  probing.health.succeeded();
  expect(probing.changes).toHaveLength(1);
});

test('the time since when a node is out is the clock’s', async () => {
  const { health, time } = watched(['up']);
  await time.advance(300);
  health.failed(refused);
  expect(health.downSince).toBe(300);
  await time.advance(20);
  expect(health.downSince).toBeNull();
});

test('every failure that counts is reported, probes too', async () => {
  const failures: unknown[] = [];
  const { health, time } = watched(['down', 'up'], { onFailed: (cause) => failures.push(cause) });
  health.failed(refused);
  health.failed(refused);
  await time.advance(60);
  expect(failures).toEqual([refused, refused]);
});

test('an error of several addresses says what each of them answered', () => {
  const { health } = watched();
  health.failed(new AggregateError([new Error('connect ECONNREFUSED ::1:1'), refused]));
  expect(health.reason).toBe('connect ECONNREFUSED ::1:1, connect ECONNREFUSED 127.0.0.1:1');
});

test('the reason names the cause behind a proxy error, cut to one line’s length', () => {
  const { health } = watched();
  health.failed(new ProxyError('CONNECT_FAILED', undefined, { cause: refused }));
  expect(health.reason).toBe('failed to connect to upstream: connect ECONNREFUSED 127.0.0.1:1');
  const other = watched().health;
  other.failed(new Error('x'.repeat(10_000)));
  expect(other.reason).toHaveLength(300);
});

/** An active check whose verdict the test gives. */
class Check implements HealthSource {
  report: (up: boolean, reason: string) => void = () => {};
  closed = false;

  start(report: (up: boolean, reason: string) => void): void {
    this.report = report;
  }

  close(): void {
    this.closed = true;
  }
}

test('an active check takes a node out and back', () => {
  const { health, changes } = watched();
  const check = new Check();
  health.watch(check);
  expect(health.available).toBe(true);
  check.report(false, 'LOADING');
  check.report(false, 'LOADING');
  expect(health.available).toBe(false);
  expect(health.reason).toBe('LOADING');
  check.report(true, 'PONG');
  expect(health.available).toBe(true);
  expect(changes).toEqual(['down: LOADING', 'up: PONG']);
});

test('a node is available only while all its judges agree', async () => {
  const { health, time } = watched(['up']);
  const check = new Check();
  health.watch(check);
  health.failed(refused);
  check.report(false, 'MASTERDOWN');
  await time.advance(20);
  expect(health.available).toBe(false);
  expect(health.reason).toBe('MASTERDOWN');
  check.report(true, 'PONG');
  expect(health.available).toBe(true);
});

test('a check that is removed is closed and its refusal forgotten', () => {
  const { health } = watched();
  const check = new Check();
  const remove = health.watch(check);
  check.report(false, 'LOADING');
  remove();
  expect(check.closed).toBe(true);
  expect(health.available).toBe(true);
  check.report(false, 'late');
  expect(health.available).toBe(true);
});
