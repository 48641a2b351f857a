import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { replyScored } from '../scored-reply.ts';
import type { Call, Command } from '../command.ts';
import type { Scored } from '../sorted-set.ts';

export type ScoreEnd = 'min' | 'max';

export const sortedSetPops: readonly Command[] = [
  command('zmpop', -4, 'write movablekeys', [0, 0, 0], popFromFirst),
  command('zpopmax', -2, 'write fast', [1, 1, 1], (call) => pop(call, 'max')),
  command('zpopmin', -2, 'write fast', [1, 1, 1], (call) => pop(call, 'min')),
];

function take(call: Call, key: string, end: ScoreEnd, count: number): Scored[] {
  const members = call.db.read(key, 'zset')?.members;
  if (members === undefined || count === 0) return [];
  const { size } = members;
  const taken = end === 'min'
    ? members.removeRanks(0, Math.min(count, size))
    : members.removeRanks(Math.max(size - count, 0), size).reverse();
  call.db.changed(key);
  return taken;
}

function pop(call: Call, end: ScoreEnd): void {
  if (call.count > 3) throw CommandError.syntax();
  const count = call.count === 3 ? call.ranged(2, 0, CommandError.notPositive().message) : null;
  const taken = take(call, call.text(1), end, count ?? 1);
  if (count !== null) return replyScored(call.reply, taken, true);
  // Without a count even RESP3 has the pair flat.
  call.reply.array(taken.length * 2);
  for (const { member, score } of taken) {
    call.reply.bulk(member);
    call.reply.double(score);
  }
}

/** BZPOPMIN, BZPOPMAX: key, member, score. */
export function replyScorePop(call: Call, key: string, end: ScoreEnd): void {
  const [entry] = take(call, key, end, 1);
  if (entry === undefined) return call.reply.nilArray();
  call.reply.array(3);
  call.reply.bulk(key);
  call.reply.bulk(entry.member);
  call.reply.double(entry.score);
}

function popFromFirst(call: Call): void {
  const { keys, end, count } = readScoreMultiPop(call, 1);
  for (const key of keys) if (replyScoreMultiPop(call, key, end, count)) return;
  call.reply.nilArray();
}

/** Reads `numkeys key… MIN|MAX [COUNT n]` from argument `at` on. */
export function readScoreMultiPop(
  call: Call, at: number,
): { keys: readonly string[]; end: ScoreEnd; count: number } {
  const number = call.ranged(at, 1, 'ERR numkeys should be greater than 0');
  const where = at + number + 1;
  if (where >= call.count) throw CommandError.syntax();
  const end = call.word(where);
  if (end !== 'min' && end !== 'max') throw CommandError.syntax();
  let count: number | null = null;
  for (let i = where + 1; i < call.count; i += 2) {
    if (call.word(i) !== 'count' || count !== null || i + 1 >= call.count) throw CommandError.syntax();
    count = call.ranged(i + 1, 1, 'ERR count should be greater than 0');
  }
  return { keys: call.texts(at + 1, where), end, count: count ?? 1 };
}

/** Replies with the key and pairs popped from it; false when it holds no sorted set. */
export function replyScoreMultiPop(call: Call, key: string, end: ScoreEnd, count: number): boolean {
  const taken = take(call, key, end, count);
  if (taken.length === 0) return false;
  call.reply.array(2);
  call.reply.bulk(key);
  call.reply.array(taken.length);
  for (const { member, score } of taken) {
    call.reply.array(2);
    call.reply.bulk(member);
    call.reply.double(score);
  }
  return true;
}
