import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { overrides } from '../../../../protocols/redis/commands/overrides.ts';
import {
  BLOCKING, CONTAINER, HARMFUL, MAY_BLOCK, REPLICATION, SESSION, SHARED, STATEFUL, UNKNOWN,
  commandNamed, commands, lookup, lookupSubcommand, subcommandTreatment, treatments, type Treatment,
} from '../../../../protocols/redis/commands/table.ts';
import { startRedis, type RedisServer } from '../../../support/redis-server.ts';
import { ask, type Resp } from './ask.ts';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(async () => { await redis.stop(); });

const known = commands.slice(1);
const idOf = (name: string): number => {
  const bytes = Buffer.from(`>>${name}<<`);
  return lookup(bytes, 2, bytes.length - 2);
};
const names = (treatment: Treatment): string[] => known.filter((command) =>
  command.treatment === treatment && command.subcommands === null).map((command) => command.name);

test('every name is found in any case, in the middle of other bytes', () => {
  for (const { name, id } of known.filter((command) => !command.name.includes('|'))) {
    const mixed = name.replace(/../g, (pair) => pair[0]!.toUpperCase() + pair[1]!);
    expect([name, idOf(name), idOf(name.toUpperCase()), idOf(mixed)]).toEqual([name, id, id, id]);
  }
});

test('every subcommand is found in its container in any case, and in no other', () => {
  const get = Buffer.from('GeT');
  for (const container of known.filter((command) => command.subcommands !== null)) {
    for (const [word, { id, name }] of container.subcommands!) {
      const bytes = Buffer.from(word.toUpperCase());
      expect([name, lookupSubcommand(container.id, bytes, 0, bytes.length)]).toEqual([name, id]);
    }
  }
  expect(lookupSubcommand(idOf('client'), get, 0, 3)).toBe(UNKNOWN);
  expect(lookupSubcommand(idOf('get'), get, 0, 3)).toBe(UNKNOWN);
  expect(lookupSubcommand(UNKNOWN, get, 0, 3)).toBe(UNKNOWN);
});

test('names of object properties, near misses and subcommands with their bar are unknown', () => {
  for (const name of ['', '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'GETT', 'GE', 'G',
    'client|kill',
    'get\0', ' get', 'g\u00c5t', 'json', 'json-get', 'json\u000eget', '\u0007et', 'x'.repeat(70_000)]) {
    expect([name, idOf(name)]).toEqual([name, UNKNOWN]);
  }
  expect(lookupSubcommand(idOf('client'), Buffer.from('__proto__'), 0, 9)).toBe(UNKNOWN);
});

test('only bytes that spell a known name are found', () => {
  const spelled = new Set(known.map((command) => command.name));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 24 }), (bytes) => {
    const id = lookup(bytes, 0, bytes.length);
    expect(id !== UNKNOWN).toBe(spelled.has(Buffer.from(bytes).toString('latin1').toLowerCase()));
  }));
});

test('a known name with one byte changed is unknown unless that is a name as well', () => {
  const spelled = new Set(known.map((command) => command.name).filter((name) => !name.includes('|')));
  const change = fc.integer({ min: 1, max: 255 });
  fc.assert(fc.property(fc.constantFrom(...known), fc.nat(), change, (command, at, bits) => {
    const bytes = Buffer.from(command.name);
    bytes[at % bytes.length]! ^= bits;
    const name = bytes.toString('latin1').toLowerCase();
    expect(commands[lookup(bytes, 0, bytes.length)]!.name).toBe(spelled.has(name) ? name : '');
  }), { numRuns: 2000 });
});

test('the unknown command is stateful and numbers follow the list', () => {
  expect(commands[UNKNOWN]).toMatchObject({ name: '', treatment: 'stateful', subcommands: null });
  expect(treatments[UNKNOWN]).toBe(STATEFUL);
  expect(commands.map((command) => command.id)).toEqual(commands.map((_, at) => at));
  expect(new Set(known.map((command) => command.name)).size).toBe(known.length);
});

test('every command of the live server is in the table with what the server says about it', async () => {
  const rows = await ask(redis.port, ['COMMAND']) as Resp[][];
  const all = [...rows, ...rows.flatMap((row) => row[9] as Resp[][])];
  expect(all.length).toBeGreaterThan(300);
  for (const [name, arity, flags] of all) {
    const command = commandNamed(String(name));
    expect({ name: command.name, arity: command.arity, flags: [...command.flags] })
      .toEqual({ name, arity, flags });
    expect([name, command.readonly]).toEqual([name, command.flags.has('readonly')]);
    expect([name, treatments[command.id]! <= MAY_BLOCK]).toEqual([name, true]);
  }
});

test('a command marked as blocking, pub/sub or of the connection is never shared by oversight', () => {
  const leavesNoTrace = new Set(['publish', 'spublish', 'ping', 'echo', 'client|help', 'client|getredir',
    'client|trackinginfo', 'pubsub|channels', 'pubsub|numpat', 'pubsub|numsub', 'pubsub|shardchannels',
    'pubsub|shardnumsub', 'restore-asking']);
  const marks = ['blocking', 'pubsub', 'no_auth', 'asking'];
  const suspects = known.filter((command) => command.subcommands === null
    && (marks.some((mark) => command.flags.has(mark)) || command.name.startsWith('client|')));
  expect(suspects.length).toBeGreaterThan(40);
  for (const { name, treatment } of suspects) {
    expect([name, treatment === 'shared']).toEqual([name, leavesNoTrace.has(name)]);
  }
});

test('each override names a known command once and gives a reason', () => {
  const listed = overrides.flatMap(([row]) => row.split(' '));
  expect(new Set(listed).size).toBe(listed.length);
  for (const name of listed) {
    const plain = name.endsWith('|') ? name.slice(0, -1) : name;
    expect(commandNamed(plain).name).toBe(plain);
  }
  expect(overrides.filter(([, , reason]) => reason.length < 10)).toEqual([]);
});

test('treatments are these', () => {
  expect({
    blocking: names('blocking'), transaction: names('transaction'), subscription: names('subscription'),
    monitor: names('monitor'), session: names('session'), stateful: names('stateful'),
      harmful: names('harmful'),
    replication: names('replication'),
  }).toMatchSnapshot();
});

test('codes for the hot path agree with the treatments and point to the subcommand of a container', () => {
  expect(treatments[idOf('get')]).toBe(SHARED);
  expect(treatments[idOf('blpop')]).toBe(BLOCKING);
  expect(treatments[idOf('xread')]).toBe(MAY_BLOCK);
  expect(treatments[idOf('select')]).toBe(SESSION);
  expect(treatments[idOf('psync')]).toBe(REPLICATION);
  for (const name of ['client', 'config', 'cluster', 'object',
    'command']) expect(treatments[idOf(name)]).toBe(CONTAINER);
  const treat = (name: string): number => {
    const container = idOf(name.split('|')[0]!);
    return subcommandTreatment(container, commandNamed(name).id);
  };
  expect(treat('client|kill')).toBe(HARMFUL);
  expect(treat('client|id')).toBe(SESSION);
  expect(treat('config|get')).toBe(SHARED);
  expect(treat('client|brandnew')).toBe(STATEFUL);
  expect(treat('config|brandnew')).toBe(STATEFUL);
  expect(treat('cluster|brandnew')).toBe(HARMFUL);
  expect(treat('module|list')).toBe(SHARED);
  expect(subcommandTreatment(idOf('command'), UNKNOWN)).toBe(SHARED);
});
