import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis, type RedisServer } from './redis-server.ts';
import { checkWireFact, wireFacts } from './wire-facts.ts';

let open: RedisServer;
let password: RedisServer;
beforeAll(async () => {
  [open, password] = await Promise.all([startRedis(), startRedis(['--requirepass', 'pw'])]);
});
afterAll(async () => { await Promise.all([open.stop(), password.stop()]); });

test.concurrent.each(wireFacts)('the real server agrees: $name', async (fact) => {
  const { port } = fact.server === 'open' ? open : password;
  expect(await checkWireFact(fact, port, { as: 'server' })).toBeNull();
});

test('the server gives the same bytes wherever the input is cut', async () => {
  const small = wireFacts.filter(({ send, proxy }) => proxy === undefined
    && send.every((bytes) => bytes.length < 300));
  const problems = await Promise.all(small.map(async (fact) => {
    const problem = await checkWireFact(fact, fact.server === 'open' ? open.port : password.port,
      { as: 'server', cut: 3 });
    return problem === null ? [] : [`${fact.name}: ${problem}`];
  }));
  expect(problems.flat()).toEqual([]);
});

test('a difference is reported with what was expected and what came', async () => {
  const [fact] = wireFacts;
  if (fact === undefined) throw new Error('the table is empty');
  const problem = await checkWireFact({ ...fact, expect: '+OK\r\n' }, open.port, { as: 'server' });
  expect(problem).toBe('expected +OK\r\n, got "-ERR Protocol error: invalid multibulk length\\r\\n"');
});
