// Commands about the client itself, answered here: on a shared link they would be about everybody.
import { endpoint, unixClient } from '../../core/endpoint.ts';
import { ProxyError } from '../../core/errors.ts';
import { holderOf } from '../../core/network.ts';
import type { Session } from '../../core/session.ts';
import { isWord } from './commands/arguments.ts';
import type { Credentials } from './link.ts';
import { RedisReply, type RedisRequest } from './request.ts';
import { bulk, errorLine, integer, nothing, OK, RESET, verbatim } from './resp/encode.ts';
import type { RedisSession } from './session.ts';

type Answer = RedisReply | ProxyError;

/** Commands that change which link the client uses: everything before them must have been answered. */
const quiet = new Set(['select', 'auth', 'hello', 'reset']);

export function needsQuiet(request: RedisRequest): boolean {
  return quiet.has(request.name);
}

/** Answers at once, or null for a command that `introduce` answers. */
export function answerAtDoor(session: RedisSession, request: RedisRequest): Answer | null {
  const { command, count } = request;
  const wrong = wrongArity(request);
  if (wrong !== null) return wrong;
  const answer = answers[command.name];
  return answer === undefined || count === 0 ? null : answer(session, request);
}

export function wrongArity({ command, count }: RedisRequest): RedisReply | null {
  const { arity, name } = command;
  if (arity === 0 || (arity > 0 ? count === arity : count >= -arity)) return null;
  return error(`ERR wrong number of arguments for '${name}' command`);
}

const answers: Readonly<Record<string, (session: RedisSession, request: RedisRequest) => Answer>> = {
  quit(session) {
    session.quitting = true;
    return ok();
  },
  'client|id': (session) => new RedisReply(integer(session.id)),
  'client|getname': (session) =>
    new RedisReply(session.clientName === '' ? nothing(session.resp) : bulk(session.clientName)),
  'client|setname'(session, request) {
    const name = request.argument(2).toString('latin1');
    if (!/^[!-~]*$/.test(name)) {
      return error('ERR Client names cannot contain spaces, newlines or special characters.');
    }
    session.clientName = name;
    return ok();
  },
  'client|setinfo'(session, request) {
    const value = request.argument(3).toString('latin1');
    const attribute = request.argument(2);
    const isName = isWord(attribute, 'lib-name');
    if (!isName && !isWord(attribute, 'lib-ver')) {
      return error(`ERR Unrecognized option '${attribute.toString('latin1').slice(0, 64)}'`);
    }
    if (!/^[!-~]*$/.test(value)) {
      return error(`ERR ${isName ? 'lib-name' : 'lib-ver'} cannot contain spaces, newlines or special characters.`);
    }
    if (isName) session.libraryName = value;
    else session.libraryVersion = value;
    return ok();
  },
  'client|info': (session) => new RedisReply(verbatim(`${describe(session)}\n`, session.resp)),
  'client|list': (session, request) => list(session, request),
  'client|no-evict': (session, request) => flag(request, (on) => { session.noEvict = on; }),
  'client|no-touch': (session, request) => flag(request, (on) => { session.noTouch = on; }),
  'client|reply'(session, request) {
    const mode = request.argument(2);
    if (isWord(mode, 'on')) {
      session.silence = 'none';
      request.silent = false;
    } else if (isWord(mode, 'off')) {
      session.silence = 'all';
      request.silent = true;
    } else if (isWord(mode, 'skip')) {
      if (session.silence !== 'all') session.silence = 'next';
      request.silent = true;
    } else {
      return error('ERR syntax error');
    }
    return ok();
  },
};

function flag(request: RedisRequest, set: (on: boolean) => void): Answer {
  const word = request.argument(2);
  if (isWord(word, 'on')) set(true);
  else if (isWord(word, 'off')) set(false);
  else return error('ERR syntax error');
  return ok();
}

/** The clients of the same route on this worker, as Redis describes its own. */
function list(session: RedisSession, request: RedisRequest): Answer {
  const wanted = wantedIds(request);
  if (wanted instanceof RedisReply) return wanted;
  const lines: string[] = [];
  for (const other of session.engine.sessions as Iterable<Session>) {
    if (other.route !== session.route || !('resp' in other)) continue;
    if (wanted === null || wanted.has(other.id)) lines.push(describe(other as RedisSession));
  }
  return new RedisReply(verbatim(lines.map((line) => `${line}\n`).join(''), session.resp));
}

/** CLIENT LIST [TYPE normal|…] [ID id …]; null: all. */
function wantedIds(request: RedisRequest): ReadonlySet<number> | null | RedisReply {
  if (request.count === 2) return null;
  const option = request.argument(2);
  if (isWord(option, 'id') && request.count > 3) {
    const ids = new Set<number>();
    for (let i = 3; i < request.count; i++) {
      const text = request.argument(i).toString('latin1');
      if (!/^[1-9]\d{0,18}$/.test(text)) return error('ERR Invalid client ID');
      ids.add(Number(text));
    }
    return ids;
  }
  if (isWord(option, 'type') && request.count === 4) {
    const type = request.argument(3);
    if (isWord(type, 'normal') || isWord(type, 'pubsub')) return null;
    if (isWord(type, 'master') || isWord(type, 'replica') || isWord(type, 'slave')) return new Set();
    return error(`ERR Unknown client type '${type.toString('latin1').slice(0, 64)}'`);
  }
  return error('ERR syntax error');
}

function describe(session: RedisSession): string {
  const now = session.engine.clock.now();
  const { remoteAddress: remote } = session;
  const { link, inTransaction, watching } = session.own;
  const flags = `${link?.monitoring === true ? 'O' : ''}${link !== null && link.subscriptions > 0 ? 'P' : ''}`
    + `${inTransaction ? 'x' : ''}${session.noEvict ? 'e' : ''}${session.noTouch ? 'T' : ''}`;
  const fields: readonly (readonly [string, string | number])[] = [
    ['id', session.id], ['addr', address(remote === unixClient ? session.localAddress : remote, session.remotePort)],
    ['laddr', address(session.localAddress, session.localPort)], ['fd', -1], ['name', session.clientName],
    ['age', Math.floor((now - session.openedAt) / 1000)], ['idle', Math.floor(session.idleFor(now) / 1000)],
    ['flags', flags === '' ? 'N' : flags], ['db', session.database], ['sub', link?.channels ?? 0],
    ['psub', link?.patterns ?? 0], ['ssub', link?.shards ?? 0], ['multi', inTransaction ? 0 : -1],
    ['watch', watching ? 1 : 0], ['qbuf', 0], ['qbuf-free', 0], ['argv-mem', 0], ['multi-mem', 0], ['rbs', 0],
    ['rbp', 0], ['obl', 0], ['oll', 0], ['omem', session.connection.outbox.pending], ['tot-mem', session.held],
    ['events', 'r'], ['cmd', 'NULL'], ['user', session.user ?? 'default'], ['redir', -1], ['resp', session.resp],
    ['lib-name', session.libraryName], ['lib-ver', session.libraryVersion],
  ];
  return fields.map(([name, value]) => `${name}=${value}`).join(' ');
}

// As a server names it: both ends of a Unix socket by its path and port 0.
function address(host: string, port: number): string {
  return host.startsWith(unixClient) ? `${host.slice(unixClient.length)}:${port}` : endpoint(host, port);
}

/** SELECT, AUTH, HELLO and RESET. Nothing of the client is under way while it runs. */
export async function introduce(session: RedisSession, request: RedisRequest): Promise<Answer> {
  const wrong = wrongArity(request);
  if (wrong !== null) return wrong;
  try {
    switch (request.name) {
      case 'select': return await select(session, request);
      case 'auth': return await authenticate(session, request);
      case 'hello': return await hello(session, request);
      default: return reset(session, request);
    }
  } catch (cause) {
    return cause instanceof ProxyError ? cause : new ProxyError('INTERNAL', undefined, { cause });
  }
}

function reset(session: RedisSession, request: RedisRequest): Answer {
  request.silent = false;
  session.own.drop();
  session.database = 0;
  session.resp = 2;
  session.credentials = null;
  session.clientName = '';
  session.silence = 'none';
  session.noEvict = session.noTouch = false;
  return new RedisReply(RESET);
}

async function select(session: RedisSession, request: RedisRequest): Promise<Answer> {
  const text = request.argument(1).toString('latin1');
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return error('ERR value is not an integer or out of range');
  const before = session.database;
  const wanted = Number(text);
  if (wanted !== (wanted | 0)) {
    return error('ERR value is out of range, value must between -2147483648 and 2147483647');
  }
  if (wanted < 0) return error('ERR DB index is out of range');
  session.database = wanted;
  // A link of that database is greeted with SELECT: whether there is such a database is the server's to say.
  const link = session.nodes.sharedLink();
  if (link === null) {
    session.database = before;
    return new ProxyError('NO_NODE');
  }
  const failed = await new Promise<ProxyError | null>((resolve) => link.whenReady(resolve));
  if (failed === null) return ok();
  session.database = before;
  return link.refusal === null ? failed : error(link.refusal);
}

async function authenticate(session: RedisSession, request: RedisRequest): Promise<Answer> {
  if (request.count > 3) return error('ERR syntax error');
  const args = argumentsOf(request);
  const reply = await ask(session, args, null);
  if (reply[0] !== 0x2b) return refused(session, reply);
  session.credentials = credentialsOf(args.slice(1));
  return new RedisReply(reply);
}

async function hello(session: RedisSession, request: RedisRequest): Promise<Answer> {
  const args = argumentsOf(request);
  // Without a version it asks about the one that is spoken, and the door's link speaks RESP2.
  const question = args.length === 1 && session.resp === 3 ? [args[0]!, Buffer.from('3')] : args;
  const reply = await ask(session, question, session.credentials);
  if (reply[0] === 0x2d) return refused(session, reply);
  applyHello(session, args);
  return new RedisReply(withOwnId(reply, session.id));
}

function applyHello(session: RedisSession, args: readonly Buffer[]): void {
  if (args.length > 1) session.resp = args[1]!.toString('latin1') === '3' ? 3 : 2;
  for (let i = 2; i < args.length; i++) {
    if (isWord(args[i]!, 'auth') && i + 2 < args.length) {
      session.credentials = credentialsOf(args.slice(i + 1, i + 3));
      i += 2;
    } else if (isWord(args[i]!, 'setname') && i + 1 < args.length) {
      session.clientName = args[++i]!.toString('latin1');
    }
  }
}

/** A command about the client that ran on its own link, and succeeded there. */
export function applyToSession(session: RedisSession, request: RedisRequest): void {
  const args = argumentsOf(request);
  if (request.name === 'select') session.database = Number(args[1]?.toString('latin1') ?? 0);
  else if (request.name === 'auth') session.credentials = credentialsOf(args.slice(1));
  else if (request.name === 'hello') applyHello(session, args);
  else if (request.name === 'client') answerAtDoor(session, request);
}

function ask(session: RedisSession, args: readonly Buffer[], credentials: Credentials | null): Promise<Buffer> {
  const set = session.nodes.choose();
  if (set === null) throw new ProxyError('NO_NODE');
  return set.door.ask(credentials ?? set.credentials, args);
}

const minute = 60_000;

/** Somebody who guesses passwords is closed: counted per address, so that a new connection does not begin anew. */
function refused(session: RedisSession, reply: Buffer): Answer {
  const text = reply.toString('utf8', 1, Math.max(1, reply.length - 2));
  if (!/^(WRONGPASS|ERR)/.test(text)) return new RedisReply(reply);
  if (text.startsWith('WRONGPASS')) {
    const { windows, limits, clock } = session.engine;
    const id = `redis/auth-failures/${holderOf(session.remoteAddress)}`;
    if (windows.takeFixed(id, limits.authFailures, minute, clock.now()) <= 0) {
      return new ProxyError('PROTOCOL_ERROR', text, { close: true });
    }
  }
  return new RedisReply(reply);
}

function credentialsOf(args: readonly Buffer[]): Credentials {
  // Passwords are bytes; latin1 keeps each as it is, and `encodeRequest` gets them as buffers again.
  const [first, second] = args;
  if (second === undefined) return { user: null, password: first!.toString('latin1') };
  return { user: first!.toString('latin1'), password: second.toString('latin1') };
}

function argumentsOf(request: RedisRequest): Buffer[] {
  return Array.from({ length: request.count }, (_, i) => request.argument(i));
}

/** HELLO says a connection's id: the client's here, not that of the link the question went by. */
function withOwnId(reply: Buffer, id: number): Buffer {
  const text = reply.toString('latin1').replace(/(\$2\r\nid\r\n:)\d+/, (_all, before: string) => `${before}${id}`);
  return Buffer.from(text, 'latin1');
}

function ok(): RedisReply {
  return new RedisReply(OK);
}

function error(text: string): RedisReply {
  return new RedisReply(errorLine(text));
}
