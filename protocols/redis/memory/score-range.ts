// Ranges of a sorted set: by rank, by score, by bytes. Each is turned into ranks, from `start` up to, not
// including, `end`.
import { CommandError } from './command-error.ts';
import { parseDouble } from './double.ts';
import type { SortedSet } from './sorted-set.ts';

export interface RankRange {
  readonly start: number;
  readonly end: number;
}

export type RangeOf = (members: SortedSet) => RankRange;

/** `fromEnd`: rank 0 is the highest score. */
export function byRank(first: number, last: number, fromEnd = false): RangeOf {
  return ({ size }) => {
    const start = Math.max(first < 0 ? size + first : first, 0);
    const end = Math.min((last < 0 ? size + last : last) + 1, size);
    if (start >= end) return { start: 0, end: 0 };
    return fromEnd ? { start: size - end, end: size - start } : { start, end };
  };
}

export function byScore(min: string, max: string): RangeOf {
  const [low, high] = [scoreBound(min), scoreBound(max)];
  return (members) => ({
    start: members.firstRank(({ score }) => (low.open ? score <= low.value : score < low.value)),
    end: members.firstRank(({ score }) => (high.open ? score < high.value : score <= high.value)),
  });
}

export function byLex(min: string, max: string): RangeOf {
  const [low, high] = [lexBound(min), lexBound(max)];
  return (members) => ({
    start: members.firstRank(({ member }) => isBelow(member, low, false)),
    end: members.firstRank(({ member }) => isBelow(member, high, true)),
  });
}

interface ScoreBound { readonly value: number; readonly open: boolean }

/** strtod, which skips leading spaces and reads nothing as 0: Redis does not forbid either here. */
function scoreBound(text: string): ScoreBound {
  const open = text.startsWith('(');
  const number = (open ? text.slice(1) : text).replace(/^[ \t\n\v\f\r]+/, '');
  const value = number === '' ? 0 : parseDouble(number);
  if (value === null) throw new CommandError('ERR min or max is not a float');
  return { value, open };
}

type LexBound = '-' | '+' | { readonly value: string; readonly open: boolean };

function lexBound(text: string): LexBound {
  if (text === '-' || text === '+') return text;
  const mark = text[0];
  if (mark === '(' || mark === '[') return { value: text.slice(1), open: mark === '(' };
  throw new CommandError('ERR min or max not valid string range item');
}

/** Whether the member lies before the bound; `inclusive`: a closed bound's own member counts as before it. */
function isBelow(member: string, bound: LexBound, inclusive: boolean): boolean {
  if (bound === '-') return false;
  if (bound === '+') return true;
  if (member === bound.value) return inclusive !== bound.open;
  return member < bound.value;
}
