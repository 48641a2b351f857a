// Rate limit windows in shared memory: synchronous, and exact over all workers.
//
//   bucket = 16 slots, chosen by hash          a column per fact, so that a bucket's tags are one cache line
//   ┌ tag ─ check ─ count ─ before ─ end ─ free ┐
//
// Taking is one compare-and-swap of `count`, which orders the plain loads before and after it. Only what happens
// once per key and window (a new key, the next window) takes the bucket's lock. A key whose bucket is full of live
// windows shares one window with all others in that situation and with the same limit: too strict for them, but
// memory is bounded and nobody's count is forgotten, so a flood of keys cannot buy anyone a fresh limit.
// `overflows` says how often it happened.
import { randomInt } from 'node:crypto';
import { threadId } from 'node:worker_threads';
import { KeyHash } from './key-hash.ts';
import type { WindowTable } from './plugin.ts';
import { lock, unlock } from './shared-lock.ts';

const bucketSlots = 16;
const headerWords = 16;
const seedWord = 0;
const overflowWord = 1;
const owner = threadId + 1;

export interface WindowOptions {
  /** What to add to `now` of this thread so that all threads mean the same time; default: the system's. */
  readonly origin?: number;
}

export class SharedWindows implements WindowTable {
  readonly #header: Int32Array;
  readonly #locks: Int32Array;
  /** Low half of the id's hash, 0: never used. Written last, so that a slot without it is not seen. */
  readonly #tags: Int32Array;
  readonly #checks: Int32Array;
  readonly #counts: Int32Array;
  /** Count of the window before; sliding windows only. */
  readonly #before: Int32Array;
  // Times are plain 64-bit loads and stores, which do not tear on the 64-bit machines that Node supports.
  /** When the window ends; NaN while it is moved on. */
  readonly #ends: Float64Array;
  /** From when on the slot may serve another id. */
  readonly #free: Float64Array;
  readonly #buckets: number;
  readonly #key: KeyHash;
  readonly #origin: number;
  /** The id being handled, which `#key` is of. */
  #hashed: string | null = null;
  /** Where that id was found last; -1: nowhere yet. */
  #slot = -1;

  /** Memory for about `slots` windows (32 bytes each); make it once and hand it to every worker. */
  static allocate(slots = 65_536): SharedArrayBuffer {
    const buckets = Math.max(1, Math.ceil(slots / bucketSlots));
    const buffer = new SharedArrayBuffer(layout(buckets).size);
    const header = new Int32Array(buffer, 0, headerWords);
    // Nobody outside can choose keys that fall into one bucket.
    header[seedWord] = randomInt(1, 2 ** 31);
    header[2] = buckets;
    return buffer;
  }

  constructor(buffer: SharedArrayBuffer, options: WindowOptions = {}) {
    this.#header = new Int32Array(buffer, 0, headerWords);
    const buckets = this.#header[2]!;
    const at = layout(buckets);
    // One bucket more, for the windows that are shared when a bucket is full.
    const slots = (buckets + 1) * bucketSlots;
    this.#buckets = buckets;
    this.#key = new KeyHash(this.#header[seedWord]!);
    this.#ends = new Float64Array(buffer, at.ends, slots);
    this.#free = new Float64Array(buffer, at.free, slots);
    this.#tags = new Int32Array(buffer, at.tags, slots);
    this.#checks = new Int32Array(buffer, at.checks, slots);
    this.#counts = new Int32Array(buffer, at.counts, slots);
    this.#before = new Int32Array(buffer, at.before, slots);
    this.#locks = new Int32Array(buffer, at.locks, buckets + 1);
    // performance.now() begins at 0 in every worker; the system's monotonic clock is the same in all of them.
    this.#origin = options.origin ?? Number(process.hrtime.bigint()) / 1e6 - performance.now();
  }

  /** How often an id found no slot, over all workers. */
  get overflows(): number {
    return Atomics.load(this.#header, overflowWord) >>> 0;
  }

  /** A window begins with its first request and lasts `length` ms. */
  takeFixed(id: string, limit: number, length: number, now: number): number {
    const time = now + this.#origin;
    for (;;) {
      this.#hash(id);
      const last = this.#slot;
      // As in `#slotFor`; its arguments would each be a number on the heap.
      const slot = last >= 0 && this.#holds(last) && time < this.#ends[last]!
        ? last : this.#slotFor(time, time + length, time + length, limit, length);
      if (slot < 0) return -1;
      const tag = this.#tags[slot];
      const count = Atomics.load(this.#counts, slot);
      if (count >= limit) return -1;
      if (Atomics.compareExchange(this.#counts, slot, count, count + 1) !== count) continue;
      // Between the look-up and here the slot may have become another id's: give back and look again.
      if (this.#tags[slot] === tag) return limit - count - 1;
      Atomics.sub(this.#counts, slot, 1);
    }
  }

  takeSliding(id: string, limit: number, length: number, now: number): number {
    const time = now + this.#origin;
    const end = (Math.floor(time / length) + 1) * length;
    for (;;) {
      this.#hash(id);
      const slot = this.#slotFor(time, end, end + length, limit, length);
      if (slot < 0) return -1;
      const current = this.#ends[slot]!;
      const count = Atomics.load(this.#counts, slot);
      const left = limit - count - 1 - this.#overlap(slot, current, length, time);
      if (left < 0) return -1;
      if (Atomics.compareExchange(this.#counts, slot, count, count + 1) !== count) continue;
      if (this.#ends[slot] === current) return Math.floor(left);
      Atomics.sub(this.#counts, slot, 1);
    }
  }

  left(id: string, limit: number, length: number, now: number, sliding: boolean): number {
    const time = now + this.#origin;
    this.#hash(id);
    const slot = this.#find(this.#bucketOf(this.#key.tag));
    if (slot < 0 || !(time < this.#free[slot]!)) return limit;
    const count = Atomics.load(this.#counts, slot);
    if (!sliding) return Math.max(0, limit - count);
    const end = this.#ends[slot]!;
    // The window that was counted in is over: it is the window before now.
    const before = time < end ? Atomics.load(this.#before, slot) : count;
    const used = (time < end ? count : 0) + before * weight(time < end ? end : end + length, length, time);
    const left = Math.floor(limit - used);
    // Not a number while another worker moves the window on.
    return left > 0 ? left : 0;
  }

  /** The id begins from zero. */
  forget(id: string): void {
    this.#hash(id);
    const bucket = this.#bucketOf(this.#key.tag);
    lock(this.#locks, bucket, owner);
    const slot = this.#find(bucket);
    if (slot >= 0) Atomics.store(this.#tags, slot, 0);
    unlock(this.#locks, bucket, owner);
  }

  #overlap(slot: number, end: number, length: number, time: number): number {
    return Atomics.load(this.#before, slot) * weight(end, length, time);
  }

  /** The slot of the hashed id, in a window that is not over; -1: even the shared windows are all in use. */
  #slotFor(time: number, end: number, free: number, limit: number, length: number): number {
    const last = this.#slot;
    if (last >= 0 && this.#holds(last) && time < this.#ends[last]!) return last;
    const bucket = this.#bucketOf(this.#key.tag);
    const slot = this.#find(bucket);
    if (slot >= 0 && time < this.#ends[slot]!) {
      this.#slot = slot;
      return slot;
    }
    const made = this.#claim(bucket, time, end, free);
    if (made >= 0) return made;
    Atomics.add(this.#header, overflowWord, 1);
    this.#hash(`${limit} ${length} ${end === free ? 'fixed' : 'sliding'}`);
    const shared = this.#find(this.#buckets);
    if (shared >= 0 && time < this.#ends[shared]!) return shared;
    return this.#claim(this.#buckets, time, end, free);
  }

  /** Whether a slot is (still) the hashed id's. */
  #holds(slot: number): boolean {
    return this.#tags[slot] === this.#key.tag && this.#checks[slot] === this.#key.check;
  }

  #find(bucket: number): number {
    const from = bucket * bucketSlots;
    for (let slot = from; slot < from + bucketSlots; slot++) {
      if (Atomics.load(this.#tags, slot) !== this.#key.tag) continue;
      if (Atomics.load(this.#checks, slot) === this.#key.check) return slot;
    }
    return -1;
  }

  /** Gives the id a slot, or moves its own to the next window. -1: all slots are in use. */
  #claim(bucket: number, time: number, end: number, free: number): number {
    lock(this.#locks, bucket, owner);
    let slot = this.#find(bucket);
    if (slot >= 0) {
      // Another worker may have done it meanwhile.
      if (!(time < this.#ends[slot]!)) this.#advance(slot, time, end, free);
    } else {
      slot = this.#unused(bucket, time);
      if (slot >= 0) this.#fill(slot, end, free);
    }
    unlock(this.#locks, bucket, owner);
    return slot;
  }

  #advance(slot: number, time: number, end: number, free: number): void {
    const usable = time < this.#free[slot]!;
    // Whoever looks now goes for the lock; whoever took just before notices that the end is another.
    this.#ends[slot] = Number.NaN;
    const count = Atomics.exchange(this.#counts, slot, 0);
    Atomics.store(this.#before, slot, usable ? count : 0);
    this.#free[slot] = free;
    this.#ends[slot] = end;
  }

  #unused(bucket: number, time: number): number {
    const from = bucket * bucketSlots;
    for (let slot = from; slot < from + bucketSlots; slot++) {
      if (Atomics.load(this.#tags, slot) === 0 || !(time < this.#free[slot]!)) return slot;
    }
    return -1;
  }

  #fill(slot: number, end: number, free: number): void {
    Atomics.store(this.#tags, slot, 0);
    Atomics.store(this.#checks, slot, this.#key.check);
    Atomics.store(this.#counts, slot, 0);
    Atomics.store(this.#before, slot, 0);
    this.#ends[slot] = end;
    this.#free[slot] = free;
    Atomics.store(this.#tags, slot, this.#key.tag);
  }

  #bucketOf(tag: number): number {
    return (tag >>> 0) % this.#buckets;
  }

  #hash(id: string): void {
    // Requests of one client come in bursts, and comparing a string with itself costs nothing.
    if (id === this.#hashed) return;
    this.#hashed = id;
    this.#slot = -1;
    this.#key.take(id);
  }
}

/** How much of the window before the one that ends at `end` still overlaps the last `length` ms: 0 to 1. */
function weight(end: number, length: number, time: number): number {
  const part = (end - time) / length;
  return part < 0 ? 0 : part > 1 ? 1 : part;
}

type Column = 'ends' | 'free' | 'tags' | 'checks' | 'counts' | 'before' | 'locks';

/** Where each column begins, in bytes. */
function layout(buckets: number): Record<Column | 'size', number> {
  const slots = (buckets + 1) * bucketSlots;
  const ends = headerWords * 4;
  const free = ends + slots * 8;
  const tags = free + slots * 8;
  const checks = tags + slots * 4;
  const counts = checks + slots * 4;
  const before = counts + slots * 4;
  const locks = before + slots * 4;
  return { ends, free, tags, checks, counts, before, locks, size: locks + (buckets + 1) * 4 };
}
