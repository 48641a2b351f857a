import type { Script } from './script.ts';

export const connections: Script = [
  'PING', 'PING hello', 'PING a b', 'ECHO hi', 'ECHO', 'ECHO a b', 'ping', 'AUTH x', 'AUTH default x', 'AUTH bob x', 'AUTH a b c', 'AUTH',
  ['HELLO', 'id'], 'HELLO 4', 'HELLO 1', 'HELLO abc', 'HELLO 99999999999999999999', ['HELLO 3 SETNAME me', 'id'], 'CLIENT GETNAME', 'HELLO 3 SETNAME "a b"', 'HELLO 3 SETNAME',
  'HELLO 3 FOO', 'HELLO 3 AUTH a', 'HELLO 3 AUTH bob x', ['HELLO 3 AUTH default x SETNAME you', 'id'], 'CLIENT GETNAME', ['HELLO 2', 'id'], 'HELLO 2 AUTH bob x SETNAME no', 'CLIENT GETNAME',
  'CLIENT SETNAME abc', 'CLIENT GETNAME', 'CLIENT SETNAME "a b"', 'CLIENT SETNAME "a\\nb"', 'CLIENT SETNAME ""', 'CLIENT GETNAME', 'CLIENT SETNAME', 'CLIENT', 'CLIENT FOO', 'CLIENT ID x', ['CLIENT ID', 'id'],
  ['CLIENT INFO', 'fieldNames'], 'CLIENT LIST FOO', 'CLIENT LIST TYPE foo', 'CLIENT LIST ID a', 'CLIENT LIST ID 0', 'CLIENT LIST TYPE replica', 'CLIENT LIST ID 999999', 'CLIENT LIST ID', 'CLIENT NO-EVICT ON', 'CLIENT NO-EVICT off', 'CLIENT NO-EVICT x', 'CLIENT NO-EVICT',
  'CLIENT REPLY x', 'CLIENT REPLY ON', 'client getname', 'CLIENT "a\\r\\nb"', 'CLIENT GETNAME x',
  'NOSUCH', 'NOSUCH a b c', 'nosuch "a\\r\\nb"', '"a\\r\\nb" c', '"" x',
  `NOSUCH ${'x'.repeat(200)} y`, `NOSUCH ${'x'.repeat(50)} ${'y'.repeat(50)} ${'z'.repeat(50)} more`, `${'N'.repeat(200)} a`, 'NOSUCH "a\\x00b" "\\xff"', '"NO\\x00SUCH" a',
  'RESET', 'RESET x', 'PING', ['TIME', 'elapsing'], 'TIME x', 'CONFIG GET maxmemory', 'CONFIG GET save', 'CONFIG GET nosuch', 'CONFIG GET', 'CONFIG', 'CONFIG FOO', 'CONFIG GET DATABASES', ['CONFIG GET databases maxmemor?', 'unorderedPairs'], 'CONFIG GET appendonly',
  'CONFIG RESETSTAT', 'COMMAND COUNT x', 'COMMAND FOO', 'COMMAND LIST x', 'COMMAND INFO nosuch', 'COMMAND DOCS nosuch', 'INFO nosuch', 'INFO keyspace',
  'PUBSUB HELP',
];

export const transactions: Script = [
  'EXEC', 'DISCARD', 'EXEC x', 'MULTI x', 'WATCH', 'UNWATCH', 'UNWATCH x', 'MULTI', 'SET a 1', 'INCR a', 'LPUSH a x', 'GET a', 'EXEC', 'GET a', 'MULTI', 'EXEC', 'MULTI', 'MULTI', 'EXEC', 'MULTI', 'WATCH a', 'SET a 5', 'EXEC', 'MULTI', 'NOSUCH', 'SET a 6', 'EXEC', 'GET a',
  'MULTI', 'GET', 'EXEC', 'MULTI', 'SET a 7', 'DISCARD', 'GET a', 'WATCH a', 'SET a 8', 'MULTI', 'GET a', 'EXEC', 'WATCH a', 'MULTI', 'GET a', 'EXEC', 'WATCH a', 'SET a 9', 'UNWATCH', 'MULTI', 'GET a', 'EXEC', 'WATCH a', 'SET a 1', 'MULTI', 'DISCARD', 'MULTI', 'EXEC',
  'WATCH none', 'SET none 1', 'MULTI', 'EXEC', 'WATCH none', 'DEL none', 'MULTI', 'PING', 'EXEC', 'WATCH none', 'DEL none', 'MULTI', 'PING', 'EXEC', 'WATCH a', 'FLUSHDB', 'MULTI', 'EXEC', 'WATCH a', 'FLUSHALL', 'MULTI', 'EXEC',
  'WATCH a', 'SELECT 1', 'SET a 1', 'SELECT 0', 'MULTI', 'EXEC', 'WATCH a', 'SWAPDB 0 1', 'MULTI', 'EXEC', 'WATCH a', 'EXPIRE a 100', 'MULTI', 'EXEC', 'WATCH a', 'PERSIST a', 'MULTI', 'EXEC', 'WATCH a', 'SADD x 1', 'GET a', 'MULTI', 'EXEC',
  'SADD s 1', 'WATCH s', 'SADD s 1', 'MULTI', 'EXEC', 'WATCH s', 'SREM s 9', 'MULTI', 'EXEC', 'ZADD z 1 a', 'WATCH z', 'ZADD z 1 a', 'MULTI', 'EXEC', 'WATCH z', 'ZREM z none', 'MULTI', 'EXEC', 'HSET h a 1', 'WATCH h', 'HSET h a 1', 'MULTI', 'EXEC', 'WATCH h', 'HDEL h x', 'MULTI', 'EXEC',
  'RPUSH l a', 'WATCH l', 'LREM l 0 x', 'MULTI', 'EXEC', 'WATCH l', 'LTRIM l 0 -1', 'MULTI', 'EXEC', 'WATCH l', 'LPOP l 0', 'MULTI', 'EXEC', 'WATCH l', 'RENAME l l', 'MULTI', 'EXEC', 'WATCH nokey', 'HDEL nokey a', 'MULTI', 'EXEC', 'WATCH nokey', 'SUNIONSTORE nokey none', 'MULTI', 'EXEC',
  'MULTI', 'BLPOP none 0', 'BLMOVE none x LEFT LEFT 0', 'BRPOPLPUSH none x 0', 'BZPOPMIN none 0', 'BLMPOP 0 1 none LEFT', 'WAIT 1 0', 'EXEC', 'MULTI', 'SELECT 1', 'SET in1 1', 'EXEC', 'DBSIZE', 'SELECT 0',
  'MULTI', 'RESET', 'EXEC', 'MULTI', ['HELLO 3', 'id'], 'PING', ['EXEC', 'id'], ['HELLO 2', 'id'], 'MULTI', 'CLIENT FOO', 'EXEC', 'MULTI', 'DISCARD x', 'EXEC', 'MULTI', 'EXEC x', 'EXEC', 'MULTI', 'AUTH x', 'EXEC', 'MULTI', 'RPUSH q 1', 'BLPOP q 0', 'BLPOP q 0', 'EXEC',
];
