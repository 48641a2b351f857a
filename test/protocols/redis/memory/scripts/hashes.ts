import type { Script } from './script.ts';

export const hashes: Script = [
  'HSET h a 1', 'HSET h a 2 b 3', 'HSET h a', 'HSET h a 1 b', 'HSET h', 'HGET h a', 'HGET h none', 'HGET none a', 'HGET h',
  'HMSET h c 4 d 5', 'HMSET h c', 'HMSET h c 1 d', 'HMGET h a none d', 'HMGET none a b', 'HMGET h', ['HGETALL h', 'unorderedPairs'],
  'HGETALL none', ['HKEYS h', 'unordered'], ['HVALS h', 'unordered'], 'HKEYS none', 'HVALS none', 'HLEN h', 'HLEN none',
  'HEXISTS h a', 'HEXISTS h none', 'HEXISTS none a', 'HDEL h a none', 'HDEL h', 'HDEL none a', 'HSETNX h b 9', 'HSETNX h new 9',
  'HSETNX newh f v', 'HSETNX h', 'HSTRLEN h b', 'HSTRLEN h none', 'HSTRLEN none a', 'HINCRBY h n 5', 'HINCRBY h n -3',
  'HINCRBY h n abc', 'HINCRBY h n 1.5', 'HSET h s str', 'HINCRBY h s 1', 'HINCRBY h n 9223372036854775807', 'HINCRBY h',
  'HSET h max 9223372036854775807', 'HINCRBY h max 1', 'HSET h min -9223372036854775808', 'HINCRBY h min -1',
  'HINCRBYFLOAT h f 10.5', 'HINCRBYFLOAT h f 0.1', 'HINCRBYFLOAT h f -5.0e3', 'HINCRBYFLOAT h f abc', 'HINCRBYFLOAT h s 1',
  'HINCRBYFLOAT h f nan', 'HINCRBYFLOAT h f inf', 'HINCRBYFLOAT h f', 'HINCRBYFLOAT newf f 3.14', 'HINCRBYFLOAT h s abc',
  'SET str x', 'HSET str a 1', 'HGET str a', 'HMGET str a', 'HGETALL str', 'HKEYS str', 'HVALS str', 'HLEN str', 'HEXISTS str a',
  'HDEL str a', 'HSETNX str a 1', 'HSTRLEN str a', 'HINCRBY str a 1', 'HINCRBY str a x', 'HINCRBYFLOAT str a 1', 'HSCAN str 0',
  'HRANDFIELD str', 'HRANDFIELD str 1', 'HMSET str a 1', 'HINCRBYFLOAT str a x',
  ['HRANDFIELD h', 'random'], ['HRANDFIELD h 2', 'random'], ['HRANDFIELD h -5', 'random'], ['HRANDFIELD h 100 WITHVALUES', 'random'],
  ['HRANDFIELD h -3 WITHVALUES', 'random'], 'HRANDFIELD h 0', 'HRANDFIELD none', 'HRANDFIELD none 3', 'HRANDFIELD none 3 WITHVALUES',
  'HRANDFIELD h a', 'HRANDFIELD h 1 FOO', 'HRANDFIELD h 1 WITHVALUES x', 'HRANDFIELD h -9223372036854775808',
  'HRANDFIELD h -9223372036854775807 WITHVALUES', 'HRANDFIELD h 9223372036854775807 WITHVALUES',
  ['HSCAN h 0', 'scanPage'], ['HSCAN h 0 MATCH n*', 'scanPage'], ['HSCAN h 0 COUNT 1000', 'scanPage'], 'HSCAN none 0', 'HSCAN h',
  'HSCAN h abc', 'HSCAN h 0 COUNT 0', 'HSCAN h 0 TYPE string', 'HSCAN none 0 FOO', 'HSCAN h 0 MATCH', 'HSCAN h 0 COUNT x',
  'HDEL newh f', 'EXISTS newh', 'HSET bin "\\x00\\xff" "\\r\\n"', 'HGETALL bin', 'HKEYS bin',
];
