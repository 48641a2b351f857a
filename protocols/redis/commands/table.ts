// Redis' commands as the proxy sees them, by number. The table joins what a server says (table.json), what
// newer servers add (additions.ts) and how we treat them (overrides.ts).
import type { Argument } from './arguments.ts';
import { additions } from './additions.ts';
import type { CommandFacts, KeySpec } from './facts.ts';
import { NameIndex } from './name-index.ts';
import { overrides, type Treatment } from './overrides.ts';
import table from './table.json' with { type: 'json' };

export type { Treatment } from './overrides.ts';

export interface Command {
  readonly id: number;
  /** Lower case; `client|kill` for a subcommand, empty for the unknown command. */
  readonly name: string;
  /** Number of arguments with the name; negative: at least that many; 0: unknown. */
  readonly arity: number;
  readonly flags: ReadonlySet<string>;
  readonly readonly: boolean;
  /** Of a container: the treatment of a call without a known subcommand. */
  readonly treatment: Treatment;
  /** Redis' tips for asking several shards; null: by key, or any shard if there is none. */
  readonly requestPolicy: string | null;
  readonly responsePolicy: string | null;
  /** By the part behind the bar, lower case; null: no container. */
  readonly subcommands: ReadonlyMap<string, Command> | null;
  readonly keySpecs: readonly KeySpec[];
}

/** Number of the command that no table row describes. */
export const UNKNOWN = 0;

export const SHARED = 0;
export const BLOCKING = 1;
export const TRANSACTION = 2;
export const SUBSCRIPTION = 3;
export const MONITOR = 4;
export const SESSION = 5;
export const STATEFUL = 6;
export const HARMFUL = 7;
export const REPLICATION = 8;
/** Look up the subcommand; `subcommandTreatment` does it. */
export const CONTAINER = 9;
/** BLOCKING or SHARED as the arguments say: see blocks(). */
export const MAY_BLOCK = 10;

const codes = {
  shared: SHARED, blocking: BLOCKING, transaction: TRANSACTION, subscription: SUBSCRIPTION, monitor: MONITOR,
  session: SESSION, stateful: STATEFUL, harmful: HARMFUL, replication: REPLICATION,
} satisfies Record<Treatment, number>;

const mayBlock = new Set(['xread', 'xreadgroup', 'ts.read']);

// Asked most, so they get the places in the index that need one probe.
const frequent = ['get', 'set', 'del', 'incr', 'expire', 'hget', 'hset', 'hgetall', 'exists', 'mget', 'lpush',
  'rpop', 'sadd', 'zadd', 'ttl', 'eval', 'evalsha', 'ping', 'publish', 'xadd', 'setex'];

const treatmentOf = new Map<string, Treatment>(
  overrides.flatMap(([names, treatment]) => names.split(' ').map((name) => [name, treatment] as const)),
);

/** All commands by number; 0 stands for every unknown one. */
export const commands: readonly Command[] = build();

const top = commands.filter((command) => command.id !== UNKNOWN && !command.name.includes('|'));
const rank = (command: Command): number =>
  (frequent.indexOf(command.name) + frequent.length + 1) % (frequent.length + 1);
const index = new NameIndex(
  top.toSorted((a, b) => rank(a) - rank(b)).map((command) => [command.name, command.id]),
);
const subindexes: readonly (NameIndex | null)[] = commands.map((command) =>
  command.subcommands === null
    ? null
    : new NameIndex([...command.subcommands].map(([name, { id }]) => [name, id])));

/** Treatment code per number, with CONTAINER and MAY_BLOCK where the number alone does not decide. */
export const treatments: Uint8Array = Uint8Array.from(commands, (command) => {
  if (command.subcommands !== null) return CONTAINER;
  return mayBlock.has(command.name) ? MAY_BLOCK : codes[command.treatment];
});

/** The number of the command named by `bytes[start..end)` in any case; UNKNOWN when there is none. */
export function lookup(bytes: Uint8Array, start: number, end: number): number {
  return index.find(bytes, start, end);
}

/** The number of `container|name`; UNKNOWN when the container has no such subcommand or is none. */
export function lookupSubcommand(container: number, bytes: Uint8Array, start: number, end: number): number {
  return subindexes[container]?.find(bytes, start, end) ?? UNKNOWN;
}

/** The treatment code of a container's call, given lookupSubcommand's answer for it. */
export function subcommandTreatment(container: number, subcommand: number): number {
  return subcommand === UNKNOWN ? codes[commands[container]!.treatment] : treatments[subcommand]!;
}

/** Whether it has exactly one key, however many arguments there are. */
export function isSingleKeyed(id: number): boolean {
  const specs = commands[id]!.keySpecs;
  return specs.length === 1 && (specs[0]!.last ?? 0) === 0 && specs[0]!.count === undefined;
}

/** The subcommand that a call of a container names, or the command itself. */
export function named(command: Command, argumentCount: number, argument: Argument): Command {
  if (command.subcommands === null || argumentCount < 2) return command;
  const word = argument(1);
  const id = lookupSubcommand(command.id, word, 0, word.length);
  return id === UNKNOWN ? command : commands[id]!;
}

/** The command called `name` (`get`, `client|kill`), in any case; the unknown command when there is none. */
export function commandNamed(name: string): Command {
  const [container = '', subcommand] = name.split('|', 2);
  const bytes = Buffer.from(container);
  const id = lookup(bytes, 0, bytes.length);
  if (subcommand === undefined) return commands[id]!;
  const second = Buffer.from(subcommand);
  return commands[lookupSubcommand(id, second, 0, second.length)]!;
}

function build(): Command[] {
  const known = table.commands as readonly CommandFacts[];
  const facts = [...known, ...additions].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const list: Command[] = [{
    id: UNKNOWN, name: '', arity: 0, flags: new Set(), readonly: false, treatment: 'stateful',
    requestPolicy: null, responsePolicy: null, subcommands: null, keySpecs: [],
  }];
  const containers = new Map<string, Map<string, Command>>();
  for (const { name } of facts) {
    if (name.includes('|')) containers.set(name.slice(0, name.indexOf('|')), new Map());
  }
  for (const row of facts) {
    const command = describe(row, list.length, containers.get(row.name) ?? null);
    list.push(command);
    const bar = row.name.indexOf('|');
    if (bar > 0) containers.get(row.name.slice(0, bar))?.set(row.name.slice(bar + 1), command);
  }
  return list;
}

function describe(row: CommandFacts, id: number, subcommands: ReadonlyMap<string, Command> | null): Command {
  const flags = new Set(row.flags);
  // COMMAND alone is a question; other containers say nothing without a subcommand that we know.
  const unlisted = subcommands === null || row.name === 'command' ? 'shared' : 'stateful';
  const listed = treatmentOf.get(subcommands === null ? row.name : `${row.name}|`);
  return {
    id, name: row.name, arity: row.arity, flags, readonly: flags.has('readonly'),
    treatment: listed ?? unlisted,
    requestPolicy: row.request ?? null, responsePolicy: row.response ?? null,
    subcommands, keySpecs: row.keys ?? [],
  };
}
