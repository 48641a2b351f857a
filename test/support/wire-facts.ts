// What Redis 7.0.15 sends for these bytes, as a table. The proxy owes the same bytes; where it owes something
// better, `proxy` says what and why. Verified against the real server by wire-facts.test.ts.
import { RespClient } from './resp-client.ts';

export interface Outcome {
  /** The bytes exactly, or a pattern for replies with ids and times in them. */
  readonly expect: string | RegExp;
  /** The other side ends the connection (FIN or RST). */
  readonly closes: boolean;
}

export interface WireFact extends Outcome {
  readonly name: string;
  /** `password`: the server has `requirepass pw`. */
  readonly server: 'open' | 'password';
  /** One write each, with a pause between them. */
  readonly send: readonly Buffer[];
  /** What the proxy owes instead of what the server does. */
  readonly proxy?: Outcome & { readonly why: string };
}

const ERR_COUNT = '-ERR Protocol error: invalid multibulk length\r\n';
const ERR_BULK = '-ERR Protocol error: invalid bulk length\r\n';
const ERR_QUOTES = '-ERR Protocol error: unbalanced quotes in request\r\n';
const NOAUTH = '-NOAUTH Authentication required.\r\n';
const WRONGPASS = '-WRONGPASS invalid username-password pair or user is disabled.\r\n';
const unknown = (name: string, args = ''): string =>
  `-ERR unknown command '${name}', with args beginning with: ${args}\r\n`;
const array = (...bulks: string[]): string => `*${bulks.length}\r\n${bulks.join('')}`;
const bulk = (text: string): string => `$${Buffer.byteLength(text, 'latin1')}\r\n${text}\r\n`;

type Row = readonly [name: string, send: string | readonly string[], expect: string | RegExp,
  closes?: 'close'];

// P1, P10: lengths and counts.
const counts: Row[] = [
  ...['01', '+1', ' 1', '1e3', '0x1', '-0', '', '1 ', '1.0', '1,', 'a', '--1', '99999999999999999999',
    '2147483648']
    .map((count): Row => [`a count of "${count}" is refused`, `*${count}\r\n`, ERR_COUNT, 'close']),
  ['a count line that ends with LF, CRLF later, is refused', '*1\n$4\r\nPING\r\n', ERR_COUNT, 'close'],
  ...['*0\r\n', '*-1\r\n', '*-5\r\n', '\r\n', '\n']
    .map((nothing): Row => [`${JSON.stringify(nothing)} is nothing`, `${nothing}PING\r\n`, '+PONG\r\n']),
  ['a count that is large is waited for', '*1048576\r\n', ''],
  ...['-1', '1e1', '', '01', '+4', ' 4', '4 ', '0x4', '-0', '4.0', 'a', '-5', '536870913',
    '99999999999999999999']
    .map((size): Row => [`a bulk length of "${size}" is refused`, `*1\r\n$${size}\r\n`, ERR_BULK, 'close']),
  ['a null bulk as a later argument is refused', '*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$-1\r\n', ERR_BULK, 'close'],
  ['a bulk of 512 MiB is waited for', '*1\r\n$536870912\r\n', ''],
  ['an integer as argument is refused', '*2\r\n$4\r\nECHO\r\n:5\r\n',
    "-ERR Protocol error: expected '$', got ':'\r\n", 'close'],
  ['a simple string as argument is refused', '*1\r\n+PING\r\n',
    "-ERR Protocol error: expected '$', got '+'\r\n", 'close'],
  ['an array as argument is refused', '*1\r\n*1\r\n$4\r\nPING\r\n',
    "-ERR Protocol error: expected '$', got '*'\r\n", 'close'],
  ['what came before a protocol error is answered first', 'PING\r\n*1\r\n$4\r\nPING\r\n*x\r\nPING\r\n',
    `+PONG\r\n+PONG\r\n${ERR_COUNT}`,
    'close'],
  ['the empty command is unknown', '*1\r\n$0\r\n\r\n', unknown('')],
  ['a count line over 64 KiB is refused', `*${'1'.repeat(65_537)}`,
    /^-ERR Protocol error: (invalid multibulk length|too big mbulk count string)\r\n$/, 'close'],
  ['a length line over 64 KiB is refused', `*1\r\n$${'1'.repeat(65_537)}`,
    /^-ERR Protocol error: (invalid bulk length|too big bulk count string)\r\n$/, 'close'],
  ['a command in single bytes is answered', '*1\r\n$4\r\nPING\r\n'.split(''), '+PONG\r\n'],
];

// P7, P8, D13: inline commands and what is no RESP.
const inline: Row[] = [
  ['64 KiB without a newline are too much', 'x'.repeat(65_537),
    '-ERR Protocol error: too big inline request\r\n', 'close'],
  ['an unbalanced double quote is refused', 'PING "x\r\n', ERR_QUOTES, 'close'],
  ['an unbalanced single quote is refused', "PING 'x\r\n", ERR_QUOTES, 'close'],
  ['a quote in the middle of a word is refused', 'PING "x"y\r\n', ERR_QUOTES, 'close'],
  ['double quotes know escapes', 'PING "\\x41\\n\\r\\t\\a\\b\\q\\""\r\n', bulk('A\n\r\t\x07\bq"')],
  ['double quotes know bytes in hexadecimal', 'PING "\\xff\\x00\\xZ1"\r\n', bulk('\xff\x00xZ1')],
  ['single quotes know only their own escape', "PING 'a\\'b\\n'\r\n", bulk("a'b\\n")],
  ['an empty word in quotes is an argument', 'PING ""\r\n', bulk('')],
  ['an empty name in quotes is unknown', '""\r\n', unknown('')],
  ['tabs and spaces part words', '  PING\t x  \r\n', bulk('x')],
  ['a line may end with LF alone', 'PING x\n', bulk('x')],
  ['inline and arrays mix', 'PING a\r\n*2\r\n$4\r\nPING\r\n$1\r\nb\r\nPING c\n',
    bulk('a') + bulk('b') + bulk('c')],
  ['POST ends the connection without a word', 'POST / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n', '', 'close'],
  ['post in lower case as well', 'post a\r\nPING\r\n', '', 'close'],
  ['POST in an array as well', '*1\r\n$4\r\nPOST\r\n', '', 'close'],
  ['Host: ends the connection without a word', 'Host: x\r\nPING\r\n', '', 'close'],
  // The error for GET is lost when both lines come at once.
  ['GET of HTTP ends at the Host line', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    /^(-ERR wrong number of arguments for 'get' command\r\n)?$/, 'close'],
  ['CR and LF in a name are shown as spaces', '*1\r\n$8\r\nFO\r\nO\r\nX\r\n', unknown('FO  O  X')],
  ['an unknown name is shown in full up to 128 bytes', `${'n'.repeat(200)}\r\n`, unknown('n'.repeat(128))],
  ['arguments of an unknown command are shown up to 128 bytes', `nope ${'y'.repeat(200)} z\r\n`,
    unknown('nope', `'${'y'.repeat(128)}' `)],
  ['names of Object.prototype are unknown commands', '__proto__ a\r\nconstructor\r\ntoString\r\n',
    unknown('__proto__', "'a' ") + unknown('constructor') + unknown('toString')],
  ['an unknown subcommand says where help is', 'client nope\r\n',
    "-ERR unknown subcommand 'nope'. Try CLIENT HELP.\r\n"],
  ['too few arguments', 'get\r\n', "-ERR wrong number of arguments for 'get' command\r\n"],
  ['a PROXY header is an unknown command', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nPING\r\n',
    `${unknown('PROXY', "'TCP4' '1.2.3.4' '5.6.7.8' '1' '2' ")}+PONG\r\n`],
];

// Connection state on an open server.
const state: Row[] = [
  ['QUIT answers and ignores the rest', 'PING\r\nQUIT\r\nPING\r\n', '+PONG\r\n+OK\r\n', 'close'],
  ['QUIT works inside MULTI', 'MULTI\r\nSET wf:quit 1\r\nQUIT\r\nPING\r\n', '+OK\r\n+QUEUED\r\n+OK\r\n',
    'close'],
  ['HELLO 4 is refused and stays open', 'HELLO 4\r\nPING\r\n',
    '-NOPROTO unsupported protocol version\r\n+PONG\r\n'],
  ['HELLO wants a number', 'HELLO x\r\nHELLO 3x\r\nHELLO 1\r\nPING\r\n',
    '-ERR Protocol version is not an integer or out of range\r\n'.repeat(2) + '-NOPROTO unsupported protocol version\r\n+PONG\r\n'],
  ['HELLO 3 answers a map', 'HELLO 3\r\nGET wf:none\r\n',
    /^%7\r\n\$6\r\nserver\r\n\$5\r\nredis\r\n\$7\r\nversion\r\n[^%]*\$5\r\nproto\r\n:3\r\n\$2\r\nid\r\n:\d+\r\n\$4\r\nmode\r\n\$10\r\nstandalone\r\n\$4\r\nrole\r\n\$6\r\nmaster\r\n\$7\r\nmodules\r\n\*0\r\n_\r\n$/],
  ['a nested MULTI is an error that EXEC survives', 'MULTI\r\nMULTI\r\nEXEC\r\nPING\r\n',
    '+OK\r\n-ERR MULTI calls can not be nested\r\n*0\r\n+PONG\r\n'],
  ['an unknown command inside MULTI aborts EXEC', 'MULTI\r\nNOPE\r\nEXEC\r\n',
    `+OK\r\n${unknown('NOPE')}-EXECABORT Transaction discarded because of previous errors.\r\n`],
  ['a wrong number of arguments inside MULTI aborts EXEC', 'MULTI\r\nGET\r\nPING\r\nEXEC\r\nPING\r\n',
    "+OK\r\n-ERR wrong number of arguments for 'get' command\r\n+QUEUED\r\n" +
    '-EXECABORT Transaction discarded because of previous errors.\r\n+PONG\r\n'],
  ['EXEC and DISCARD want MULTI', 'EXEC\r\nDISCARD\r\n',
    '-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n'],
  ['WATCH inside MULTI is refused', 'MULTI\r\nWATCH a\r\nDISCARD\r\n',
    '+OK\r\n-ERR WATCH inside MULTI is not allowed\r\n+OK\r\n'],
  ['SUBSCRIBE inside MULTI is queued and answered inside EXEC', 'MULTI\r\nSUBSCRIBE wf\r\nEXEC\r\nPING\r\n',
    `+OK\r\n+QUEUED\r\n*1\r\n${array(bulk('subscribe'), bulk('wf'), ':1\r\n')}${array(bulk('pong'), bulk(''))}`],
  ['a SELECT that DISCARD takes back has no effect',
    'SET wf:db zero\r\nMULTI\r\nSELECT 1\r\nDISCARD\r\nGET wf:db\r\n',
    `+OK\r\n+OK\r\n+QUEUED\r\n+OK\r\n${bulk('zero')}`],
  ['RESET leaves MULTI', 'MULTI\r\nRESET\r\nEXEC\r\n', '+OK\r\n+RESET\r\n-ERR EXEC without MULTI\r\n'],
  ['RESET leaves subscriptions', 'SUBSCRIBE wf\r\nRESET\r\nPING\r\n',
    `${array(bulk('subscribe'), bulk('wf'), ':1\r\n')}+RESET\r\n+PONG\r\n`],
  ['RESET goes back to db 0', 'SET wf:db zero\r\nSELECT 1\r\nRESET\r\nGET wf:db\r\n',
    `+OK\r\n+OK\r\n+RESET\r\n${bulk('zero')}`],
  ['RESET goes back to RESP2', 'HELLO 3\r\nRESET\r\nGET wf:none\r\n',
    /^%7\r\n[^]*\*0\r\n\+RESET\r\n\$-1\r\n$/],
  ['RESET takes the name', 'CLIENT SETNAME wf\r\nRESET\r\nCLIENT GETNAME\r\n', '+OK\r\n+RESET\r\n$-1\r\n'],
  ['a RESP2 subscriber may only do a few things',
    'SUBSCRIBE wf\r\nGET a\r\nPING\r\nPING x\r\nUNSUBSCRIBE wf\r\nPING\r\n',
    `${array(bulk('subscribe'), bulk('wf'), ':1\r\n')}-ERR Can't execute 'get': only (P|S)SUBSCRIBE / ` +
    `(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n${array(bulk('pong'), bulk(''))}` +
    `${array(bulk('pong'), bulk('x'))}${array(bulk('unsubscribe'), bulk('wf'), ':0\r\n')}+PONG\r\n`],
  ['each channel has its own subscribe reply', 'SUBSCRIBE wf1 wf2\r\nPSUBSCRIBE wf*\r\n',
    array(bulk('subscribe'), bulk('wf1'), ':1\r\n') + array(bulk('subscribe'), bulk('wf2'), ':2\r\n') +
    array(bulk('psubscribe'), bulk('wf*'), ':3\r\n')],
  ['UNSUBSCRIBE without subscriptions answers once',
    'UNSUBSCRIBE\r\nUNSUBSCRIBE a b\r\nPUNSUBSCRIBE\r\nSUNSUBSCRIBE\r\nPING\r\n',
    array(bulk('unsubscribe'), '$-1\r\n', ':0\r\n') + array(bulk('unsubscribe'), bulk('a'), ':0\r\n') +
    array(bulk('unsubscribe'), bulk('b'), ':0\r\n') + array(bulk('punsubscribe'), '$-1\r\n', ':0\r\n') +
    `${array(bulk('sunsubscribe'), '$-1\r\n', ':0\r\n')}+PONG\r\n`],
  ['CLIENT REPLY SKIP hides itself and one reply', 'CLIENT REPLY SKIP\r\nPING\r\nPING x\r\n', bulk('x')],
  ['CLIENT REPLY OFF hides all until ON', 'CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\n',
    '+OK\r\n+PONG\r\n'],
  ['SELECT checks its number', 'SELECT 99\r\nSELECT x\r\n',
    '-ERR DB index is out of range\r\n-ERR value is not an integer or out of range\r\n'],
  ['AUTH without a password on the server', 'AUTH x\r\nAUTH a b\r\nAUTH\r\n',
    '-ERR AUTH <password> called without any password configured for the default user. ' +
    `Are you sure your configuration is correct?\r\n${WRONGPASS}-ERR wrong number of arguments for 'auth' command\r\n`],
];

const password: Row[] = [
  ['11 arguments before AUTH are too many', '*11\r\n',
    '-ERR Protocol error: unauthenticated multibulk length\r\n', 'close'],
  ['10 arguments before AUTH are allowed', '*10\r\n$4\r\nPING\r\n', ''],
  ['16385 bytes before AUTH are too long', '*1\r\n$16385\r\n',
    '-ERR Protocol error: unauthenticated bulk length\r\n', 'close'],
  ['16384 bytes before AUTH are allowed', '*1\r\n$16384\r\n', ''],
  ['the limits end with AUTH', ['AUTH pw\r\n', '*11\r\n$4\r\nPING\r\n'], '+OK\r\n'],
  ['commands before AUTH are refused', 'PING\r\nSUBSCRIBE a\r\nCLIENT INFO\r\n', NOAUTH.repeat(3)],
  ['an unknown command and wrong arguments are told before NOAUTH', 'NOPE\r\nGET\r\n',
    `${unknown('NOPE')}-ERR wrong number of arguments for 'get' command\r\n`],
  ['QUIT works before AUTH', 'QUIT\r\nPING\r\n', '+OK\r\n', 'close'],
  ['RESET works before AUTH', 'RESET\r\nPING\r\n', `+RESET\r\n${NOAUTH}`],
  ['AUTH lets in', 'AUTH bad\r\nAUTH default pw x\r\nAUTH default pw\r\nPING\r\n',
    `${WRONGPASS}-ERR syntax error\r\n+OK\r\n+PONG\r\n`],
  ['a wrong AUTH after a right one changes nothing', 'AUTH pw\r\nAUTH bad\r\nPING\r\n',
    `+OK\r\n${WRONGPASS}+PONG\r\n`],
  ['RESET takes the authentication', 'AUTH pw\r\nRESET\r\nPING\r\n', `+OK\r\n+RESET\r\n${NOAUTH}`],
  ['MULTI before AUTH', 'MULTI\r\nSET a 1\r\nEXEC\r\n',
    `${NOAUTH}${NOAUTH}-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n`],
  ['HELLO before AUTH says how', 'HELLO 3\r\nPING\r\n',
    '-NOAUTH HELLO must be called with the client already authenticated, otherwise ' +
    'the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same ' +
    `time\r\n${NOAUTH}`],
  ['HELLO with a wrong password changes nothing', 'HELLO 3 AUTH default bad\r\nPING\r\n', WRONGPASS + NOAUTH],
  ['HELLO checks its options', 'HELLO 3 AUTH default\r\nHELLO 3 NOPE\r\nHELLO 5 AUTH default pw\r\nPING\r\n',
    "-ERR Syntax error in HELLO option 'AUTH'\r\n-ERR Syntax error in HELLO option 'NOPE'\r\n" +
    `-NOPROTO unsupported protocol version\r\n${NOAUTH}`],
  ['HELLO can do AUTH and SETNAME', 'HELLO 2 AUTH default pw SETNAME wf\r\nCLIENT GETNAME\r\n',
    /^\*14\r\n[^]*\$5\r\nproto\r\n:2\r\n[^]*\*0\r\n\$2\r\nwf\r\n$/],
];

// Here the server is lenient or waits for ever; we owe an error at once (sections 7 and 16).
const stricter: Row[] = [
  ['a bulk without CRLF behind it', '*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n', '+PONG\r\n+PONG\r\n'],
  ['bare LF in all headers', '*1\n$4\nPING\n', ''],
  ['a NUL in an inline command', 'PING a\0b\r\nPING\r\n', ''],
];
const owed: readonly (NonNullable<WireFact['proxy']>)[] = [
  { expect: /^-ERR Protocol error: [^\r\n]+\r\n$/, closes: true,
    why: 'framing disagreement is smuggling (P2)' },
  { expect: /^-ERR Protocol error: [^\r\n]+\r\n$/, closes: true, why: 'the server waits for ever (P3)' },
  { expect: /^(-ERR [^\r\n]+\r\n)?$|^\$3\r\na\0b\r\n\+PONG\r\n$/, closes: false,
    why: 'any sane answer; the server waits for ever' },
];

function fact(server: WireFact['server'], [name, send, expect, closes]: Row): WireFact {
  const chunks = typeof send === 'string' ? [send] : send;
  return { name, server, send: chunks.map((chunk) => Buffer.from(chunk, 'latin1')), expect,
    closes: closes === 'close' };
}

export const wireFacts: readonly WireFact[] = [
  ...[...counts, ...inline, ...state].map((row) => fact('open', row)),
  ...password.map((row) => fact('password', row)),
  ...stricter.map((row, i) => ({ ...fact('open', row), proxy: owed[i] as NonNullable<WireFact['proxy']> })),
  {
    ...fact('open', ['more than 64 KiB inline with the newline in the same read', `${'x'.repeat(70_000)}\r\n`,
      /^-ERR (unknown command 'x{128}', with args beginning with: |Protocol error: too big inline request)\r\n$/]),
    proxy: { expect: '-ERR Protocol error: too big inline request\r\n', closes: true,
      why: 'the limit must not depend on the cut' },
  },
];

/** Runs one fact; returns null or what was different. `cut`: the bytes go out in pieces of this size. */
export async function checkWireFact(
  each: WireFact, port: number, options: { as: 'server' | 'proxy'; cut?: number },
): Promise<string | null> {
  const { expect, closes } = options.as === 'proxy' ? each.proxy ?? each : each;
  await using client = await RespClient.connect(port);
  const { cut } = options;
  const chunks = cut === undefined ? each.send : each.send.flatMap((bytes) => pieces(bytes, cut));
  for (const chunk of chunks) {
    if (client.ended !== null) break;
    client.send(chunk);
    if (chunks.length > 1) await new Promise((resolve) => { setTimeout(resolve, 2); });
  }
  const deadline = performance.now() + 2000;
  let got = '';
  // A reply or end that is due is waited for; what must not come gets 80 ms to come.
  do {
    got += (await client.readRaw({ idle: 80 })).toString('latin1');
  } while (performance.now() < deadline && (!matches(expect, got) || (closes && client.ended === null))
    && client.ended === null);
  if (!matches(expect,
    got)) return `expected ${String(expect).slice(0, 300)}, got ${JSON.stringify(got.slice(0, 600))}`;
  if (closes !== (client.ended !== null)) return closes ? 'expected a close, the connection stays open'
    : `expected it open, got ${client.ended}`;
  return null;
}

function matches(expect: string | RegExp, got: string): boolean {
  return typeof expect === 'string' ? got === expect : expect.test(got);
}

function pieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) },
    (_, i) => bytes.subarray(i * size, (i + 1) * size));
}
