// Which arguments of a command are keys. Nearly all follow Redis' key specifications; the few whose keys
// stand behind options are read the way the server reads them, because a specification would be fooled by an
// option's value.
import { type Argument, isWord } from './arguments.ts';
import type { KeySpec } from './facts.ts';
import { type Command, commands, named } from './table.ts';

/** In firstKeyIndex: ask firstKey(). */
export const COMPUTED = 255;

type Finder = (argumentCount: number, argument: Argument) => number[];

const finders = new Map<string, Finder>([
  ['sort', sortKeys],
  ['sort_ro', () => [1]],
  ['migrate', migrateKeys],
  ['georadius', (count, argument) => geoKeys(count, argument, 6)],
  ['georadiusbymember', (count, argument) => geoKeys(count, argument, 5)],
  ['xread', streamKeys],
  ['xreadgroup', streamKeys],
]);

const startsWithKey = new Set(['sort', 'sort_ro', 'georadius', 'georadiusbymember']);

/** By command number: where the first key stands if the arguments are that many; 0: no keys; or COMPUTED. */
export const firstKeyIndex: Uint8Array = Uint8Array.from(commands, constantFirst);

/** By command number: 1 where argument 1 is the key, and the only one, whatever else is there. Most commands. */
export const firstIsOnlyKey: Uint8Array = Uint8Array.from(commands, (command) => {
  const [spec, ...others] = command.keySpecs;
  const only = spec !== undefined && others.length === 0 && spec.index === 1 && (spec.last ?? 0) === 0
    && spec.count === undefined && spec.channel !== true && spec.unknown !== true;
  return only && command.subcommands === null && !finders.has(command.name) ? 1 : 0;
});

/**
 * Argument indexes of the keys, ascending; empty when there are none or the command is malformed where they
 * are named. Every index is below `argumentCount`. A container may be given: its subcommand is looked up.
 */
export function keyIndexes(command: Command, argumentCount: number, argument: Argument): number[] {
  return indexes(named(command, argumentCount, argument), argumentCount, argument, false);
}

/**
 * As keyIndexes, but with the channels of sharded publish and subscribe, which decide the cluster slot as
 * well.
 */
export function slotIndexes(command: Command, argumentCount: number, argument: Argument): number[] {
  return indexes(named(command, argumentCount, argument), argumentCount, argument, true);
}

/** Argument index of the first key, 0 when there is none. */
export function firstKey(command: Command, argumentCount: number, argument: Argument): number {
  const index = firstKeyIndex[command.id]!;
  if (index !== COMPUTED) return index < argumentCount ? index : 0;
  return keyIndexes(command, argumentCount, argument)[0] ?? 0;
}

/** Argument indexes of key patterns that the server fills in with elements: SORT's BY and GET. */
export function keyPatternIndexes(command: Command, argumentCount: number, argument: Argument): number[] {
  if (command.name !== 'sort' && command.name !== 'sort_ro') return [];
  const found: number[] = [];
  walkSort(argumentCount, argument, (option, at) => {
    // BY a pattern without a star means: don't sort; GET # is the element itself.
    const value = argument(at);
    if (option === 'by' ? value.includes('*') : option === 'get' && !isWord(value, '#')) found.push(at);
  });
  return found;
}

/** Whether the command's keys are found: its key specifications are ones that we follow. */
export function keysAreKnown(command: Command): boolean {
  return finders.has(command.name)
    || command.keySpecs.every((spec) => spec.index !== undefined && spec.unknown !== true
      && spec.incomplete !== true);
}

function indexes(command: Command, argumentCount: number, argument: Argument, channels: boolean): number[] {
  const found: number[] = [];
  const finder = finders.get(command.name);
  if (finder !== undefined) return finder(argumentCount, argument).filter((at) => at < argumentCount);
  for (const spec of command.keySpecs) {
    if (spec.channel !== true || channels) follow(spec, argumentCount, argument, found);
  }
  return found;
}

function follow(spec: KeySpec, argumentCount: number, argument: Argument, found: number[]): void {
  const { index = 0, step = 1 } = spec;
  if (index === 0) return;
  if (spec.count === undefined) {
    push(found, index, lastOfRange(spec, index, argumentCount), step, argumentCount);
    return;
  }
  const countAt = index + spec.count;
  const first = index + (spec.first ?? 1);
  if (countAt >= argumentCount) return;
  const last = first + (keyCount(argument(countAt)) - 1) * step;
  // More keys announced than given: the server refuses the whole command.
  if (last < argumentCount) push(found, first, last, step, argumentCount);
}

function lastOfRange(spec: KeySpec, index: number, argumentCount: number): number {
  const { last = 0, limit = 0 } = spec;
  if (last >= 0) return index + last;
  return limit > 1 ? index + Math.floor((argumentCount - index) / limit) + last : argumentCount + last;
}

function push(found: number[], first: number, last: number, step: number, argumentCount: number): void {
  for (let at = first; at <= last && at < argumentCount; at += step) found.push(at);
}

/** A count as the server reads one: digits without sign, space or leading zero; 0 for anything else. */
function keyCount(text: Buffer): number {
  if (text.length === 0 || text.length > 9 || text[0] === 0x30) return 0;
  let count = 0;
  for (const byte of text) {
    if (byte < 0x30 || byte > 0x39) return 0;
    count = count * 10 + (byte - 0x30);
  }
  return count;
}

/**
 * SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC|DESC] [ALPHA] [STORE key]; the last STORE
 * counts.
 */
function sortKeys(argumentCount: number, argument: Argument): number[] {
  let store = 0;
  walkSort(argumentCount, argument, (option, at) => {
    if (option === 'store') store = at;
  });
  return store === 0 ? [1] : [1, store];
}

function walkSort(
  argumentCount: number, argument: Argument, visit: (option: string, at: number) => void,
): void {
  for (let at = 2; at < argumentCount; at++) {
    const option = word(argument(at));
    if (option === 'limit' && at + 2 < argumentCount) at += 2;
    else if ((option === 'by' || option === 'get' || option === 'store')
      && at + 1 < argumentCount) visit(option, ++at);
  }
}

/** GEORADIUS key … [COUNT n] [STORE key] [STOREDIST key]; the last of both counts. */
function geoKeys(argumentCount: number, argument: Argument, options: number): number[] {
  let store = 0;
  for (let at = options; at + 1 < argumentCount; at++) {
    const option = word(argument(at));
    if (option === 'store' || option === 'storedist') store = ++at;
    else if (option === 'count') at++;
  }
  return store === 0 ? [1] : [1, store];
}

/**
 * XREAD and XREADGROUP: [GROUP group consumer] [COUNT n] [BLOCK ms] [NOACK] STREAMS key … id …, as many ids
 * as keys.
 */
function streamKeys(argumentCount: number, argument: Argument): number[] {
  for (let at = 1; at < argumentCount; at++) {
    switch (word(argument(at))) {
      case 'block': case 'count': at++; break;
      case 'group': at += 2; break;
      case 'noack': break;
      case 'streams': {
        const rest = argumentCount - at - 1;
        return rest % 2 === 0 ? Array.from({ length: rest / 2 }, (_, i) => at + 1 + i) : [];
      }
      default: return [];
    }
  }
  return [];
}

/**
 * MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password] [AUTH2 user password] [KEYS key …].
 */
function migrateKeys(argumentCount: number, argument: Argument): number[] {
  for (let at = 6; at < argumentCount; at++) {
    switch (word(argument(at))) {
      case 'auth': at++; break;
      case 'auth2': at += 2; break;
      case 'keys': return Array.from({ length: argumentCount - at - 1 }, (_, i) => at + 1 + i);
      default: break;
    }
  }
  return [3];
}

/** An option's name in lower case; empty for what is too long to be one. */
function word(argument: Buffer): string {
  return argument.length > 9 ? '' : argument.toString('latin1').toLowerCase();
}

function constantFirst(command: Command): number {
  if (command.subcommands !== null) {
    return [...command.subcommands.values()].some((each) => constantFirst(each) !== 0) ? COMPUTED : 0;
  }
  if (startsWithKey.has(command.name)) return 1;
  if (finders.has(command.name)) return COMPUTED;
  const spec = command.keySpecs.find((each) => each.channel !== true);
  if (spec === undefined) return 0;
  return spec.count === undefined ? spec.index ?? COMPUTED : COMPUTED;
}
