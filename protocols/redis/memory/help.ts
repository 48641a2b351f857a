import { CommandError } from './command-error.ts';
import type { Call, Command } from './command.ts';

/** The HELP subcommand of a container, in Redis' layout. */
export function help(container: string, lines: readonly string[]): Command['run'] {
  const head = `${container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`;
  const all = [head, ...lines, 'HELP', '    Prints this help.'];
  return ({ reply }) => {
    reply.array(all.length);
    for (const line of all) reply.simple(line);
  };
}

/** A subcommand with arguments that it does not take. */
export function unknownForm(call: Call): CommandError {
  return new CommandError(`ERR unknown subcommand or wrong number of arguments for '${call.quote(1)}'. `
    + `Try ${call.word(0).toUpperCase()} HELP.`);
}
