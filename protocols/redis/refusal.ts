import { ProxyError } from '../../core/errors.ts';
import type { RedisBackend } from './backend.ts';
import { isWord } from './commands/arguments.ts';
import * as table from './commands/table.ts';
import type { RedisRequest } from './request.ts';

/** Why a command would harm others and is not passed on, unless the route allows it; null: it may go. */
export function refusal(request: RedisRequest, backend: RedisBackend): ProxyError | null {
  const { name } = request.command;
  const shown = name.replace('|', ' ').toUpperCase();
  if (request.treatment === table.REPLICATION) {
    return new ProxyError('COMMAND_REFUSED', `ERR ${shown} is never passed on by a proxy: connect to the server itself`);
  }
  if (request.treatment !== table.HARMFUL || backend.allows(name)) return null;
  return new ProxyError('COMMAND_REFUSED',
    `ERR ${shown} would harm other clients of this route; protocol.conf.allow_commands: ["${name}"] allows it`);
}

/** The number that it names would be another connection on the server, perhaps a link that many clients share. */
export function redirectRefusal(request: RedisRequest): ProxyError | null {
  if (request.command.name !== 'client|tracking') return null;
  for (let i = 3; i < request.count; i++) {
    if (!isWord(request.argument(i), 'redirect')) continue;
    return new ProxyError('COMMAND_REFUSED', 'ERR CLIENT TRACKING REDIRECT is not supported by a proxy, '
      + 'whose clients have numbers of its own: use HELLO 3');
  }
  return null;
}
