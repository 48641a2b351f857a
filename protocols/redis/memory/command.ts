// A command of the table, and one call of it.
import { CommandError } from './command-error.ts';
import { parseDouble } from './double.ts';
import { parseInt64, parseInteger } from './integer.ts';
import type { Connection } from './connection.ts';
import type { Database } from './database.ts';
import type { Engine } from './engine.ts';
import type { ReplyWriter } from './reply-writer.ts';

/** First key, last key (negative: from the end) and step, as COMMAND tells them; zeros: none at fixed places. */
export type KeyPlaces = readonly [first: number, last: number, step: number];

export interface Command {
  /** Lower case; a subcommand's is `container|sub`. */
  readonly name: string;
  /** Number of arguments including the name; negative: at least so many. */
  readonly arity: number;
  readonly flags: readonly string[];
  readonly keys: KeyPlaces;
  readonly run: (call: Call) => void;
  readonly subcommands?: ReadonlyMap<string, Command>;
}

/** A row of the command table. */
export function command(
  name: string, arity: number, flags: string, keys: KeyPlaces, run: Command['run'],
): Command {
  return { name, arity, flags: flags === '' ? [] : flags.split(' '), keys, run };
}

/** A command that only consists of subcommands, each a row named `container|sub`. */
export function container(name: string, rows: readonly Command[]): Command {
  const subcommands = new Map(rows.map((row) => [row.name.slice(name.length + 1), row]));
  return { name, arity: -2, flags: [], keys: [0, 0, 0], run: () => undefined, subcommands };
}

export class Call {
  readonly connection: Connection;
  readonly args: readonly Buffer[];
  readonly db: Database;
  readonly reply: ReplyWriter;
  readonly engine: Engine;

  constructor(connection: Connection, args: readonly Buffer[]) {
    this.connection = connection;
    this.args = args;
    this.db = connection.database;
    this.reply = connection.reply;
    this.engine = connection.engine;
  }

  /** Number of arguments including the command's name. */
  get count(): number {
    return this.args.length;
  }

  bytes(index: number): Buffer {
    const value = this.args[index];
    if (value === undefined) throw CommandError.syntax();
    return value;
  }

  /** As latin1: a key, field or member. */
  text(index: number): string {
    return this.bytes(index).toString('latin1');
  }

  /** As errors quote it: C prints up to a zero byte. */
  quote(index: number): string {
    return this.text(index).replace(/\0.*$/s, '');
  }

  /** In lower case, for options; empty when there is no such argument. */
  word(index: number): string {
    return index < this.args.length ? this.text(index).toLowerCase() : '';
  }

  /** The arguments from `start` on, as latin1. */
  texts(start: number, end: number = this.count): string[] {
    return this.args.slice(start, end).map((arg) => arg.toString('latin1'));
  }

  /** A 64-bit integer as a number: rounded beyond 2^53. */
  integer(index: number, error?: string): number {
    const value = parseInteger(this.text(index));
    if (value === null) throw error === undefined ? CommandError.notInteger() : new CommandError(error);
    return value;
  }

  int64(index: number): bigint {
    const value = parseInt64(this.text(index));
    if (value === null) throw CommandError.notInteger();
    return value;
  }

  double(index: number, error = 'ERR value is not a valid float'): number {
    const value = parseDouble(this.text(index));
    if (value === null) throw new CommandError(error);
    return value;
  }

  /** An integer within bounds; anything else, also a text that is no integer, gets the one error. */
  ranged(index: number, min: number, error: string): number {
    const value = this.integer(index, error);
    if (value < min) throw new CommandError(error);
    return value;
  }
}
