import type { Script } from './script.ts';

export const sets: Script = [
  'SADD a 1 2 3', 'SADD a 3 4', 'SADD a', 'SADD', 'SCARD a', 'SCARD none', ['SMEMBERS a', 'unordered'], 'SMEMBERS none', 'SISMEMBER a 1',
  'SISMEMBER a 9', 'SISMEMBER none 1', 'SMISMEMBER a 1 9 2', 'SMISMEMBER none 1 2', 'SMISMEMBER a', 'SREM a 1 9', 'SREM none 1', 'SREM a',
  'SADD b 3 4 5 x', ['SINTER a b', 'unordered'], ['SUNION a b', 'unordered'], ['SDIFF a b', 'unordered'], ['SDIFF b a', 'unordered'],
  'SINTER a none', ['SUNION a none', 'unordered'], ['SDIFF a none', 'unordered'], 'SDIFF none a', 'SINTER', 'SUNION', 'SDIFF', ['SINTER a', 'unordered'],
  ['SINTER a a', 'unordered'], 'SINTERSTORE d a b', ['SMEMBERS d', 'unordered'], 'SUNIONSTORE d a b', ['SMEMBERS d', 'unordered'],
  'SDIFFSTORE d a b', ['SMEMBERS d', 'unordered'], 'SDIFFSTORE d none a', 'EXISTS d', 'SINTERSTORE d none a', 'SUNIONSTORE d none', 'SINTERSTORE d',
  'SUNIONSTORE a a b', 'SINTERCARD 2 a b', 'SINTERCARD 2 a b LIMIT 1', 'SINTERCARD 2 a b LIMIT 0', 'SINTERCARD 0 a', 'SINTERCARD x a', 'SINTERCARD 3 a b',
  'SINTERCARD 2 a b LIMIT -1', 'SINTERCARD 2 a b LIMIT', 'SINTERCARD 2 a b FOO', 'SINTERCARD 2 a b LIMIT x', 'SINTERCARD 2 a none', 'SINTERCARD 1',
  'SMOVE a b 2', 'SMOVE a b none', 'SMOVE none b 1', 'SMOVE a a 3', 'SMOVE a a none', 'SMOVE a', 'SMOVE a fresh 3', 'SCARD fresh', 'SMOVE fresh b 3', 'EXISTS fresh',
  'SET s x', 'SADD s a', 'SREM s a', 'SCARD s', 'SMEMBERS s', 'SISMEMBER s a', 'SMISMEMBER s a', 'SINTER s a', 'SUNION a s', 'SDIFF a s', 'SINTER none s',
  'SINTERSTORE d a s', 'SUNIONSTORE d a s', 'SDIFFSTORE d none s', 'SINTERCARD 2 a s', 'SMOVE s a x', 'SMOVE a s 4', 'SMOVE none s 4', 'SMOVE a s none', 'SPOP s',
  'SRANDMEMBER s', 'SPOP s 1', 'SRANDMEMBER s 1', 'SSCAN s 0', 'SUNIONSTORE s a', 'TYPE s',
  'SADD r 1 2 3 4 5', ['SRANDMEMBER r', 'random'], ['SRANDMEMBER r 3', 'random'], ['SRANDMEMBER r -10', 'random'], ['SRANDMEMBER r 100', 'unordered'], 'SRANDMEMBER r 0',
  'SRANDMEMBER none', 'SRANDMEMBER none 3', 'SRANDMEMBER r a', 'SRANDMEMBER r 1 2', 'SRANDMEMBER r -9223372036854775808', ['SPOP r', 'random'], ['SPOP r 2', 'random'],
  'SPOP r 0', 'SPOP r -1', 'SPOP r a', 'SPOP r 1 2', 'SPOP none', 'SPOP none 2', 'SCARD r', ['SPOP r 10', 'random'], 'EXISTS r', 'SPOP',
  'SADD sc one two three', ['SSCAN sc 0', 'scanPage'], ['SSCAN sc 0 MATCH t* COUNT 10', 'scanPage'], 'SSCAN none 0', 'SSCAN sc', 'SSCAN sc x', 'SSCAN sc 0 FOO 1',
  'SADD bin "\\x00\\xff"', 'SMEMBERS bin', 'SISMEMBER bin "\\x00\\xff"', 'SREM bin "\\x00\\xff"', 'EXISTS bin',
];
