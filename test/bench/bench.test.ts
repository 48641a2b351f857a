import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { folder } from './children.ts';
import { Load, type Measured, type Shape } from './load.ts';
import { measureRounds, median, ratioTo, spread } from './rounds.ts';
import { between, judged, markdownTable } from './table.ts';
import { cpuMicroseconds, residentKib } from './usage.ts';

// The test runner's process does not always live to run its own exit handlers.
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const measured = (requestsPerSecond: number): Measured =>
  ({ requestsPerSecond, cpu: 1, busy: 1, p50: 1, p99: 1 });

describe('rounds', () => {
  test('the first round is not counted, and who begins changes from round to round', async () => {
    const order: string[] = [];
    const rounds = await measureRounds(['a', 'b'], 2, async (name) => {
      order.push(name);
      return measured(order.length);
    });
    expect(order).toEqual(['a', 'b', 'b', 'a', 'a', 'b']);
    expect(rounds.map((round) => round.get('a')!.requestsPerSecond)).toEqual([4, 5]);
  });

  test('a ratio is the median of the ratios within the rounds, not the ratio of medians', () => {
    const rounds = [[100, 200], [10, 30], [1000, 1000]].map(([a, b]) =>
      new Map([['a', measured(a!)], ['b', measured(b!)]]));
    expect(ratioTo(rounds, 'b', 'a', 'throughput')).toBe(2);
    expect(spread(rounds, 'b', 'a', 'throughput')).toEqual([1, 3]);
  });

  test('the median of an even number of values is the mean of the middle two', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([3, 1, 2])).toBe(2);
  });
});

describe('the table', () => {
  test.each([
    [true, 1.1, 1.096, '1.10×', true],
    [true, 1.1, 1.094, '1.09×', false],
    [false, 0.95, 0.954, '0.95×', true],
    [false, 0.95, 0.96, '0.96×', false],
  ])('at least %s, %d: %d is shown as %s and met: %s', (atLeast, value, got, shown, met) => {
    expect(judged({ atLeast, value, digits: 2, unit: '×' }, got)).toMatchObject({ measured: shown, met });
  });

  test('what was not measured or has no fit peer is neither met nor missed', () => {
    const target = { atLeast: true, value: 2, digits: 1 };
    expect(judged(target, null)).toEqual({ target: '≥ 2.0', measured: '–', met: null });
    expect(judged(target, 3, false).met).toBeNull();
  });

  test('it replaces what stands between the markers and nothing else', () => {
    const row = { what: 'x', target: '≥ 1', measured: '2', range: '', others: '', met: true };
    const page = between('a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb\n', markdownTable([row]));
    const table = String.raw`\|.*\n\| --- .*\n\| x \| ≥ 1 \| 2 \|.*met \|`;
    const whole = String.raw`^a\n<!-- bench:begin -->\n${table}\n<!-- bench:end -->\nb\n$`;
    expect(page).toMatch(new RegExp(whole));
    expect(() => between('no markers', 'x')).toThrow('expected <!-- bench:begin -->');
  });
});

const cc = spawnSync('cc', ['--version']).error === undefined;
if (!cc) process.stderr.write('skipped: no C compiler for the load generator\n');

describe.skipIf(!cc)('the load generator', () => {
  const shape: Shape = { op: 'get', connections: 4, depth: 1, bytes: 3 };

  test.each<[string, Shape]>([
    ['GET', shape],
    ['pipelined GET', { ...shape, depth: 16 }],
    ['SET of 64 KiB', { ...shape, op: 'set', bytes: 65_536 }],
    ['GET of 64 KiB', { ...shape, bytes: 65_536 }],
  ])('measures its own stand-in: %s', async (_, each) => {
    await using load = await Load.start(0);
    const result = await load.run(process.pid, load.port, each, 100);
    expect(result.requestsPerSecond).toBeGreaterThan(100);
    expect(result.p50).toBeGreaterThan(0);
    expect(result.p99).toBeGreaterThanOrEqual(result.p50);
  });

  test('holds connections and makes exactly as many requests as asked for', async () => {
    await using load = await Load.start(0);
    await load.hold(load.port, 50);
    expect(await load.fetch(1234)).toBe(1234);
    expect(await load.fetch(7)).toBe(7);
    await load.drop();
    await expect(load.run(process.pid, load.port, shape, 50)).resolves.toBeDefined();
  });

  test.each([
    ['$3\r\nxxy\r\n', 'a wrong reply: $3'],
    ['$3\r\nxxx\r\n$3\r\nxxx\r\n', 'more replies than requests'],
    ['', 'the proxy closed a connection'],
  ])('a proxy that answers %j is found out', async (answer, error) => {
    await using load = await Load.start(0);
    const port = await answering(answer);
    await expect(load.run(process.pid, port, shape, 100)).rejects.toThrow(error);
  });
});

test('what a process uses is read from the kernel', () => {
  const before = cpuMicroseconds(process.pid);
  for (const end = performance.now() + 30; performance.now() < end;);
  expect(cpuMicroseconds(process.pid) - before).toBeGreaterThan(1000);
  expect(residentKib(process.pid) * 1024 / process.memoryUsage.rss()).toBeCloseTo(1, 0);
});

/** A server that answers every chunk so, or closes when there is nothing to answer. */
async function answering(text: string): Promise<number> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => { if (text === '') socket.destroy(); else socket.write(text); });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}
