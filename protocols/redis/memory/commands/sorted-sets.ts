import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { readSampleCount, sample } from '../sample.ts';
import { replyScored } from '../scored-reply.ts';
import type { Call, Command } from '../command.ts';
import type { SortedSet } from '../sorted-set.ts';

export const sortedSets: readonly Command[] = [
  command('zadd', -4, 'write denyoom fast', [1, 1, 1], (call) => add(call, false)),
  command('zcard', 2, 'readonly fast', [1, 1, 1], (call) => call.reply.integer(membersAt(call)?.size ?? 0)),
  command('zincrby', 4, 'write denyoom fast', [1, 1, 1], (call) => add(call, true)),
  command('zmscore', -3, 'readonly fast', [1, 1, 1], scores),
  command('zrandmember', -2, 'readonly', [1, 1, 1], randomMember),
  command('zrank', 3, 'readonly fast', [1, 1, 1], (call) => rank(call, false)),
  command('zrem', -3, 'write fast', [1, 1, 1], remove),
  command('zrevrank', 3, 'readonly fast', [1, 1, 1], (call) => rank(call, true)),
  command('zscore', 3, 'readonly fast', [1, 1, 1], (call) =>
    replyScore(call, membersAt(call)?.score(call.text(2)))),
];

function membersAt(call: Call): SortedSet | undefined {
  return call.db.read(call.text(1), 'zset')?.members;
}

function replyScore(call: Call, score: number | undefined): void {
  if (score === undefined) call.reply.nil();
  else call.reply.double(score);
}

type AddFlag = 'nx' | 'xx' | 'gt' | 'lt' | 'ch' | 'incr';
type AddFlags = Record<AddFlag, boolean>;

function isFlag(word: string): word is AddFlag {
  return ['nx', 'xx', 'gt', 'lt', 'ch', 'incr'].includes(word);
}

/** ZINCRBY is ZADD with INCR set, and like in Redis reads options all the same. */
function add(call: Call, incr: boolean): void {
  const flags: AddFlags = { nx: false, xx: false, gt: false, lt: false, ch: false, incr };
  let start = 2;
  for (let word = call.word(start); isFlag(word); word = call.word(++start)) flags[word] = true;
  const elements = call.count - start;
  if (elements === 0 || elements % 2 === 1) throw CommandError.syntax();
  checkFlags(flags, elements / 2);
  const pairs: [string, number][] = [];
  for (let i = start; i < call.count; i += 2) pairs.push([call.text(i + 1), call.double(i)]);
  addPairs(call, flags, pairs);
}

function checkFlags({ nx, xx, gt, lt, incr }: AddFlags, pairs: number): void {
  if (nx && xx) throw new CommandError('ERR XX and NX options at the same time are not compatible');
  if ((gt && nx) || (lt && nx) || (gt && lt)) {
    throw new CommandError('ERR GT, LT, and/or NX options at the same time are not compatible');
  }
  if (incr && pairs > 1) throw new CommandError('ERR INCR option supports a single increment-element pair');
}

function addPairs(call: Call, flags: AddFlags, pairs: readonly (readonly [string, number])[]): void {
  const key = call.text(1);
  if (flags.xx && membersAt(call) === undefined) return flags.incr ? call.reply.nil() : call.reply.integer(0);
  const { members } = call.db.open(key, 'zset');
  const counts = { added: 0, updated: 0 };
  let last: number | null = null;
  try {
    for (const [member, score] of pairs) last = addOne(members, flags, member, score, counts);
  } finally {
    // Setting the score that a member has is no change for those who watch the key.
    if (counts.added + counts.updated > 0) call.db.changed(key);
  }
  if (!flags.incr) call.reply.integer(flags.ch ? counts.added + counts.updated : counts.added);
  else replyScore(call, last ?? undefined);
}

/** Returns the score that the member has now; null when the flags forbid the change. */
function addOne(
  members: SortedSet, flags: AddFlags, member: string, given: number,
  counts: { added: number; updated: number },
): number | null {
  const old = members.score(member);
  if (old === undefined) {
    if (flags.xx) return null;
    members.set(member, given);
    counts.added++;
    return given;
  }
  if (flags.nx) return null;
  const score = flags.incr ? old + given : given;
  if (Number.isNaN(score)) throw new CommandError('ERR resulting score is not a number (NaN)');
  if ((flags.lt && score >= old) || (flags.gt && score <= old)) return null;
  if (score !== old) {
    members.set(member, score);
    counts.updated++;
  }
  return score;
}

function scores(call: Call): void {
  const members = membersAt(call);
  call.reply.array(call.count - 2);
  for (const member of call.texts(2)) replyScore(call, members?.score(member));
}

function rank(call: Call, reverse: boolean): void {
  const members = membersAt(call);
  const found = members?.rank(call.text(2));
  if (members === undefined || found === undefined) return call.reply.nil();
  call.reply.integer(reverse ? members.size - 1 - found : found);
}

function remove(call: Call): void {
  const members = membersAt(call);
  const removed = members === undefined ? 0 : call.texts(2).filter((member) => members.delete(member)).length;
  if (removed > 0) call.db.changed(call.text(1));
  call.reply.integer(removed);
}

function randomMember(call: Call): void {
  if (call.count === 2) return call.reply.bulkOrNil(sample(membersAt(call)?.slice() ?? [], 1)[0]?.member);
  const { count, paired } = readSampleCount(call, 'withscores');
  replyScored(call.reply, sample(membersAt(call)?.slice() ?? [], count), paired);
}
