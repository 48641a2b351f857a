import { expect, test } from 'vitest';
import { firstIsOnlyKey, keyIndexes } from '../../../../protocols/redis/commands/keys.ts';
import { commandNamed, commands } from '../../../../protocols/redis/commands/table.ts';

test('where argument 1 is said to be the only key, the key finder finds that one and no other', () => {
  const marked = commands.filter(({ id }) => firstIsOnlyKey[id] === 1);
  expect(marked.length).toBeGreaterThan(200);
  for (const command of marked) {
    for (const count of [2, 3, 4, 7, 12]) {
      for (const word of ['a', '1', '2', 'STORE', 'STREAMS', 'LIMIT']) {
        expect([command.name, count, keyIndexes(command, count, () => Buffer.from(word))]).toEqual([command.name, count, [1]]);
      }
    }
  }
});

test('commands with several keys, or keys behind options, are not said to have one', () => {
  for (const name of ['mget', 'mset', 'del', 'sort', 'eval', 'xread', 'blpop', 'rename', 'zunionstore', 'spublish', 'migrate', 'ping']) {
    expect([name, firstIsOnlyKey[commandNamed(name).id]]).toEqual([name, 0]);
  }
  for (const name of ['get', 'set', 'hset', 'zadd', 'incr', 'expire']) expect([name, firstIsOnlyKey[commandNamed(name).id]]).toEqual([name, 1]);
});
