// From arguments to a run command: the order of checks is processCommand's of Redis 7.0.15.
import { Call } from './command.ts';
import { CommandError } from './command-error.ts';
import { commands } from './command-table.ts';
import type { Command } from './command.ts';
import type { Connection } from './connection.ts';

const runInsideMulti = new Set(['exec', 'discard', 'multi', 'watch', 'quit', 'reset']);
const runWhileSubscribed = new Set([
  'ping', 'subscribe', 'psubscribe', 'ssubscribe', 'unsubscribe', 'punsubscribe', 'sunsubscribe',
  'quit', 'reset',
]);
/** Longest quote of the client's own words in an error. */
const MAX_QUOTE = 128;

/** Runs or queues one request and writes its reply. */
export function dispatch(connection: Connection, args: readonly Buffer[]): void {
  const { transaction, reply, engine } = connection;
  const name = word(args[0]);
  connection.lastCommandAt = engine.now();
  // A browser that was made to talk to us: no answer at all.
  if (name === 'post' || name === 'host:') return connection.close();
  if (name === 'quit') {
    reply.ok();
    return connection.closeAfterReply();
  }
  const found = find(name, args);
  const refusal = typeof found === 'string' ? found : refuse(connection, found, args);
  if (typeof found === 'string' || refusal !== null) return reject(connection, name, refusal ?? '');
  connection.lastCommand = found.name;
  engine.commandsProcessed++;
  if (transaction.queue !== null && !runInsideMulti.has(found.name)) {
    transaction.queue.push({ command: found, args });
    return reply.simple('QUEUED');
  }
  run(connection, found, args);
}

/** A refused command breaks the transaction that it was to be queued in; a refused EXEC ends it. */
function reject({ transaction, reply }: Connection, name: string, refusal: string): void {
  if (name === 'exec') {
    transaction.end();
    return reply.error(`EXECABORT Transaction discarded because of: ${refusal.replace(/^ERR /, '')}`);
  }
  if (transaction.queue !== null) transaction.broken = true;
  reply.error(refusal);
}

/** Runs a command; an error that it throws becomes its reply. */
export function run(connection: Connection, command: Command, args: readonly Buffer[]): void {
  try {
    command.run(new Call(connection, args));
  } catch (cause) {
    if (!(cause instanceof CommandError)) throw cause;
    connection.reply.error(cause.message);
  }
}

/** The command, or the error's text when there is none. */
function find(name: string, args: readonly Buffer[]): Command | string {
  const command = commands.get(name);
  if (command === undefined) return unknownCommand(args);
  if (command.subcommands === undefined || args.length < 2) return command;
  const sub = command.subcommands.get(word(args[1]));
  return sub ?? `ERR unknown subcommand '${quote(args[1], MAX_QUOTE)}'. Try ${name.toUpperCase()} HELP.`;
}

function refuse(connection: Connection, command: Command, args: readonly Buffer[]): string | null {
  const { arity, name } = command;
  if (arity > 0 ? args.length !== arity : args.length < -arity) {
    return `ERR wrong number of arguments for '${name}' command`;
  }
  if (connection.subscriptions.total > 0 && connection.reply.resp === 2 && !runWhileSubscribed.has(name)) {
    return `ERR Can't execute '${name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET `
      + 'are allowed in this context';
  }
  return null;
}

function unknownCommand(args: readonly Buffer[]): string {
  let beginning = '';
  for (let i = 1; i < args.length && beginning.length < MAX_QUOTE; i++) {
    beginning += `'${quote(args[i], MAX_QUOTE - beginning.length)}' `;
  }
  return `ERR unknown command '${quote(args[0], MAX_QUOTE)}', with args beginning with: ${beginning}`;
}

/** As C prints it: up to a zero byte. */
function quote(arg: Buffer | undefined, limit: number): string {
  const text = arg?.toString('latin1', 0, Math.max(limit, 0)) ?? '';
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function word(arg: Buffer | undefined): string {
  return arg === undefined || arg.length > MAX_QUOTE ? '' : arg.toString('latin1').toLowerCase();
}
