// Arguments for the leak matrix: what COMMAND DOCS can't say. Everything else is made from the documented
// syntax.

/** A key of each type, set up anew before every entry. */
export const keysByGroup: Readonly<Record<string, string>> = {
  string: 'lm:string', list: 'lm:list', hash: 'lm:hash', set: 'lm:set', 'sorted-set': 'lm:zset',
  stream: 'lm:stream',
  geo: 'lm:geo', hyperloglog: 'lm:hll', bitmap: 'lm:string',
};

/** Puts the server back into the state that the probes expect. Database 1 differs from database 0. */
export const restoring: readonly (readonly string[])[] = [
  ['CLIENT', 'UNPAUSE'], ['SELECT', '0'], ['FLUSHALL'],
  ['SELECT', '1'], ['SET', 'lm:canary', 'one'], ['SELECT', '0'], ['SET', 'lm:canary', 'zero'],
  ['SET', 'lm:string', '1'], ['RPUSH', 'lm:list', '1', '2', '3'], ['HSET', 'lm:hash', 'f', '1'],
  ['SADD', 'lm:set', 'm', '1'],
  ['ZADD', 'lm:zset', '1', 'm'], ['XADD', 'lm:stream', '1-1', 'f', 'v'],
  ['XGROUP', 'CREATE', 'lm:stream', 'lm', '0'],
  ['GEOADD', 'lm:geo', '13.361389', '38.115556', 'm'], ['PFADD', 'lm:hll', 'a'],
  ['ACL', 'SETUSER', 'lmuser', 'reset', 'on', '>lmpw', '~*', '&*', '+@all'], ['ACL', 'DELUSER', 'lmother'],
  ['FUNCTION', 'LOAD', 'REPLACE', "#!lua name=lm\nredis.register_function('lm', function() return 1 end)"],
  ['SCRIPT', 'LOAD', 'return 1'],
];

const SHA_OF_RETURN_1 = 'e0e1f9fabfc9d4800c877a703b823ac0578ff8db';

/** Arguments behind the name (`a|b` for subcommands), split at spaces. */
export const byHand: Readonly<Record<string, string | readonly string[]>> = {
  'acl|deluser': 'lmother', 'acl|dryrun': 'lmuser get lm:string', 'acl|getuser': 'lmuser',
  'acl|setuser': 'lmother on',
  'acl|genpass': '', auth: 'lmuser lmpw', hello: '3',
  bitfield: 'lm:string GET u8 0', bitfield_ro: 'lm:string GET u8 0', bitop: 'AND lm:dest lm:string',
  bitpos: 'lm:string 1',
  blmove: 'lm:none lm:dest LEFT LEFT 0', blmpop: '0 1 lm:none LEFT', blpop: 'lm:none 0', brpop: 'lm:none 0',
  brpoplpush: 'lm:none lm:dest 0', bzmpop: '0 1 lm:none MIN', bzpopmax: 'lm:none 0', bzpopmin: 'lm:none 0',
  wait: '1 0',
  'client|caching': 'YES', 'client|kill': 'ID 999999999', 'client|list': '', 'client|no-evict': 'ON',
  'client|pause': '1',
  'client|reply': 'OFF', 'client|setname': 'leaked', 'client|tracking': 'ON', 'client|unblock': '999999999',
  'command|getkeys': 'GET a', 'command|getkeysandflags': 'GET a', 'config|set': 'maxmemory-samples 5',
  copy: 'lm:string lm:dest', debug: 'SLEEP 0',
  eval: ['return 1', '0'], eval_ro: ['return 1', '0'], evalsha: `${SHA_OF_RETURN_1} 0`,
  evalsha_ro: `${SHA_OF_RETURN_1} 0`,
  'script|exists': SHA_OF_RETURN_1, 'script|load': ['return 1'], 'script|debug': 'YES',
  fcall: 'lm 0', fcall_ro: 'lm 0', 'function|delete': 'lm', 'function|restore': 'v', 'function|stats': '',
  'function|load': ['REPLACE', "#!lua name=lm\nredis.register_function('lm', function() return 1 end)"],
  geodist: 'lm:geo m m', georadius: 'lm:geo 13 38 1 km', georadius_ro: 'lm:geo 13 38 1 km',
  georadiusbymember: 'lm:geo m 1 km', georadiusbymember_ro: 'lm:geo m 1 km',
  geosearch: 'lm:geo FROMMEMBER m BYRADIUS 1 km', geosearchstore: 'lm:dest lm:geo FROMMEMBER m BYRADIUS 1 km',
  getex: 'lm:string', hincrby: 'lm:hash f 1', hincrbyfloat: 'lm:hash f 1', 'latency|graph': 'command',
  'latency|histogram': '',
  linsert: 'lm:list BEFORE 2 x', lset: 'lm:list 0 x', lmpop: '1 lm:list LEFT', lolwut: '',
  migrate: '127.0.0.1 1 lm:string 0 100', 'module|load': '/nonexistent', 'module|loadex': '/nonexistent',
  'module|unload': 'nonexistent', move: 'lm:string 1', 'object|freq': 'lm:string', pfdebug: 'ENCODING lm:hll',
  pfcount: 'lm:hll', pfmerge: 'lm:hll', psync: '? -1', rename: 'lm:string lm:dest',
  renamenx: 'lm:string lm:dest',
  replconf: 'listening-port 1', replicaof: 'NO ONE', slaveof: 'NO ONE', select: '1', swapdb: '0 1',
  sinter: 'lm:set',
  sintercard: '1 lm:set', sort: 'lm:list', sort_ro: 'lm:list', zmpop: '1 lm:zset MIN', zadd: 'lm:zset 1 n',
  zdiff: '1 lm:zset',
  zdiffstore: 'lm:dest 1 lm:zset', zinter: '1 lm:zset', zintercard: '1 lm:zset',
  zinterstore: 'lm:dest 1 lm:zset',
  zunion: '1 lm:zset', zunionstore: 'lm:dest 1 lm:zset', zrangestore: 'lm:dest lm:zset 0 -1',
  zlexcount: 'lm:zset - +',
  zrangebylex: 'lm:zset - +', zrevrangebylex: 'lm:zset + -', zremrangebylex: 'lm:zset - +',
  zrange: 'lm:zset 0 -1',
  xack: 'lm:stream lm 1-1', xadd: 'lm:stream * f v', xautoclaim: 'lm:stream lm c 0 0-0',
  xclaim: 'lm:stream lm c 0 1-1',
  xdel: 'lm:stream 1-1', 'xgroup|create': 'lm:stream new $', 'xgroup|createconsumer': 'lm:stream lm c',
  'xgroup|delconsumer': 'lm:stream lm c', 'xgroup|destroy': 'lm:stream lm', 'xgroup|setid': 'lm:stream lm $',
  'xinfo|consumers': 'lm:stream lm', xpending: 'lm:stream lm', xrange: 'lm:stream - +',
  xrevrange: 'lm:stream + -',
  xread: 'BLOCK 0 STREAMS lm:stream $', xreadgroup: 'GROUP lm c BLOCK 0 STREAMS lm:none >',
  xsetid: 'lm:stream 9-9',
  xtrim: 'lm:stream MAXLEN 1', restore: 'lm:dest 0 v', 'restore-asking': 'lm:dest 0 v',
  'memory|usage': 'lm:string',
};

/** Commands that wait; A also disconnects while they do. */
export const blocking: ReadonlySet<string> = new Set([
  'blmove', 'blmpop', 'blpop', 'brpop', 'brpoplpush', 'bzmpop', 'bzpopmax', 'bzpopmin', 'wait', 'xread',
  'xreadgroup',
  'monitor', 'subscribe', 'psubscribe', 'ssubscribe',
]);

/** Refused by default on shared links: they would harm other clients, the proxy or the server. */
export const refused: ReadonlySet<string> = new Set([
  'sync', 'psync', 'replconf', 'shutdown', 'debug', 'replicaof', 'slaveof', 'failover', 'migrate',
  'module|load',
  'module|loadex', 'module|unload', 'client|pause', 'client|unpause', 'script|kill', 'function|kill',
]);

/** States that need more than one command; the last one is the named one. */
export const sequences: Readonly<Record<string, readonly string[]>> = {
  'multi with queued commands': ['MULTI', 'SET lm:multi 1'],
  'multi with a queued select': ['MULTI', 'SELECT 1'],
  'select inside exec': ['MULTI', 'SELECT 1', 'EXEC'],
  'subscribe inside exec': ['MULTI', 'SUBSCRIBE lm:channel', 'EXEC'],
  'watch on a changed key': ['WATCH lm:string', 'SET lm:string 2'],
  'watch then multi': ['WATCH lm:string', 'MULTI'],
  'hello with user and name': ['HELLO 3 AUTH lmuser lmpw SETNAME leaked'],
  'select, name and no-evict': ['SELECT 1', 'CLIENT SETNAME leaked', 'CLIENT NO-EVICT ON'],
  'reply skip': ['CLIENT REPLY SKIP'],
  'tracking broadcast in RESP3': ['HELLO 3', 'CLIENT TRACKING ON BCAST'],
  'tracking opt-in with caching yes': ['HELLO 3', 'CLIENT TRACKING ON OPTIN', 'CLIENT CACHING YES'],
  'subscribe in RESP3': ['HELLO 3', 'SUBSCRIBE lm:channel'],
  'subscribe twice and psubscribe': ['SUBSCRIBE lm:a lm:b', 'PSUBSCRIBE lm:*'],
  'a script that selects': ['EVAL return(redis.call("SELECT","1")) 0'],
  'auth as another user, then a refused command': ['ACL SETUSER lmother reset on >lmpw', 'AUTH lmother lmpw',
    'GET lm:string'],
};
