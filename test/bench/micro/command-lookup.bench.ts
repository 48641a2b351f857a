// What finding a command by its name costs. Aim: about 10 ns for a common name.
import { commandNamed, lookup, lookupSubcommand } from '../../../protocols/redis/commands/table.ts';
import { calls, nanoseconds } from '../nanoseconds.ts';

type Find = (bytes: Uint8Array, start: number, end: number) => number;

const longNames = [
  'ZRANGEBYSCORE', 'zremrangebylex', 'GEORADIUSBYMEMBER', 'SUNIONSTORE', 'XAUTOCLAIM', 'incrbyfloat',
  'TDIGEST.TRIMMED_MEAN', 'PUNSUBSCRIBE',
];
const unknownNames = ['GETT', 'FOO', '__proto__', 'constructor', 'HGETALLL', 'X', 'toString', 'SETT'];
const client = commandNamed('client').id;

await nanoseconds('command-lookup', {
  'the loop alone': finding(['GET'], (bytes, start, end) => bytes[start]! + end),
  'GET': finding(['GET'], lookup),
  'eight common names': finding(['GET', 'set', 'HGETALL', 'zadd', 'INCR', 'EXPIRE', 'mget', 'LPUSH'], lookup),
  'eight long names': finding(longNames, lookup),
  'eight unknown names': finding(unknownNames, lookup),
  'CLIENT SETINFO, the subcommand': finding(['SETINFO'], (bytes, start, end) =>
    lookupSubcommand(client, bytes, start, end)),
});

function finding(names: readonly string[], find: Find): () => number {
  const framed = Array.from({ length: 8 }, (_, i) => Buffer.from(`*1\r\n${names[i % names.length]}`));
  return () => {
    let found = 0;
    for (let i = 0; i < calls; i++) {
      const bytes = framed[i & 7]!;
      found ^= find(bytes, 4, bytes.length);
    }
    return found;
  };
}
