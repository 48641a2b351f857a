// How many of something are in use now, per key, exact over all workers. What a worker took it gives back, and when it
// dies, its supervisor gives it back for it: each worker has a column of its own.
//
//   slot   [ tag, check, lock │ worker 0, worker 1, … ]     in use: the sum of the row
//
// A slot belongs to a key while its sum is not 0. A key that finds its bucket full of others is counted in a slot that
// many keys share, and whoever may have something there counts all of it as his: too strict for some, but memory is
// bounded and nobody is forgotten. The lock of a bucket is that of its first slot.
import { randomInt } from 'node:crypto';
import { KeyHash } from './key-hash.ts';
import type { Occupied, OccupancyTable } from './plugin.ts';
import { lock, unlock } from './shared-lock.ts';

const bucketSlots = 16;
const header = 4;
const rowHead = 3;

export class SharedOccupancy implements OccupancyTable {
  readonly #cells: Int32Array;
  readonly #worker: number;
  readonly #workers: number;
  readonly #row: number;
  readonly #buckets: number;
  readonly #key: KeyHash;

  /** Memory for about `slots` keys at a time. */
  static allocate(workers: number, slots = 16_384): SharedArrayBuffer {
    const buckets = Math.max(1, Math.ceil(slots / bucketSlots));
    const buffer = new SharedArrayBuffer(4 * (header + (buckets + 1) * bucketSlots * (rowHead + workers)));
    new Int32Array(buffer).set([randomInt(1, 2 ** 31), buckets, workers]);
    return buffer;
  }

  /** Gives back everything that a worker held. It must not run any more. */
  static clear(buffer: SharedArrayBuffer, worker: number): void {
    const cells = new Int32Array(buffer);
    const row = rowHead + cells[2]!;
    for (let at = header; at < cells.length; at += row) {
      Atomics.store(cells, at + rowHead + worker, 0);
      // It may have held the lock.
      Atomics.compareExchange(cells, at + 2, worker + 1, 0);
    }
  }

  constructor(buffer: SharedArrayBuffer, worker: number) {
    this.#cells = new Int32Array(buffer);
    this.#key = new KeyHash(this.#cells[0]!);
    this.#buckets = this.#cells[1]!;
    this.#workers = this.#cells[2]!;
    this.#row = rowHead + this.#workers;
    this.#worker = worker;
  }

  take(id: string, limit: number): Occupied | null {
    const { tag, check, bucket, shared } = this.#place(id);
    const cells = this.#cells;
    this.#lock(bucket);
    const own = this.#find(bucket, tag, check);
    // Always in this order: nobody waits for a bucket while he holds a shared slot.
    if (own < 0) this.#lock(shared);
    const used = (own < 0 ? 0 : this.#used(own)) + this.#used(shared);
    const slot = own < 0 ? shared : own;
    if (used < limit) {
      if (own >= 0) {
        cells[own] = tag;
        cells[own + 1] = check;
      }
      Atomics.add(cells, slot + rowHead + this.#worker, 1);
    }
    if (own < 0) this.#unlock(shared);
    this.#unlock(bucket);
    return used < limit ? { slot, used: used + 1 } : null;
  }

  give({ slot }: Occupied): void {
    // Nobody else writes this cell, but for the supervisor of a worker that is dead.
    const at = slot + rowHead + this.#worker;
    if (this.#cells[at]! > 0) Atomics.sub(this.#cells, at, 1);
  }

  used(id: string): number {
    const { tag, check, bucket, shared } = this.#place(id);
    const own = this.#find(bucket, tag, check);
    return (own < 0 ? 0 : this.#used(own)) + this.#used(shared);
  }

  /** The key's slot in its bucket, else a free one; -1: there is none. */
  #find(bucket: number, tag: number, check: number): number {
    let free = -1;
    for (let i = 0; i < bucketSlots; i++) {
      const slot = bucket + i * this.#row;
      const used = this.#used(slot);
      if (used > 0 && this.#cells[slot] === tag && this.#cells[slot + 1] === check) return slot;
      if (used === 0 && free < 0) free = slot;
    }
    return free;
  }

  #place(id: string): { tag: number; check: number; bucket: number; shared: number } {
    this.#key.take(id);
    const { tag, check } = this.#key;
    const bucket = header + ((tag >>> 0) % this.#buckets) * bucketSlots * this.#row;
    // Behind all buckets.
    const shared = header + (this.#buckets * bucketSlots + ((check >>> 0) % bucketSlots)) * this.#row;
    return { tag, check, bucket, shared };
  }

  #used(slot: number): number {
    let sum = 0;
    for (let i = 0; i < this.#workers; i++) sum += Atomics.load(this.#cells, slot + rowHead + i);
    return sum;
  }

  #lock(slot: number): void {
    lock(this.#cells, slot + 2, this.#worker + 1);
  }

  #unlock(slot: number): void {
    unlock(this.#cells, slot + 2, this.#worker + 1);
  }
}
