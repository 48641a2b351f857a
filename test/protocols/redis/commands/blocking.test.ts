import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { blockingTimeout, blocks } from '../../../../protocols/redis/commands/blocking.ts';
import { commandNamed, commands } from '../../../../protocols/redis/commands/table.ts';

function ask(line: string): readonly [blocks: boolean, timeout: number] {
  const call = line.split(' ').map((word) => Buffer.from(word));
  const command = commandNamed(String(call[0]));
  const argument = (index: number): Buffer => call[index]!;
  return [blocks(command, call.length, argument), blockingTimeout(command, call.length, argument)];
}

test.each([
  ['BLPOP a 0', true, Infinity],
  ['blpop a b 0.5', true, 500],
  ['BRPOP a 2', true, 2000],
  ['BZPOPMIN a b c 1e1', true, 10_000],
  ['BRPOPLPUSH a b 3', true, 3000],
  ['BLMOVE a b LEFT RIGHT 4', true, 4000],
  ['BLMOVEM a b LEFT RIGHT 4 COUNT 7', true, 4000],
  ['BLMPOP 5 2 a b LEFT COUNT 9', true, 5000],
  ['BZMPOP 0 1 a MIN', true, Infinity],
  ['WAIT 1 250', true, 250],
  ['WAITAOF 1 1 0', true, Infinity],
  ['XREAD STREAMS a 0', false, 0],
  ['XREAD COUNT 1 block 70 STREAMS a 0', true, 70],
  ['XREAD BLOCK 0 STREAMS a $', true, Infinity],
  ['XREAD STREAMS block block 0 0', false, 0],
  ['XREADGROUP GROUP block c STREAMS a >', false, 0],
  ['XREADGROUP GROUP g c BLOCK 9 STREAMS a >', true, 9],
  ['TS.READ a $ BLOCK 100 1', true, 100],
  ['TS.READ block block', false, 0],
  ['GET a', false, 0],
  ['NOSUCH a', false, 0],
])('%s', (line, waits, timeout) => {
  expect(ask(line)).toEqual([waits, timeout]);
});

test('a timeout that the server refuses makes no deadline', () => {
  for (const time of ['-1', 'x', 'inf', 'nan', '1s']) {
    expect([time, ...ask(`BLPOP a ${time}`)]).toEqual([time, true, 0]);
  }
  expect(ask('BLPOP')).toEqual([true, 0]);
});

test('random arguments never throw', () => {
  const word = fc.oneof(fc.constantFrom('block', 'STREAMS', 'group', 'count', '0', '1'), fc.string());
  fc.assert(fc.property(fc.constantFrom(...commands), fc.array(word), (command, rest) => {
    const call = [command.name, ...rest].map((text) => Buffer.from(text));
    expect(blockingTimeout(command, call.length, (index) =>
      Buffer.from(call[index]!))).toBeGreaterThanOrEqual(0);
  }));
});
