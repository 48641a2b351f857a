import { CommandError } from '../command-error.ts';
import { command, container } from '../command.ts';
import { describeClient } from '../client-line.ts';
import { parseInt64 } from '../integer.ts';
import { REDIS_VERSION } from '../redis-version.ts';
import type { Call, Command } from '../command.ts';
import type { Connection } from '../connection.ts';

const NO_PASSWORD = 'ERR AUTH <password> called without any password configured for the default user. '
  + 'Are you sure your configuration is correct?';
const WRONG_PASSWORD = 'WRONGPASS invalid username-password pair or user is disabled.';
const ANY_TIME_FLAGS = 'noscript loading stale fast no_auth allow_busy';
const CLIENT_FLAGS = 'noscript loading stale';
const ADMIN_FLAGS = 'admin noscript loading stale';
/** Printable ASCII without spaces: what CLIENT LIST can show. */
const printable = /^[!-~]*$/;

export const connections: readonly Command[] = [
  command('auth', -2, ANY_TIME_FLAGS, [0, 0, 0], authenticate),
  container('client', [
    command('client|getname', 2, CLIENT_FLAGS, [0, 0, 0], (call) =>
      call.reply.bulkOrNil(call.connection.name === '' ? undefined : call.connection.name)),
    command('client|id', 2, CLIENT_FLAGS, [0, 0, 0], (call) => call.reply.integer(call.connection.id)),
    command('client|info', 2, CLIENT_FLAGS, [0, 0, 0], (call) =>
      call.reply.verbatim(describe([call.connection]))),
    command('client|list', -2, ADMIN_FLAGS, [0, 0, 0], listClients),
    command('client|no-evict', 3, ADMIN_FLAGS, [0, 0, 0], setNoEvict),
    command('client|reply', 3, CLIENT_FLAGS, [0, 0, 0], setReplyMode),
    command('client|setinfo', 4, CLIENT_FLAGS, [0, 0, 0], setLibrary),
    command('client|setname', 3, CLIENT_FLAGS, [0, 0, 0], (call) => {
      setName(call.connection, call.text(2));
      call.reply.ok();
    }),
  ]),
  command('echo', 2, 'loading stale fast', [0, 0, 0], (call) => call.reply.bulk(call.bytes(1))),
  command('hello', -1, ANY_TIME_FLAGS, [0, 0, 0], hello),
  command('ping', -1, 'fast', [0, 0, 0], ping),
  // Answered before the table is asked; the row is for COMMAND.
  command('quit', -1, ANY_TIME_FLAGS, [0, 0, 0], ({ connection, reply }) => {
    reply.ok();
    connection.closeAfterReply();
  }),
  command('reset', 1, ANY_TIME_FLAGS, [0, 0, 0], ({ connection, reply }) => {
    connection.reset();
    reply.simple('RESET');
  }),
];

function ping(call: Call): void {
  const { connection, reply } = call;
  if (call.count > 2) throw new CommandError("ERR wrong number of arguments for 'ping' command");
  const message = call.count === 2 ? call.bytes(1) : null;
  if (connection.subscriptions.total > 0 && reply.resp === 2) return reply.bulks(['pong', message ?? '']);
  if (message === null) reply.simple('PONG');
  else reply.bulk(message);
}

/** No password is configured: the default user takes any, other users do not exist. */
function authenticate(call: Call): void {
  if (call.count > 3) throw CommandError.syntax();
  if (call.count === 2) throw new CommandError(NO_PASSWORD);
  checkUser(call.text(1));
  call.reply.ok();
}

function checkUser(name: string): void {
  if (name !== 'default') throw new CommandError(WRONG_PASSWORD);
}

function setName(connection: Connection, name: string): void {
  if (!printable.test(name)) {
    throw new CommandError('ERR Client names cannot contain spaces, newlines or special characters.');
  }
  connection.name = name;
}

function hello(call: Call): void {
  const { connection, reply } = call;
  const version = call.count > 1 ? readVersion(call) : null;
  const { user, name } = readHelloOptions(call);
  if (user !== null) checkUser(user);
  if (name !== null) setName(connection, name);
  if (version !== null) reply.resp = version;
  const fields: readonly (readonly [string, string | number])[] = [
    ['server', 'redis'], ['version', REDIS_VERSION], ['proto', reply.resp], ['id', connection.id],
    ['mode', 'standalone'], ['role', 'master'],
  ];
  reply.map(fields.length + 1);
  for (const [field, value] of fields) {
    reply.bulk(field);
    if (typeof value === 'number') reply.integer(value);
    else reply.bulk(value);
  }
  reply.bulk('modules');
  reply.array(0);
}

function readVersion(call: Call): 2 | 3 {
  const version = parseInt64(call.text(1));
  if (version === null) throw new CommandError('ERR Protocol version is not an integer or out of range');
  if (version !== 2n && version !== 3n) throw new CommandError('NOPROTO unsupported protocol version');
  return version === 2n ? 2 : 3;
}

function readHelloOptions(call: Call): { readonly user: string | null; readonly name: string | null } {
  let user: string | null = null;
  let name: string | null = null;
  for (let i = 2; i < call.count; i++) {
    const option = call.word(i);
    if (option === 'auth' && i + 2 < call.count) {
      user = call.text(i + 1);
      i += 2;
    } else if (option === 'setname' && i + 1 < call.count) {
      name = call.text(++i);
      if (!printable.test(name)) setName(call.connection, name);
    } else {
      throw new CommandError(`ERR Syntax error in HELLO option '${call.quote(i)}'`);
    }
  }
  return { user, name };
}

function setNoEvict(call: Call): void {
  const mode = call.word(2);
  if (mode !== 'on' && mode !== 'off') throw CommandError.syntax();
  call.connection.noEvict = mode === 'on';
  call.reply.ok();
}

function setReplyMode(call: Call): void {
  const mode = call.word(2);
  const { connection } = call;
  if (mode === 'on') {
    connection.setReplyMode('on');
    call.reply.ok();
  } else if (mode === 'off') {
    connection.setReplyMode('off');
  } else if (mode === 'skip') {
    if (connection.replyMode !== 'off') connection.setReplyMode('skip-next');
  } else {
    throw CommandError.syntax();
  }
}

/** From Redis 7.2 on; accepted here because clients send it unasked. Its values are not shown anywhere. */
function setLibrary(call: Call): void {
  const attribute = call.word(2);
  if (attribute !== 'lib-name' && attribute !== 'lib-ver') {
    throw new CommandError(`ERR Unrecognized option '${call.quote(2)}'`);
  }
  if (!printable.test(call.text(3))) {
    throw new CommandError(`ERR ${attribute} cannot contain spaces, newlines or special characters.`);
  }
  call.reply.ok();
}

const CLIENT_TYPES = ['normal', 'master', 'replica', 'slave', 'pubsub'];

function listClients(call: Call): void {
  let clients = [...call.engine.connections.values()];
  if (call.count === 4 && call.word(2) === 'type') {
    const type = call.word(3);
    if (!CLIENT_TYPES.includes(type)) throw new CommandError(`ERR Unknown client type '${call.quote(3)}'`);
    clients = clients.filter((client) => type === (client.subscriptions.total > 0 ? 'pubsub' : 'normal'));
  } else if (call.count > 3 && call.word(2) === 'id') {
    const ids = call.args.slice(3).map((_, at) => call.integer(3 + at, 'ERR Invalid client ID'));
    clients = ids.map((id) => call.engine.connections.get(id)).filter((client) => client !== undefined);
  } else if (call.count !== 2) {
    throw CommandError.syntax();
  }
  call.reply.verbatim(describe(clients));
}

function describe(clients: readonly Connection[]): string {
  return clients.map((client) => `${describeClient(client)}\n`).join('');
}
