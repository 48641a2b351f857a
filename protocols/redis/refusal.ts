import { ProxyError } from '../../core/errors.ts';
import type { RedisBackend } from './backend.ts';
import { isWord } from './commands/arguments.ts';
import * as table from './commands/table.ts';
import type { RedisRequest } from './request.ts';

/** Why a command is not passed on: it would harm others, and the route does not allow it. Null: it may go. */
export function refusal(request: RedisRequest, backend: RedisBackend): ProxyError | null {
  const { name } = request.command;
  switch (request.treatment) {
    case table.REPLICATION:
      return refused(`ERR ${shown(name)} is never passed on by a proxy: connect to the server itself`);
    case table.HARMFUL:
      return backend.allows(name) ? null : refused(`ERR ${shown(name)} would harm other clients of this route; `
        + `protocol.conf.allow_commands: ["${name.replace('|', ' ')}"] allows it`);
    case table.STATEFUL:
      return redirects(request) ? refused('ERR CLIENT TRACKING REDIRECT is not supported by a proxy, '
        + 'whose clients have numbers of its own: use HELLO 3') : null;
    default:
      return null;
  }
}

/** What a route cannot allow, in `protocol.conf.allow_commands`. */
export function neverAllowed(names: readonly string[]): string[] {
  return names.flatMap((name, index) => {
    if (table.commandNamed(name.toLowerCase().replace(' ', '|')).treatment !== 'replication') return [];
    return [`allow_commands[${index}]: expected a command that a proxy can pass on, got ${JSON.stringify(name)}`];
  });
}

function refused(text: string): ProxyError {
  return new ProxyError('COMMAND_REFUSED', text);
}

function shown(name: string): string {
  return name.replace('|', ' ').toUpperCase();
}

/** The number that it names would be another connection on the server, perhaps a link that many clients share. */
function redirects(request: RedisRequest): boolean {
  if (request.command.name !== 'client|tracking') return false;
  for (let i = 3; i < request.count; i++) if (isWord(request.argument(i), 'redirect')) return true;
  return false;
}
