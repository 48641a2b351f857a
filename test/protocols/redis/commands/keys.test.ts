import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  COMPUTED, firstKey, firstKeyIndex, keyIndexes, keyPatternIndexes, keysAreKnown, slotIndexes,
} from '../../../../protocols/redis/commands/keys.ts';
import { commandNamed, commands, type Command } from '../../../../protocols/redis/commands/table.ts';
import { startRedis, type RedisServer } from '../../../support/redis-server.ts';
import { ask, askAll, type Resp } from './ask.ts';
import { calls, keysOf, served, unserved } from './key-examples.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(async () => { await redis.stop(); });

const lower = (name: string | undefined): string => String(name).toLowerCase();

const namesKeys = (spec: Resp[]): boolean => !(spec[spec.indexOf('flags') + 1] as Resp[]).includes('not_key');
const constantOf = (name: string): number | undefined => firstKeyIndex[commandNamed(name).id];

type Found = (command: Command, count: number, argument: (index: number) => Buffer) => number[];

function words(call: readonly string[], find: Found = keyIndexes): string[] {
  return find(commandNamed(call[0]!), call.length, (at) => Buffer.from(call[at]!)).map((at) => call[at]!);
}

/** A call of every command whose only key is its first argument, as long as its arity asks. */
function simpleCalls(): string[][] {
  return commands
    .filter(({ name, keySpecs: [spec, ...more] }) => more.length === 0 && spec?.index === 1 && spec.last === 0
      && spec.channel === undefined && !name.includes('|'))
    .map(({ name, arity }) => [name, 'k1', ...Array<string>(Math.max(0, Math.abs(arity) - 2)).fill('1')]);
}

test('keys are those that the server finds, for every command of the server that has keys', async () => {
  const rows = await ask(redis.port, ['COMMAND']) as Resp[][];
  const all = [...rows, ...rows.flatMap((row) => row[9] as Resp[][])];
  const serverKnows = new Set(all.map(([name]) => String(name)));
  const examples = [...calls(served), ...simpleCalls().filter(([name]) => serverKnows.has(name!))];
  const replies = await askAll(redis.port, examples.map((call) => ['COMMAND', 'GETKEYS', ...call]));
  expect(replies.length).toBe(examples.length);
  for (const [at, call] of examples.entries()) {
    const reply = replies[at];
    const expected = reply instanceof Error ? reply.message : reply;
    const keyless = 'ERR The command has no key arguments';
    expect([call, words(call), keysOf(call)])
      .toEqual(expected === keyless ? [call, [], []] : [call, expected, expected]);
  }
  const shown = new Set(examples.flatMap((call) => [call[0], `${call[0]}|${call[1]}`].map(lower)));
  const withKeys = all.filter((row) => (row[8] as Resp[][]).some(namesKeys)).map(([name]) => String(name));
  expect(withKeys.length).toBeGreaterThan(150);
  expect(withKeys.filter((name) => !shown.has(name)), 'commands without an example').toEqual([]);
});

test('keys of newer commands, of modules and of calls that fool the server\'s own key specifications', () => {
  for (const call of [...calls(unserved), ...simpleCalls()]) {
    expect([call, words(call)]).toEqual([call, keysOf(call)]);
  }
});

test('the server runs the calls that fool its key specifications as we read them', async () => {
  const replies = await askAll(redis.port, [
    ['RPUSH', 'k1', '2', '1'], ['SORT', 'k1', 'STORE', 'unused', 'STORE', 'k2'], ['EXISTS', 'unused', 'k2'],
    ['GEOADD', 'g', '1', '1', 'm'],
    ['GEORADIUS', 'g', '1', '1', '9', 'km', 'STORE', 'unused', 'STOREDIST', 'k3'], ['EXISTS', 'unused', 'k3'],
    ['XGROUP', 'CREATE', 'k4', 'streams', '$', 'MKSTREAM'], ['XADD', 'k4', '1-1', 'a', 'b'],
    ['XREADGROUP', 'COUNT', '1', 'GROUP', 'streams', 'c', 'STREAMS', 'k4', '>'],
  ]);
  expect(replies[2]).toBe(1);
  expect(replies[5]).toBe(1);
  expect(replies[8]).toEqual([['k4', [['1-1', ['a', 'b']]]]]);
});

test('malformed calls have no keys where they are malformed', () => {
  const none = ['EVAL s', 'EVAL s x k1', 'EVAL s -1 k1', 'EVAL s +1 k1', 'EVAL s 01 k1', 'EVAL s 1.0 k1',
    'EVAL s 2 k1',
    'EVAL s 99999999999999999999 k1', 'EVAL s 4294967297 k1', 'ZUNION', 'ZUNION 3 a b', 'LMPOP 0 a LEFT',
    'XREAD',
    'XREAD STREAMS', 'XREAD STREAMS a', 'XREAD STREAMS a b c', 'XREAD COUNT STREAMS a 0', 'XREAD BLOCK',
    'GET', 'MGET',
    'BLPOP a', 'OBJECT', 'OBJECT a', 'OBJECT ENCODING', 'OBJECT NOPE a', 'MIGRATE', 'SORT'];
  for (const line of none) expect([line, words(line.split(' '))]).toEqual([line, []]);
  expect(words(['ZUNIONSTORE', 'k1', 'x', 'b'])).toEqual(['k1']);
  expect(words(['MIGRATE', 'h', '1', '', '0', '1'])).toEqual(['']);
});

test('MSETEX with the last value missing names its keys all the same, since the last key is there', () => {
  expect(words(['MSETEX', '2', 'k1', 'a', 'k2'])).toEqual(['k1', 'k2']);
});

test('shard channels decide the slot but are no keys', () => {
  expect(words(['SSUBSCRIBE', 'a', 'b'])).toEqual([]);
  expect(words(['SSUBSCRIBE', 'a', 'b'], slotIndexes)).toEqual(['a', 'b']);
  expect(words(['spublish', 'a', 'b'], slotIndexes)).toEqual(['a']);
  expect(words(['SUBSCRIBE', 'a'], slotIndexes)).toEqual([]);
  expect(words(['MSET', 'a', '1', 'b', '2'], slotIndexes)).toEqual(['a', 'b']);
});

test('patterns that SORT fills in are told apart from keys', () => {
  const call = 'SORT k1 BY w_* LIMIT 0 1 GET # GET get GET by_* STORE k2'.split(' ');
  expect(words(call, keyPatternIndexes)).toEqual(['w_*', 'get', 'by_*']);
  expect(words(['SORT_RO', 'k1', 'BY', 'nosort', 'GET', 'a'], keyPatternIndexes)).toEqual(['a']);
  expect(words(['GET', 'by'], keyPatternIndexes)).toEqual([]);
});

test('the constant first key agrees with the keys found', () => {
  for (const call of [...calls(served), ...calls(unserved), ...simpleCalls()]) {
    const command = commandNamed(call[0]!);
    const argument = (index: number): Buffer => Buffer.from(call[index]!);
    const [first = 0] = keyIndexes(command, call.length, argument);
    expect([call, firstKey(command, call.length, argument)]).toEqual([call, first]);
    expect([call, firstKeyIndex[command.id] === COMPUTED || firstKeyIndex[command.id] === first])
      .toEqual([call, true]);
  }
  expect(['get', 'mset', 'ping', 'bitop', 'eval', 'object', 'object|encoding', 'config', 'ssubscribe',
    'nosuch'].map(constantOf))
    .toEqual([1, 1, 0, 2, COMPUTED, COMPUTED, 2, 0, 0, 0]);
  expect(firstKey(commandNamed('get'), 1, () => Buffer.from('get'))).toBe(0);
});

test('there is no command whose key specifications we can\'t follow', () => {
  expect(commands.filter((command) => !keysAreKnown(command)).map((command) => command.name)).toEqual([]);
});

test('random arguments never throw nor give an index that is not there', () => {
  const word = fc.constantFrom('1', '2', '3', '0', '-1', 'k', '', 'STREAMS', 'block', 'COUNT', 'GROUP',
    'STORE', 'BY', 'get', 'KEYS', 'AUTH', 'AUTH2', 'LIMIT', 'usage', 'encoding', 'create', '999999999',
    '9'.repeat(40));
  const argument = fc.oneof(
    word.map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
  );
  const rest = fc.array(argument, { maxLength: 12 });
  fc.assert(fc.property(fc.constantFrom(...commands), rest, (command, more) => {
    const call = [Buffer.from(command.name), ...more];
    const at = (index: number): Buffer => {
      const value = call[index];
      if (value === undefined) throw new RangeError(`argument ${index} of ${call.length} was asked for`);
      return value;
    };
    for (const find of [keyIndexes, slotIndexes, keyPatternIndexes]) {
      const found = find(command, call.length, at);
      expect(found).toEqual([...new Set(found)].toSorted((a, b) => a - b));
      expect(found.every((index) => Number.isInteger(index) && index > 0 && index < call.length)).toBe(true);
    }
    expect(firstKey(command, call.length, at)).toBeLessThan(call.length);
    expect(keyIndexes(command, 0, at)).toEqual([]);
  }), { numRuns: 5000 });
});
