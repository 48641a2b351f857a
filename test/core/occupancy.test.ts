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
