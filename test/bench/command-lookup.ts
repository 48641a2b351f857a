// What finding a command costs: node test/bench/command-lookup.ts. Aim: about 10 ns for a common name.
import { Bench } from 'tinybench';
import { commandNamed, lookup, lookupSubcommand } from '../../protocols/redis/commands/table.ts';

const rounds = 100_000;
const framed = (names: readonly string[]): Buffer[] =>
  Array.from({ length: 8 }, (_, i) => Buffer.from(`*1\r\n${names[i % names.length]}`));
const sets = {
  'GET': framed(['GET']),
  'eight common names': framed(['GET', 'set', 'HGETALL', 'zadd', 'INCR', 'EXPIRE', 'mget', 'LPUSH']),
  'eight long names': framed(['ZRANGEBYSCORE', 'zremrangebylex', 'GEORADIUSBYMEMBER', 'SUNIONSTORE',
  'XAUTOCLAIM',
    'incrbyfloat', 'TDIGEST.TRIMMED_MEAN', 'PUNSUBSCRIBE']),
  'eight unknown names': framed(['GETT', 'FOO', '__proto__', 'constructor', 'HGETALLL', 'X', 'toString',
  'SETT']),
};

let total = 0;
const bench = new Bench({ time: 500 });
bench.add('the loop alone', () => { total ^= loop(sets.GET, (bytes, start, end) => bytes[start]! + end); });
for (const [name, buffers] of Object.entries(sets)) {
  bench.add(name, () => { total ^= loop(buffers, lookup); });
}
const client = commandNamed('client').id;
const setinfo = framed(['SETINFO']);
bench.add('CLIENT SETINFO, the subcommand', () => {
  total ^= loop(setinfo, (bytes, start, end) => lookupSubcommand(client, bytes, start, end));
});
await bench.run();
console.table(bench.tasks.map((task) => ({
  'name': task.name,
  'ns per lookup': 'latency' in task.result ? ((task.result.latency.p50 * 1e6) / rounds).toFixed(1)
  : 'failed',
})));
if (!Number.isInteger(total)) throw new Error('the lookups gave no numbers');

function loop(buffers: readonly Buffer[], find: (bytes: Uint8Array, start: number, end: number) =>
  number): number {
  let found = 0;
  for (let i = 0; i < rounds; i++) {
    const bytes = buffers[i & 7]!;
    found ^= find(bytes, 4, bytes.length);
  }
  return found;
}
