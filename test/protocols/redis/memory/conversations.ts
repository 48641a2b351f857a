// Several clients in turn: who sends what (raw bytes, latin1). 'close' closes the client's end; the speaker
// 'wait' lets so many milliseconds pass.

export type Turn = readonly [who: string, bytes: string];

export interface Conversation {
  readonly about: string;
  readonly turns: readonly Turn[];
}

const multi = (...lines: readonly string[]): string => lines.map((line) => `${line}\r\n`).join('');
const long = 'x'.repeat(66_000);

export const conversations: readonly Conversation[] = [
  { about: 'counts that are no integers close the connection', turns: [
    ['a', '*01\r\n'], ['b', '*+1\r\n'], ['c', '* 1\r\n'], ['d', '*1e3\r\n'], ['e', '*0x1\r\n'],
    ['f', '*-0\r\n'], ['g', '*\r\n'], ['h', '*2147483648\r\n'], ['i', '*9223372036854775808\r\n'],
    ['j', '*1\n$4\r\nPING\r\n'],
  ] },
  { about: 'empty requests are passed over', turns: [
    ['a', '*0\r\nPING\r\n'], ['a', '*-1\r\nPING\r\n'], ['a', '*-5\r\nPING\r\n'], ['a', '\r\n\r\n\nPING\r\n'],
    ['a', '   \r\nPING\r\n'], ['a', '*1\r\n$0\r\n\r\nPING\r\n'],
  ] },
  { about: 'bad bulk lengths close the connection', turns: [
    ['a', '*1\r\n$-1\r\n'], ['b', '*1\r\n$1e1\r\n'], ['c', '*1\r\n$\r\n'], ['d', '*1\r\n$536870913\r\n'],
    ['e', '*2\r\n$3\r\nGET\r\n:5\r\n'], ['f', '*1\r\nPING\r\n'], ['g', '*1\r\n\xff\r\n'], ['h', '*1\r\n\r\n'],
    ['i', '*1\r\n$01\r\n'],
  ] },
  { about: 'the bytes behind a bulk string are not looked at', turns: [
    ['a', '*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n'],
  ] },
  { about: 'replies to commands before a protocol error are sent', turns: [
    ['a', 'PING\r\nPING\r\n*x\r\nPING\r\n'],
  ] },
  { about: 'lines that are too long close the connection', turns: [
    ['a', long], ['b', `*${'1'.repeat(66_000)}`], ['c', `*1\r\n$${'1'.repeat(66_000)}`],
  ] },
  { about: 'inline arguments may be quoted', turns: [
    ['a', 'SET k "a b\\x41\\n\\"c" \r\nGET k\r\n'], ['a', "SET k 'it\\'s \\n'\r\nGET k\r\n"],
    ['a', 'SET k a"b c"\r\nGET k\r\n'], ['a', 'SET k ""\r\nGET k\r\n'], ['a', 'ECHO "\\xZZ\\q"\r\n'],
    ['a', 'PING\n'], ['a', '\tPING  \t hi\r\n'], ['a', 'ECHO a\x0bb\r\n'], ['a', 'ECHO a\0b c\r\n'],
    ['a', 'ECHO "a\r\n'], ['b', 'ECHO "a"b\r\n'], ['c', "ECHO 'a\r\n"], ['d', "ECHO 'a'b\r\n"],
    ['e', 'ECHO "abc\\"\r\n'], ['f', 'ECHO "a"\x0b\r\n'],
  ] },
  { about: 'requests of browsers are closed without an answer', turns: [
    ['a', 'POST / HTTP/1.1\r\n'], ['b', 'PING\r\nHost: x\r\nPING\r\n'],
    ['c', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ] },
  { about: 'QUIT answers, then closes, whatever follows and wherever it stands', turns: [
    ['a', 'PING\r\nQUIT\r\nPING\r\n'], ['b', 'MULTI\r\nQUIT\r\n'], ['c', 'QUIT now\r\n'],
    ['d', 'SUBSCRIBE x\r\nQUIT\r\n'],
  ] },
  { about: 'CLIENT REPLY drops replies', turns: [
    ['a', 'CLIENT REPLY SKIP\r\nPING\r\nPING a\r\n'], ['a', 'CLIENT REPLY OFF\r\nPING\r\nNOSUCH\r\n'],
    ['a', 'CLIENT REPLY SKIP\r\nPING\r\nPING\r\n'], ['a', 'CLIENT REPLY ON\r\nPING\r\n'],
    ['a', 'HELLO 3 FOO\r\nCLIENT REPLY OFF\r\nSUBSCRIBE ch\r\n'], ['b', 'PUBLISH ch hi\r\n'],
    ['a', 'UNSUBSCRIBE\r\n'], ['a', 'GET\r\nCLIENT REPLY ON\r\n'],
    ['d', 'CLIENT REPLY OFF\r\nRESET\r\nPING\r\n'], ['e', 'CLIENT REPLY SKIP\r\nBLPOP none 0.01\r\n'],
    ['wait', '60'], ['e', 'PING\r\n'],
  ] },
  ...(['2', '3'] as const).flatMap((resp): Conversation[] => {
    const hello = (who: string): Turn => [who, `HELLO ${resp} FOO\r\n*2\r\n$5\r\nHELLO\r\n$1\r\n${resp}\r\n`];
    return [
      { about: `subscribers get messages in RESP${resp}`, turns: [
        hello('s'), hello('p'), ['s', 'SUBSCRIBE a b a\r\n'], ['s', 'PSUBSCRIBE a* b?\r\n'],
        ['s', 'SSUBSCRIBE sh\r\n'], ['p', 'PUBLISH a 1\r\n'], ['p', 'PUBLISH none 1\r\n'],
        ['p', 'SPUBLISH sh x\r\nPUBLISH sh y\r\n'],
        ['p', 'PUBSUB CHANNELS x*\r\nPUBSUB CHANNELS a\r\nPUBSUB NUMSUB a b none\r\n'],
        ['p', 'PUBSUB NUMPAT\r\nPUBSUB NUMSUB\r\n'],
        ['p', 'PUBSUB SHARDCHANNELS\r\nPUBSUB SHARDNUMSUB sh a\r\nPUBSUB\r\n'],
        ['p', 'PUBSUB FOO\r\nPUBSUB CHANNELS a b\r\nPUBSUB NUMPAT x\r\n'],
        ['s', 'PING\r\nPING hi\r\nGET a\r\n'], ['s', 'ECHO x\r\nNOSUCH\r\nGET\r\nMULTI\r\n'],
        ['s', 'DISCARD\r\nEXEC\r\nHELLO\r\nHELLO 9\r\n'], ['s', 'UNSUBSCRIBE a\r\nUNSUBSCRIBE none\r\n'],
        ['s', 'PUNSUBSCRIBE a* b?\r\nPUNSUBSCRIBE\r\n'], ['s', 'UNSUBSCRIBE\r\nUNSUBSCRIBE\r\n'],
        ['s', 'PING\r\nGET a\r\n'], ['s', 'SUNSUBSCRIBE\r\nSUNSUBSCRIBE\r\nPING\r\n'],
        ['s', 'SUBSCRIBE\r\nPSUBSCRIBE\r\nSSUBSCRIBE\r\nPUBLISH a\r\n'], ['p', 'PUBLISH a 1\r\n'],
      ] },
      { about: `a subscription can be made in MULTI, and RESET ends it, in RESP${resp}`, turns: [
        hello('s'), ['s', 'MULTI\r\nSUBSCRIBE a\r\nPSUBSCRIBE b*\r\nEXEC\r\n'], ['p', 'PUBLISH a 1\r\n'],
        ['s', 'RESET\r\nPING\r\n'], ['p', 'PUBLISH a 1\r\n'],
      ] },
      { about: `a client that publishes to itself in RESP${resp}`, turns: [
        hello('s'), ['s', 'SUBSCRIBE a\r\nPUBLISH a 1\r\nPING\r\n'],
        ['s', 'MULTI\r\nPUBLISH a 2\r\nEXEC\r\n'],
      ] },
      { about: `blocked clients are served in order in RESP${resp}`, turns: [
        hello('a'), hello('b'), hello('p'), ['a', 'BLPOP x y 0\r\n'], ['b', 'BRPOP y x 0\r\n'],
        ['p', 'RPUSH y 1 2 3\r\n'], ['p', 'LRANGE y 0 -1\r\n'], ['a', 'BLPOP x 0\r\nPING after\r\n'],
        ['p', 'MULTI\r\nRPUSH x a\r\nLPOP x\r\nEXEC\r\n'],
        ['p', 'MULTI\r\nRPUSH x a\r\nLPUSH x b\r\nEXEC\r\n'], ['p', 'DEL x y\r\n'],
        ['a', 'BLMOVE x y LEFT RIGHT 0\r\n'], ['b', 'BLPOP y 0\r\n'], ['p', 'RPUSH x moved\r\n'],
        ['p', 'EXISTS x y\r\n'], ['a', 'BRPOPLPUSH x str 0\r\n'], ['p', 'SET str 1\r\nRPUSH x v\r\n'],
        ['p', 'LRANGE x 0 -1\r\nDEL x str\r\n'], ['a', 'BLMPOP 0 2 x y LEFT COUNT 2\r\n'],
        ['p', 'RPUSH y 1 2 3\r\nLLEN y\r\nDEL y\r\n'], ['a', 'BZPOPMIN z 0\r\n'], ['b', 'BZPOPMAX z 0\r\n'],
        ['p', 'ZADD z 1 a 2 b 3 c\r\nZCARD z\r\nDEL z\r\n'], ['a', 'BZMPOP 0 1 z MAX COUNT 2\r\n'],
        ['p', 'ZADD z 1 a 2 b 3 c\r\nDEL z\r\n'], ['a', 'BLPOP x 0\r\n'], ['p', 'SET x str\r\n'],
        ['p', 'DEL x\r\nZADD x 1 a\r\nDEL x\r\nRPUSH other v\r\nRENAME other x\r\n'], ['a', 'BLPOP x 0\r\n'],
        ['p', 'RPUSH other v\r\nCOPY other x\r\nDEL other\r\n'], ['a', 'BLPOP x 0\r\n'],
        ['p', 'SELECT 1\r\nRPUSH x v\r\nMOVE x 0\r\nSELECT 0\r\n'], ['a', 'BLPOP x 0\r\n'],
        ['p', 'SELECT 1\r\nRPUSH x v\r\nSWAPDB 0 1\r\nFLUSHALL\r\nSELECT 0\r\n'], ['a', 'BLPOP x x 0\r\n'],
        ['p', 'LPUSH x 1\r\n'], ['a', 'BLPOP x 0.02\r\nPING\r\n'], ['wait', '60'],
        ['a', 'BLMOVE x y LEFT LEFT 0.02\r\nBZPOPMIN x 0.02\r\n'], ['wait', '120'],
        ['a', 'BLMOVE x x LEFT RIGHT 0\r\n'], ['p', 'RPUSH x 1\r\nLRANGE x 0 -1\r\n'],
      ] },
    ];
  }),
  { about: 'a client that went away while blocked takes nothing', turns: [
    ['a', 'BLPOP x 0\r\n'], ['a', 'close'], ['p', 'RPUSH x 1\r\n'], ['p', 'LLEN x\r\n'],
  ] },
  { about: 'WATCH sees what another connection does', turns: [
    ['a', multi('SET k 1', 'WATCH k', 'MULTI', 'INCR k')], ['b', 'SET k 5\r\n'], ['a', 'EXEC\r\nGET k\r\n'],
    ['a', multi('WATCH k', 'MULTI', 'INCR k')], ['b', 'GET k\r\n'], ['a', 'EXEC\r\n'],
    ['a', multi('WATCH k', 'GET k')], ['b', 'DEL k\r\n'], ['a', multi('MULTI', 'PING', 'EXEC')],
    ['a', multi('WATCH k')], ['b', 'FLUSHALL\r\n'], ['a', multi('MULTI', 'PING', 'EXEC')],
    ['a', multi('SET k 1', 'WATCH k')], ['b', 'FLUSHALL\r\n'], ['a', multi('MULTI', 'PING', 'EXEC')],
    ['a', multi('SET k 1', 'WATCH k')], ['b', 'RENAME k j\r\n'], ['a', multi('MULTI', 'PING', 'EXEC')],
    ['a', multi('SET k 1 PX 60', 'WATCH k')], ['wait', '100'], ['a', multi('MULTI', 'PING', 'EXEC')],
    ['a', multi('WATCH j', 'UNWATCH')], ['b', 'SET j 2\r\n'], ['a', multi('MULTI', 'PING', 'EXEC')],
    ['a', multi('WATCH j', 'RESET')], ['b', 'SET j 3\r\n'], ['a', multi('MULTI', 'PING', 'EXEC')],
  ] },
  { about: 'keys expire', turns: [
    ['a', multi('SET k v PX 60', 'GET k', 'EXISTS k')], ['wait', '100'],
    ['a', multi('GET k', 'EXISTS k', 'TTL k', 'TYPE k', 'STRLEN k', 'DEL k', 'PERSIST k')],
    ['a', multi('KEYS *', 'SCAN 0', 'RANDOMKEY')],
    ['a', multi('RPUSH l 1', 'PEXPIRE l 60', 'RPUSH l 2')], ['wait', '100'],
    ['a', multi('LLEN l', 'RPUSH l 3', 'TTL l')], ['a', multi('SET n 1 PX 60')], ['wait', '100'],
    ['a', multi('RENAME n m', 'SETNX n 1', 'SET n 1 PX 60')], ['wait', '100'],
    ['a', multi('SET n 2 XX', 'INCR n', 'TTL n')],
  ] },
];
