import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { SharedOccupancy } from '../../core/occupancy.ts';
import type { Occupied } from '../../core/plugin.ts';

test('places are counted over all workers, and what was taken is given back', () => {
  const buffer = SharedOccupancy.allocate(2, 64);
  const [a, b] = [new SharedOccupancy(buffer, 0), new SharedOccupancy(buffer, 1)];
  const first = a.take('x', 3)!;
  expect([first.used, b.take('x', 3)?.used, a.take('x', 3)?.used, b.take('x', 3)]).toEqual([1, 2, 3, null]);
  expect(b.take('y', 1)?.used).toBe(1);
  a.give(first);
  expect([a.used('x'), b.take('x', 3)?.used, a.take('x', 3)]).toEqual([2, 3, null]);
});

test('what a dead worker held is free again, what the others hold is not', () => {
  const buffer = SharedOccupancy.allocate(2, 64);
  const [a, b] = [new SharedOccupancy(buffer, 0), new SharedOccupancy(buffer, 1)];
  for (let i = 0; i < 5; i++) a.take('x', 10);
  b.take('x', 10);
  SharedOccupancy.clear(buffer, 0);
  expect([b.used('x'), new SharedOccupancy(buffer, 0).take('x', 2)?.used, b.take('x', 2)]).toEqual([1, 2, null]);
});

test('a thousand keys in a small table take and give at random, and nothing is left over', () => {
  const buffer = SharedOccupancy.allocate(3, 64);
  const workers = [0, 1, 2].map((worker) => new SharedOccupancy(buffer, worker));
  let state = 7;
  const random = (n: number): number => {
    state = Math.imul(state, 1103515245) + 12345;
    return ((state >>> 8) % n + n) % n;
  };
  const held: { key: string; worker: number; place: Occupied }[] = [];
  for (let i = 0; i < 20_000; i++) {
    if (held.length > 0 && random(2) === 0) {
      const [{ worker, place }] = held.splice(random(held.length), 1) as [(typeof held)[number]];
      workers[worker]!.give(place);
      continue;
    }
    const [key, worker] = [`key-${random(1000)}`, random(3)];
    const place = workers[worker]!.take(key, 4);
    // Too strict where the table is full, never too lax.
    expect(held.filter((each) => each.key === key).length).toBeLessThan(place === null ? 5 : 4);
    if (place !== null) held.push({ key, worker, place });
  }
  for (const { worker, place } of held) workers[worker]!.give(place);
  expect([...new Int32Array(buffer)].slice(4).filter((_, i) => i % 6 >= 3).every((cell) => cell === 0)).toBe(true);
});

test('a key that had to share is not let in twice when there is room for it later', () => {
  const occupancy = new SharedOccupancy(SharedOccupancy.allocate(1, 16), 0);
  const others = Array.from({ length: 16 }, (_, i) => occupancy.take(`other-${i}`, 1)!);
  const mine = [occupancy.take('mine', 3), occupancy.take('mine', 3)];
  expect(mine.map((each) => each?.used)).toEqual([1, 2]);
  for (const each of others) occupancy.give(each);
  expect(occupancy.take('mine', 3)?.used).toBe(3);
  expect(occupancy.take('mine', 3)).toBe(null);
  occupancy.give(mine[0]!);
  expect(occupancy.take('mine', 3)?.used).toBe(3);
});

test('threads that take and give at the same time never have more than the limit together', { timeout: 30_000 }, async () => {
  const workers = 3;
  const buffer = SharedOccupancy.allocate(workers, 16);
  const most = new SharedArrayBuffer(8);
  const threads = Array.from({ length: workers }, (_, worker) => new Worker(
    new URL('occupancy-hammer.ts', import.meta.url), { workerData: { buffer, most, worker, limit: 5 } }));
  const results = await Promise.all(threads.map(async (thread) => (await once(thread, 'message'))[0] as number));
  for (const taken of results) expect(taken).toBeGreaterThan(1000);
  expect(new Int32Array(most)[1]).toBeGreaterThan(1);
  expect(new Int32Array(most)[1]).toBeLessThanOrEqual(5);
  expect(new SharedOccupancy(buffer, 0).used('x')).toBe(0);
  await Promise.all(threads.map((thread) => thread.terminate()));
});
