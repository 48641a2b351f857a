import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { byLex, byRank, byScore } from '../score-range.ts';
import { replyScored } from '../scored-reply.ts';
import { SortedSet } from '../sorted-set.ts';
import type { Call, Command } from '../command.ts';
import type { RangeOf } from '../score-range.ts';
import type { Scored } from '../sorted-set.ts';

type By = 'rank' | 'score' | 'lex';

/** What a command of the family fixes; null leaves it to the options. */
interface Form {
  readonly by: By | null;
  readonly reverse: boolean | null;
  /** Place of the source key; min and max follow. */
  readonly at: 1 | 2;
}

export const sortedSetRanges: readonly Command[] = [
  command('zcount', 4, 'readonly fast', [1, 1, 1], (call) => count(call, byScore)),
  command('zlexcount', 4, 'readonly fast', [1, 1, 1], (call) => count(call, byLex)),
  range('zrange', -4, { by: null, reverse: null, at: 1 }),
  range('zrangebylex', -4, { by: 'lex', reverse: false, at: 1 }),
  range('zrangebyscore', -4, { by: 'score', reverse: false, at: 1 }),
  command('zrangestore', -5, 'write denyoom', [1, 2, 1], store),
  command('zremrangebylex', 4, 'write', [1, 1, 1], (call) => remove(call, byLex(call.text(2), call.text(3)))),
  command('zremrangebyrank', 4, 'write', [1, 1, 1], (call) =>
    remove(call, byRank(call.integer(2), call.integer(3)))),
  command('zremrangebyscore', 4, 'write', [1, 1, 1], (call) =>
    remove(call, byScore(call.text(2), call.text(3)))),
  range('zrevrange', -4, { by: 'rank', reverse: true, at: 1 }),
  range('zrevrangebylex', -4, { by: 'lex', reverse: true, at: 1 }),
  range('zrevrangebyscore', -4, { by: 'score', reverse: true, at: 1 }),
];

function range(name: string, arity: number, form: Form): Command {
  return command(name, arity, 'readonly', [1, 1, 1], (call) => {
    const query = readQuery(call, form);
    replyScored(call.reply, select(call, form, query), query.withScores);
  });
}

function store(call: Call): void {
  const form: Form = { by: null, reverse: null, at: 2 };
  const found = select(call, form, readQuery(call, form));
  const key = call.text(1);
  const members = SortedSet.from(found.map(({ member, score }) => [member, score]));
  if (members.size === 0) call.db.delete(key);
  else call.db.store(key, { type: 'zset', members });
  call.reply.integer(found.length);
}

interface Query {
  readonly ranks: RangeOf;
  readonly reverse: boolean;
  readonly offset: number;
  readonly limit: number;
  readonly withScores: boolean;
}

/** As given; null: neither the command nor an option has said. */
interface Options {
  by: By | null;
  reverse: boolean | null;
  offset: number;
  limit: number;
  withScores: boolean;
}

function readQuery(call: Call, form: Form): Query {
  const options = readOptions(call, form);
  const by = options.by ?? 'rank';
  const reverse = options.reverse ?? false;
  if (options.limit !== -1 && by === 'rank') {
    throw new CommandError(
      'ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX',
    );
  }
  if (options.withScores && by === 'lex') {
    throw new CommandError('ERR syntax error, WITHSCORES not supported in combination with BYLEX');
  }
  const [first, last] = [form.at + 1, form.at + 2];
  const [low, high] = reverse && by !== 'rank' ? [last, first] : [first, last];
  const ranks = by === 'rank'
    ? byRank(call.integer(first), call.integer(last), reverse)
    : (by === 'score' ? byScore : byLex)(call.text(low), call.text(high));
  return { ...options, reverse, ranks };
}

function readOptions(call: Call, form: Form): Options {
  const options: Options = {
    by: form.by, reverse: form.reverse, offset: 0, limit: -1, withScores: false,
  };
  for (let i = form.at + 3; i < call.count; i++) {
    const option = call.word(i);
    if (option === 'withscores' && form.at === 1) options.withScores = true;
    else if (option === 'limit' && i + 2 < call.count) {
      options.offset = call.integer(++i);
      options.limit = call.integer(++i);
    } else if (option === 'rev' && options.reverse === null) options.reverse = true;
    else if (option === 'bylex' && options.by === null) options.by = 'lex';
    else if (option === 'byscore' && options.by === null) options.by = 'score';
    else throw CommandError.syntax();
  }
  return options;
}

function select(call: Call, form: Form, { ranks, reverse, offset, limit }: Query): Scored[] {
  const members = call.db.read(call.text(form.at), 'zset')?.members;
  // Redis counts a negative offset down past the end of the range.
  if (members === undefined || offset < 0) return [];
  const { start, end } = ranks(members);
  const found = members.slice(start, end);
  if (reverse) found.reverse();
  return limit < 0 ? found.slice(offset) : found.slice(offset, offset + limit);
}

function count(call: Call, by: (min: string, max: string) => RangeOf): void {
  const ranks = by(call.text(2), call.text(3));
  const members = call.db.read(call.text(1), 'zset')?.members;
  if (members === undefined) return call.reply.integer(0);
  const { start, end } = ranks(members);
  call.reply.integer(Math.max(end - start, 0));
}

function remove(call: Call, ranks: RangeOf): void {
  const key = call.text(1);
  const members = call.db.read(key, 'zset')?.members;
  if (members === undefined) return call.reply.integer(0);
  const { start, end } = ranks(members);
  const removed = members.removeRanks(start, end).length;
  if (removed > 0) call.db.changed(key);
  call.reply.integer(removed);
}
