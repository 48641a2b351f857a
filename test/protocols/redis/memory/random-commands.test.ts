// Random commands, mostly valid, to our server and to a real one. The seed is in the test's name, so that a
// difference can be found again; RANDOM_SEED=n tries another.
import { expect, test } from 'vitest';
import { commands } from '../../../../protocols/redis/memory/command-table.ts';
import { MemoryRedis } from '../../../../protocols/redis/memory/server.ts';
import { startRedis } from '../../../support/redis-server.ts';
import { normalisations, type Normalisation } from './frame.ts';
import { encode, RawClient } from './raw-client.ts';

const COMMANDS = 6000;
const BATCH = 200;
const seeds = [1, 2, 3, Number(process.env['RANDOM_SEED'] ?? 4)];

/** Replies that depend on chance, time or the connection, or that never come. */
const left = new Set([
  'spop', 'srandmember', 'hrandfield', 'zrandmember', 'randomkey', 'time', 'info', 'client', 'command',
  'config', 'hello', 'quit', 'reset', 'auth', 'wait', 'subscribe', 'psubscribe', 'ssubscribe', 'unsubscribe',
  'punsubscribe', 'sunsubscribe', 'pubsub', 'multi', 'exec', 'pttl', 'blpop', 'brpop', 'blmove', 'brpoplpush',
  'blmpop', 'bzpopmin', 'bzpopmax', 'bzmpop', 'swapdb', 'select', 'scan', 'flushall', 'flushdb',
  // Ours return a large collection at once: a named difference.
  'hscan', 'sscan', 'zscan',
  // Whether a key has expired yet is chance as well.
  'expire', 'pexpire', 'setex', 'psetex',
]);
const unordered: Readonly<Record<string, Normalisation>> = {
  smembers: 'unordered', sinter: 'unordered', sunion: 'unordered', sdiff: 'unordered', keys: 'unordered',
};
const candidates = [...commands.values()].filter(({ name }) => !left.has(name));
const numbers = [
  '0', '1', '2', '3', '-1', '-2', '5', '10', '100', '1.5', '-0.25', '1e3', '9223372036854775807', 'inf', '(1',
  '07', '',
];
const words = [
  'a', 'b', 'c', 'd', 'e', '[a', '(b', '-', '+', 'NX', 'XX', 'GT', 'LT', 'CH', 'INCR', 'LIMIT', 'WITHSCORES',
  'BYSCORE', 'BYLEX', 'REV', 'LEFT', 'RIGHT', 'BEFORE', 'AFTER', 'COUNT', 'MATCH', 'RANK', 'MAXLEN',
  'WEIGHTS', 'AGGREGATE', 'SUM', 'MIN', 'MAX', 'GET', 'KEEPTTL', 'PERSIST', 'REPLACE', 'DB', 'BIT',
  'constructor', '*', '?', '\xff\0',
];

function generator(seed: number): (limit: number) => number {
  let state = seed * 2654435761 % 2 ** 32;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit);
  };
}

function randomCommand(random: (limit: number) => number): string[] {
  const { name, arity, keys: [first, last, step] } = candidates[random(candidates.length)] ?? candidates[0]!;
  const length = random(40) === 0 ? random(6) + 1 : Math.abs(arity) + (arity < 0 ? random(5) : 0);
  const pick = (items: readonly string[]): string => items[random(items.length)] ?? '';
  // Keys keep to a type most of the time, so that commands find something.
  const key = (): string => `${random(8) === 0 ? pick(['s', 'h', 'l', 'z', 'x']) : name[0]}${random(3)}`;
  return Array.from({ length }, (_, at) => {
    if (at === 0) return name;
    const isKey = first > 0 && at >= first && (last < 0 || at <= last) && (at - first) % step === 0;
    if (isKey || (first === 0 && at > 1 && random(2) === 0)) return key();
    return random(2) === 0 ? pick(numbers) : pick(words);
  });
}

async function play(port: number, script: readonly (readonly string[])[], resp: string): Promise<string[]> {
  await using client = await RawClient.connect(port);
  await client.call('FLUSHALL');
  await client.call('HELLO', resp);
  const replies: string[] = [];
  for (let at = 0; at < script.length; at += BATCH) {
    const batch = script.slice(at, at + BATCH);
    client.send(Buffer.concat(batch.map(encode)));
    for (const args of batch) {
      const how = unordered[args[0] ?? ''];
      const reply = await client.reply();
      replies.push(`${args.join(' ')} => ${how === undefined ? reply : normalisations[how](reply)}`);
    }
  }
  return replies;
}

test.each(seeds)('random commands of seed %i get the replies of a real server', async (seed) => {
  await using real = await startRedis();
  const memory = new MemoryRedis();
  const port = await memory.listen();
  try {
    const random = generator(seed);
    const script = Array.from({ length: COMMANDS }, () => randomCommand(random));
    const resp = seed % 2 === 0 ? '2' : '3';
    const [ours, theirs] = await Promise.all([play(port, script, resp), play(real.port, script, resp)]);
    // The first difference only: those behind it follow from it.
    const different = ours.findIndex((line, at) => line !== theirs[at]);
    expect(ours.slice(Math.max(different - 3, 0), different + 1))
      .toEqual(theirs.slice(Math.max(different - 3, 0), different + 1));
    expect(ours.length).toBe(COMMANDS);
  } finally {
    await memory.close();
  }
});
