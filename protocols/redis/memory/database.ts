// One of the 16 numbered databases: keys, their times of expiry, and who watches them.
import { CommandError } from './command-error.ts';
import { emptyValue, isEmpty } from './value.ts';
import type { Value, ValueOf, ValueType } from './value.ts';

/** WATCH: told when a watched key changes. */
export interface Watcher {
  keyChanged(): void;
}

interface Slot {
  /** Rises with each key added, so that the map's order is the serials' order: SCAN's cursors build on it. */
  readonly serial: number;
  value: Value;
}

export class Database {
  readonly index: number;
  readonly #now: () => number;
  readonly #listReady: (database: Database, key: string) => void;
  readonly #watchers = new Map<string, Set<Watcher>>();
  #slots = new Map<string, Slot>();
  #expiries = new Map<string, number>();
  #sweeping: Iterator<[string, number]> | null = null;
  #serial = 0;

  /** `listReady` is told of each new list and sorted set: somebody may be blocked on it. */
  constructor(index: number, now: () => number, listReady: (database: Database, key: string) => void) {
    this.index = index;
    this.#now = now;
    this.#listReady = listReady;
  }

  get size(): number {
    return this.#slots.size;
  }

  get expiringKeys(): number {
    return this.#expiries.size;
  }

  get(key: string): Value | undefined {
    const slot = this.#slots.get(key);
    if (slot === undefined || !this.#expire(key)) return slot?.value;
    return undefined;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** The value when it is of this type; throws WRONGTYPE when it is of another. */
  read<T extends ValueType>(key: string, type: T): ValueOf<T> | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (value.type !== type) throw CommandError.wrongType();
    return value as ValueOf<T>; // narrowed by the line above, which the compiler cannot see through T
  }

  /**
   * Like `read`, but adds an empty value when there is none. The caller must fill it, then call `changed`.
   */
  open<T extends ValueType>(key: string, type: T): ValueOf<T> {
    const found = this.read(key, type);
    if (found !== undefined) return found;
    const value = emptyValue(type);
    this.#put(key, value);
    return value;
  }

  /** Sets a key whatever it held; its time of expiry goes unless `keepExpiry`. */
  store(key: string, value: Value, keepExpiry = false): void {
    if (!keepExpiry) this.#expiries.delete(key);
    this.#put(key, value);
    this.changed(key);
  }

  delete(key: string): boolean {
    if (!this.has(key)) return false;
    this.#remove(key);
    return true;
  }

  /** To be called after each change of a value: drops it when empty and tells the watchers. */
  changed(key: string): void {
    const slot = this.#slots.get(key);
    if (slot !== undefined && isEmpty(slot.value)) {
      this.#slots.delete(key);
      this.#expiries.delete(key);
    }
    this.#tellWatchers(key);
  }

  /** Time of expiry in Unix milliseconds. */
  expiry(key: string): number | undefined {
    return this.#expiries.get(key);
  }

  expireAt(key: string, milliseconds: number): void {
    this.#expiries.set(key, milliseconds);
    this.#tellWatchers(key);
  }

  persist(key: string): boolean {
    if (!this.has(key) || !this.#expiries.delete(key)) return false;
    this.#tellWatchers(key);
    return true;
  }

  *keys(): Generator<string> {
    for (const key of this.#slots.keys()) if (!this.#expire(key)) yield key;
  }

  randomKey(): string | undefined {
    while (this.#slots.size > 0) {
      let skip = Math.floor(Math.random() * this.#slots.size);
      for (const key of this.#slots.keys()) {
        if (skip-- > 0) continue;
        if (!this.#expire(key)) return key;
        break;
      }
    }
    return undefined;
  }

  /** Keys with their serials from `serial` on, in rising order, including keys added meanwhile. */
  *from(serial: number): Generator<{ key: string; serial: number }> {
    const slots = this.#slots;
    for (const [key, slot] of slots) {
      // FLUSHDB or SWAPDB put other keys in place: an old walk ends.
      if (slots !== this.#slots) return;
      if (slot.serial >= serial && !this.#expire(key)) yield { key, serial: slot.serial };
    }
  }

  clear(): void {
    for (const key of this.#watchers.keys()) if (this.#slots.has(key)) this.#tellWatchers(key);
    this.#slots = new Map();
    this.#expiries = new Map();
  }

  /** Exchanges the contents; watchers and blocked clients stay with the number. */
  swap(other: Database): void {
    const touched = (key: string): boolean => this.#slots.has(key) || other.#slots.has(key);
    for (const database of [this, other]) {
      for (const key of database.#watchers.keys()) if (touched(key)) database.#tellWatchers(key);
      database.#sweeping = null;
    }
    [this.#slots, other.#slots] = [other.#slots, this.#slots];
    [this.#expiries, other.#expiries] = [other.#expiries, this.#expiries];
    this.#serial = other.#serial = Math.max(this.#serial, other.#serial);
  }

  /** Removes expired keys among the next `count` that have a time of expiry. */
  sweep(count: number): void {
    for (let looked = 0; looked < count; looked++) {
      this.#sweeping ??= this.#expiries.entries();
      const next = this.#sweeping.next();
      if (next.done === true) {
        this.#sweeping = null;
        return;
      }
      this.#expire(next.value[0]);
    }
  }

  watch(key: string, watcher: Watcher): void {
    const watchers = this.#watchers.get(key);
    if (watchers === undefined) this.#watchers.set(key, new Set([watcher]));
    else watchers.add(watcher);
  }

  unwatch(key: string, watcher: Watcher): void {
    const watchers = this.#watchers.get(key);
    watchers?.delete(watcher);
    if (watchers?.size === 0) this.#watchers.delete(key);
  }

  #put(key: string, value: Value): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) this.#slots.set(key, { serial: this.#serial++, value });
    else slot.value = value;
    if (value.type === 'list' || value.type === 'zset') this.#listReady(this, key);
  }

  #remove(key: string): void {
    this.#slots.delete(key);
    this.#expiries.delete(key);
    this.#tellWatchers(key);
  }

  /** Removes the key when its time has come. */
  #expire(key: string): boolean {
    const at = this.#expiries.get(key);
    if (at === undefined || at > this.#now()) return false;
    this.#remove(key);
    return true;
  }

  #tellWatchers(key: string): void {
    const watchers = this.#watchers.get(key);
    if (watchers !== undefined) for (const watcher of watchers) watcher.keyChanged();
  }
}
