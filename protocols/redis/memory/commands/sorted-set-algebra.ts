// Union, intersection and difference of sorted sets; a plain set counts as one with all scores 1.
import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { parseDouble } from '../double.ts';
import { replyScored } from '../scored-reply.ts';
import { SortedSet } from '../sorted-set.ts';
import { readLimit } from './sets.ts';
import type { Call, Command } from '../command.ts';

type Operation = 'union' | 'inter' | 'diff';
type Scores = ReadonlyMap<string, number>;

export const sortedSetAlgebra: readonly Command[] = [
  command('zdiff', -3, 'readonly movablekeys', [0, 0, 0], (call) => reply(call, 'diff')),
  command('zdiffstore', -4, 'write denyoom movablekeys', [1, 1, 1], (call) => store(call, 'diff')),
  command('zinter', -3, 'readonly movablekeys', [0, 0, 0], (call) => reply(call, 'inter')),
  command('zintercard', -3, 'readonly movablekeys', [0, 0, 0], intersectionSize),
  command('zinterstore', -4, 'write denyoom movablekeys', [1, 1, 1], (call) => store(call, 'inter')),
  command('zunion', -3, 'readonly movablekeys', [0, 0, 0], (call) => reply(call, 'union')),
  command('zunionstore', -4, 'write denyoom movablekeys', [1, 1, 1], (call) => store(call, 'union')),
];

function reply(call: Call, operation: Operation): void {
  const sources = readSources(call, 1);
  const options = readOptions(call, sources, operation, true);
  replyScored(call.reply, combine(operation, sources.scores, options).slice(), options.withScores);
}

function store(call: Call, operation: Operation): void {
  const sources = readSources(call, 2);
  const options = readOptions(call, sources, operation, false);
  const members = combine(operation, sources.scores, options);
  const key = call.text(1);
  if (members.size === 0) call.db.delete(key);
  else call.db.store(key, { type: 'zset', members });
  call.reply.integer(members.size);
}

function intersectionSize(call: Call): void {
  const sources = readSources(call, 1);
  const limit = readLimit(call, sources.next);
  call.reply.integer(Math.min(intersect(sources.scores).length, limit));
}

interface Sources {
  readonly scores: readonly Scores[];
  /** First argument behind the keys. */
  readonly next: number;
}

function readSources(call: Call, at: number): Sources {
  const number = call.integer(at);
  if (number < 1) throw new CommandError(`ERR at least 1 input key is needed for '${call.word(0)}' command`);
  const next = at + 1 + number;
  if (next > call.count) throw CommandError.syntax();
  return { scores: call.texts(at + 1, next).map((key) => scoresAt(call, key)), next };
}

function scoresAt(call: Call, key: string): Scores {
  const value = call.db.get(key);
  if (value === undefined) return new Map();
  if (value.type === 'zset') return new Map(value.members.entries());
  if (value.type === 'set') return new Map(Array.from(value.members, (member) => [member, 1]));
  throw CommandError.wrongType();
}

type Join = (a: number, b: number) => number;

const joins: ReadonlyMap<string, Join> = new Map([
  ['sum', (a: number, b: number) => orZero(a + b)], ['min', Math.min], ['max', Math.max],
]);

/** Infinity minus infinity, and infinity times 0, are 0 here: scores are never NaN. */
function orZero(score: number): number {
  return Number.isNaN(score) ? 0 : score;
}

interface Options {
  weights: readonly number[] | null;
  join: Join;
  withScores: boolean;
}

function readOptions(call: Call, { scores, next }: Sources, operation: Operation, replies: boolean): Options {
  const options: Options = { weights: null, join: (a, b) => orZero(a + b), withScores: false };
  for (let i = next; i < call.count; i++) {
    const option = call.word(i);
    if (option === 'weights' && operation !== 'diff' && i + scores.length < call.count) {
      options.weights = scores.map((_, source) => readWeight(call, i + 1 + source));
      i += scores.length;
    } else if (option === 'aggregate' && operation !== 'diff' && i + 1 < call.count) {
      const join = joins.get(call.word(++i));
      if (join === undefined) throw CommandError.syntax();
      options.join = join;
    } else if (option === 'withscores' && replies) {
      options.withScores = true;
    } else {
      throw CommandError.syntax();
    }
  }
  return options;
}

function readWeight(call: Call, index: number): number {
  const weight = parseDouble(call.text(index));
  if (weight === null) throw new CommandError('ERR weight value is not a float');
  return weight;
}

function combine(operation: Operation, sources: readonly Scores[], { weights, join }: Options): SortedSet {
  if (operation === 'diff') return SortedSet.from(subtract(sources));
  const weighted = sources.map((scores, source) => weigh(scores, weights?.[source] ?? 1));
  const names = operation === 'union'
    ? weighted.flatMap((scores) => [...scores.keys()])
    : intersect(weighted);
  const result = new Map<string, number>();
  for (const name of new Set(names)) {
    const scores = weighted.map((source) => source.get(name)).filter((score) => score !== undefined);
    result.set(name, scores.reduce((a, b) => join(a, b)));
  }
  return SortedSet.from(result);
}

function weigh(scores: Scores, weight: number): Scores {
  return new Map(Array.from(scores, ([member, score]) => [member, orZero(score * weight)]));
}

function intersect([first, ...others]: readonly Scores[]): string[] {
  return [...(first?.keys() ?? [])].filter((member) => others.every((other) => other.has(member)));
}

function subtract([first, ...others]: readonly Scores[]): [string, number][] {
  return [...(first ?? [])].filter(([member]) => !others.some((other) => other.has(member)));
}
