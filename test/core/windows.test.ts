import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { SharedWindows } from '../../core/windows.ts';

function table(slots?: number): SharedWindows {
  return new SharedWindows(SharedWindows.allocate(slots), { origin: 0 });
}

interface Hammer {
  readonly sliding: boolean;
  readonly keys: number;
  readonly limit: number;
  readonly length: number;
  readonly tries: number;
  readonly time: number;
}

/** How often each key was taken by four threads together. */
async function hammer(options: Hammer): Promise<number[]> {
  const buffer = SharedWindows.allocate();
  const start = new Int32Array(new SharedArrayBuffer(4));
  const workers = [1, 3, 7, 11].map((step) => new Worker(
    new URL('./windows-hammer.ts', import.meta.url), { workerData: { ...options, buffer, start, step } }));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const results = workers.map((worker) => once(worker, 'message'));
  Atomics.store(start, 0, 1);
  Atomics.notify(start, 0);
  const taken = (await Promise.all(results)).map(([message]) => message as number[]);
  await Promise.all(workers.map((worker) => worker.terminate()));
  return taken[0]!.map((_, key) => taken.reduce((sum, counts) => sum + counts[key]!, 0));
}

describe('fixed window', () => {
  test('gives what the limit says, and tells what is left', () => {
    const windows = table();
    expect([1, 2, 3, 4].map((now) => windows.takeFixed('a', 3, 1000, now))).toEqual([2, 1, 0, -1]);
    expect(windows.left('a', 3, 1000, 5, false)).toBe(0);
    expect(windows.left('b', 3, 1000, 5, false)).toBe(3);
  });

  test('begins with its first request and begins anew when it is over', () => {
    const windows = table();
    expect([990, 995].map((now) => windows.takeFixed('a', 1, 1000, now))).toEqual([0, -1]);
    expect(windows.takeFixed('a', 1, 1000, 1989)).toBe(-1);
    expect(windows.takeFixed('a', 1, 1000, 1990)).toBe(0);
    expect(windows.left('a', 1, 1000, 2989, false)).toBe(0);
    expect(windows.left('a', 1, 1000, 2990, false)).toBe(1);
  });

  test('ids are counted apart', () => {
    const windows = table();
    for (let i = 0; i < 1000; i++) expect(windows.takeFixed(`k${i}`, 2, 1000, 1)).toBe(1);
    for (let i = 0; i < 1000; i++) expect(windows.left(`k${i}`, 2, 1000, 1, false)).toBe(1);
  });

  test('a window may be a year long', () => {
    const windows = table();
    const year = 365 * 24 * 3600 * 1000;
    expect([0, year / 2, year - 1, year].map((now) => windows.takeFixed('a', 2, year, now))).toEqual([1, 0, -1, 1]);
  });
});

describe('sliding window', () => {
  test('the window before counts as far as it overlaps', () => {
    const windows = table();
    for (let i = 0; i < 10; i++) expect(windows.takeSliding('a', 10, 1000, 1999)).toBe(9 - i);
    expect(windows.takeSliding('a', 10, 1000, 1999)).toBe(-1);
    expect(windows.takeSliding('a', 10, 1000, 2050)).toBe(-1);
    // At 2500 half of the ten are still in view.
    expect(windows.left('a', 10, 1000, 2500, true)).toBe(5);
    expect([0, 1, 2, 3, 4, 5].map(() => windows.takeSliding('a', 10, 1000, 2500))).toEqual([4, 3, 2, 1, 0, -1]);
    expect(windows.left('a', 10, 1000, 2999.999, true)).toBe(4);
  });

  test('a window that was skipped counts as nothing', () => {
    const windows = table();
    for (let i = 0; i < 10; i++) windows.takeSliding('a', 10, 1000, 1500);
    expect(windows.left('a', 10, 1000, 3000, true)).toBe(10);
    expect(windows.takeSliding('a', 10, 1000, 3500)).toBe(9);
  });

  test('a worker whose clock is a little behind counts in the window that others began', () => {
    const windows = table();
    expect(windows.takeSliding('a', 3, 1000, 1000)).toBe(2);
    expect(windows.takeSliding('a', 3, 1000, 999.5)).toBe(1);
    expect(windows.left('a', 3, 1000, 1001, true)).toBe(1);
  });
});

test('a forgotten id begins from zero, and the others do not', () => {
  const windows = table();
  for (const id of ['a', 'b']) windows.takeFixed(id, 5, 1000, 0);
  windows.forget('a');
  windows.forget('unknown');
  expect(windows.left('a', 5, 1000, 1, false)).toBe(5);
  expect(windows.takeFixed('a', 5, 1000, 1)).toBe(4);
  expect(windows.left('b', 5, 1000, 1, false)).toBe(4);
});

describe('memory', () => {
  test('slots of windows that are over serve other ids', () => {
    const windows = table(256);
    for (let i = 0; i < 100_000; i++) expect(windows.takeFixed(`k${i}`, 1, 10, i)).toBe(0);
    expect(windows.overflows).toBe(0);
  });

  test('when all are in use, new ids share one window, known ids keep theirs, and it is counted', () => {
    const windows = table(64);
    expect(windows.takeFixed('known', 100, 1000, 0)).toBe(99);
    let taken = 0;
    for (let i = 0; i < 10_000; i++) if (windows.takeFixed(`k${i}`, 100, 1000, 1) >= 0) taken++;
    expect(taken).toBeGreaterThan(100);
    // At most one per slot and the one shared limit.
    expect(taken).toBeLessThanOrEqual(63 + 100);
    expect(windows.takeFixed('known', 100, 1000, 2)).toBe(98);
    expect(windows.overflows).toBeGreaterThan(9000);
    // Time heals it.
    expect(windows.takeFixed('new', 100, 1000, 2000)).toBe(99);
  });

  test('a million random ids need no more memory than was allocated', () => {
    const buffer = SharedWindows.allocate(1024);
    const windows = new SharedWindows(buffer, { origin: 0 });
    for (let i = 0; i < 1_000_000; i++) windows.takeFixed(`user-${Math.random()}`, 5, 1000, i / 1000);
    expect(buffer.byteLength).toBeLessThan(50_000);
  });
});

describe('four threads', () => {
  test('together take exactly the limit, however hard they try', async () => {
    const taken = await hammer({ sliding: false, keys: 5, limit: 1000, length: 600_000, tries: 200_000, time: 0 });
    expect(taken).toEqual([1000, 1000, 1000, 1000, 1000]);
  });

  test('many keys at once, each exactly once', async () => {
    const taken = await hammer({ sliding: false, keys: 5000, limit: 1, length: 600_000, tries: 50_000, time: 0 });
    expect(taken.every((count) => count === 1)).toBe(true);
  });

  test('a sliding window that nothing came before is exact too', async () => {
    const taken = await hammer({ sliding: true, keys: 3, limit: 5000, length: 1e12, tries: 200_000, time: 1 });
    expect(taken).toEqual([5000, 5000, 5000]);
  });

  test.each([false, true])('keep to the limit while windows pass (sliding: %s)', async (sliding) => {
    const [limit, length] = [50, 20];
    const began = performance.now();
    const taken = await hammer({ sliding, keys: 2, limit, length, tries: 400_000, time: 0 });
    const windows = (performance.now() - began) / length;
    for (const count of taken) {
      expect(count).toBeGreaterThan(limit);
      expect(count).toBeLessThanOrEqual((Math.ceil(windows) + 1) * limit);
    }
  });
});
