// A thread that takes and gives back as fast as it can, and notes the most that all threads ever had of `x` together.
import { parentPort, workerData } from 'node:worker_threads';
import { SharedOccupancy } from '../../core/occupancy.ts';
import type { Occupied } from '../../core/plugin.ts';

const { buffer, most, worker, limit } = workerData as { buffer: SharedArrayBuffer; most: SharedArrayBuffer; worker: number; limit: number };
const occupancy = new SharedOccupancy(buffer, worker);
/** How many are held now, and the most that ever were. */
const seen = new Int32Array(most);
const held: Occupied[] = [];
const others: Occupied[] = [];
let taken = 0;

const until = performance.now() + 1500;
for (let i = 0; performance.now() < until; i++) {
  // Keys that come and go make slots change hands.
  if (others.length > 3) occupancy.give(others.shift()!);
  const other = occupancy.take(`other-${worker}-${i % 7}`, 100);
  if (other !== null) others.push(other);
  if (held.length > 0 && i % 3 === 0) {
    Atomics.sub(seen, 0, 1);
    occupancy.give(held.pop()!);
    continue;
  }
  const place = occupancy.take('x', limit);
  if (place === null) continue;
  taken++;
  held.push(place);
  const now = Atomics.add(seen, 0, 1) + 1;
  for (let top = Atomics.load(seen, 1); now > top; top = Atomics.load(seen, 1)) Atomics.compareExchange(seen, 1, top, now);
}
for (const place of held) {
  Atomics.sub(seen, 0, 1);
  occupancy.give(place);
}
for (const place of others) occupancy.give(place);
parentPort!.postMessage(taken);
