// Random members for HRANDFIELD, SRANDMEMBER and ZRANDMEMBER.
import { CommandError } from './command-error.ts';
import { INT64_MAX } from './integer.ts';
import type { Call } from './command.ts';

/** More repeated members than this would be a reply of gigabytes: refused like a count out of range. */
const MAX_REPEATED = 10_000_000;

/** `count` different items at most; for a negative count exactly so many, repeated at will. */
export function sample<T>(items: readonly T[], count: number): T[] {
  if (items.length === 0 || count === 0) return [];
  if (count > 0) return shuffle(items, Math.min(count, items.length));
  if (-count > MAX_REPEATED) throw new CommandError('ERR value is out of range');
  return Array.from({ length: -count }, () => items[Math.floor(Math.random() * items.length)] as T);
}

function shuffle<T>(items: readonly T[], count: number): T[] {
  const left = [...items];
  for (let i = 0; i < count; i++) {
    const pick = i + Math.floor(Math.random() * (left.length - i));
    [left[i], left[pick]] = [left[pick] as T, left[i] as T]; // both indices are within the array
  }
  return left.slice(0, count);
}

/** Reads `count [WITHVALUES | WITHSCORES]`. */
export function readSampleCount(
  call: Call, pairWord: string,
): { readonly count: number; readonly paired: boolean } {
  const count = readRange(call, 2);
  if (call.count > 4 || (call.count === 4 && call.word(3) !== pairWord)) throw CommandError.syntax();
  const paired = call.count === 4;
  if (paired && Math.abs(count) > Number(INT64_MAX / 2n)) throw new CommandError('ERR value is out of range');
  return { count, paired };
}

/** A 64-bit integer except the smallest, which has no negative. */
export function readRange(call: Call, index: number): number {
  if (call.int64(index) < -INT64_MAX) {
    throw new CommandError(`ERR value is out of range, value must between ${-INT64_MAX} and ${INT64_MAX}`);
  }
  return call.integer(index);
}
