// What a client knows of its own keys. A write without an answer may still come true at any later time (its bytes may
// be on the way on a connection that was given up), so such values stay possible for good.
import type { Dice } from '../support/dice.ts';
import { brief } from '../support/oracle-kinds.ts';
import type { Value } from '../support/resp.ts';
import { same } from './step.ts';

export class KeyModel {
  readonly key: string;
  readonly database: number;
  current: Buffer | null = null;
  readonly possible: (Buffer | null)[] = [];

  constructor(key: string, database: number) {
    this.key = key;
    this.database = database;
  }

  get sure(): boolean { return this.possible.length === 0; }
  unknown(value: Buffer | null): void { this.possible.push(value); }
  /** Also what was there before may be there still, or again. */
  fits(reply: Value): boolean {
    return same(reply, this.current) || this.possible.some((value) => same(reply, value));
  }

  get shown(): string { return this.current === null ? 'null' : brief(this.current); }
}

/** Values that name whom they belong to and look like protocol inside. */
export function valueOf(mark: string, bytes: number): Buffer {
  return Buffer.alloc(bytes, `${mark};\r\n$5\r\n*1\r\n:7\r\n+OK\r\n-ERR x\r\n`);
}

/** Mostly small, now and then huge: 80 % up to 128 bytes, 15 % up to 16 KiB, 4.5 % up to 256 KiB, rarely the most. */
export function sizeOf(dice: Dice, largest: number): number {
  const roll = dice.next();
  const top = roll < 0.8 ? 128 : roll < 0.95 ? 16_384 : roll < 0.995 ? 262_144 : largest;
  return dice.between(0, Math.min(top, largest));
}
