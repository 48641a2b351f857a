// Commands that redis-server 7.0.15 does not know: newer servers and the modules that Redis 8 ships.
// Arity of module commands is a lower bound (modules register -1 and count for themselves).
import type { CommandFacts, KeySpec } from './facts.ts';

const range = (index: number, last: number, step = 1): KeySpec => ({ index, last, step, limit: 0 });
const counted = (index: number, step = 1): KeySpec => ({ index, count: 0, first: 1, step });

const none: readonly KeySpec[] = [];
const one = [range(1, 0)];
const two = [range(1, 0), range(2, 0)];
const numbered = [counted(1)];
const intoNumbered = [range(1, 0), counted(2)];

const read = ['readonly'];
const fastRead = ['readonly', 'fast'];
const write = ['write'];
const fastWrite = ['write', 'fast'];
const growing = ['write', 'denyoom'];
const fastGrowing = ['write', 'denyoom', 'fast'];
const admin = ['admin', 'noscript'];
const connection = ['noscript', 'loading', 'stale'];
const inquiry = ['loading', 'stale'];

type Row = readonly [
  name: string, arity: number, flags: readonly string[],
  keys?: readonly KeySpec[], request?: string, response?: string,
];

// Redis 7.2 to 8.x, from the servers' published command lists.
const redis: readonly Row[] = [
  ['client|no-touch', 3, connection],
  ['client|setinfo', 4, connection, none, 'all_nodes', 'all_succeeded'],
  ['cluster|migration', -4, ['admin', 'stale', 'no_async_loading']],
  ['cluster|myshardid', 2, inquiry],
  ['cluster|slot-stats', -4, inquiry, none, 'all_shards'],
  ['cluster|syncslots', -3, ['admin', 'stale', 'no_async_loading']],
  ['waitaof', 4, ['blocking'], none, 'all_shards', 'agg_min'],
  ['backup', 2, []],
  ['backup|abort', 2, admin], ['backup|cleanup', 2, admin], ['backup|help', 2, inquiry],
  ['backup|list', 2, ['admin', 'stale']], ['backup|seal', 2, admin], ['backup|start', 2, admin],
  ['backup|status', 2, ['admin', 'stale']],
  ['hotkeys', -2, []],
  ['hotkeys|get', 2, admin, none, 'special', 'special'], ['hotkeys|help', 2, inquiry],
  ['hotkeys|reset', 2, admin, none, 'special'], ['hotkeys|start', -2, admin, none, 'special'],
  ['hotkeys|stop', 2, admin, none, 'special'],
  ['himport', -2, []],
  ['himport|discard', 3, [], none, 'all_shards'], ['himport|discardall', 2, [], none, 'all_shards'],
  ['himport|prepare', -4, ['denyoom'], none, 'all_shards'], ['himport|set', -5, growing, [range(2, 0)]],
  ['hexpire', -6, fastWrite, one], ['hexpireat', -6, fastWrite, one], ['hexpiretime', -5, fastRead, one],
  ['hpexpire', -6, fastWrite, one], ['hpexpireat', -6, fastWrite, one], ['hpexpiretime', -5, fastRead, one],
  ['hpersist', -5, fastWrite, one], ['httl', -5, fastRead, one], ['hpttl', -5, fastRead, one],
  ['hgetdel', -5, fastWrite, one], ['hgetex', -5, fastWrite, one], ['hsetex', -6, fastGrowing, one],
  ['delex', -2, fastWrite, one], ['digest', 2, fastRead, one], ['increx', -2, fastGrowing, one],
  ['msetex', -4, ['write', 'denyoom', 'movablekeys'], [counted(1, 2)], 'multi_shard', 'all_succeeded'],
  ['lmovem', -5, growing, two], ['blmovem', -6, ['write', 'denyoom', 'blocking'], two],
  ['sdiffcard', -3, ['readonly', 'movablekeys'], numbered],
  ['sunioncard', -3, ['readonly', 'movablekeys'], numbered],
  ['sflush', -3, write], ['trimslots', -5, write],
  ['xackdel', -6, fastWrite, one], ['xdelex', -5, fastWrite, one], ['xcfgset', -2, fastWrite, one],
  ['xidmprecord', 5, fastGrowing, one], ['xnack', -7, fastWrite, one],
  ['arcount', 2, fastRead, one], ['ardel', -3, fastWrite, one], ['ardelrange', -4, write, one],
  ['arget', 3, fastRead, one], ['argetrange', 4, read, one], ['argrep', -6, read, one],
  ['arinfo', -2, read, one],
  ['arinsert', -3, fastGrowing, one], ['arlastitems', -3, read, one], ['arlen', 2, fastRead, one],
  ['armget', -3, fastRead, one], ['armset', -4, fastGrowing, one], ['arnext', 2, fastRead, one],
  ['arop', -5, read, one], ['arring', -4, growing, one], ['arscan', -4, read, one],
  ['arseek', 3, fastWrite, one],
  ['arset', -4, fastGrowing, one],
  ['vadd', -5, growing, one], ['vcard', 2, fastRead, one], ['vdim', 2, fastRead, one],
  ['vemb', -3, fastRead, one],
  ['vgetattr', 3, fastRead, one], ['vinfo', 2, fastRead, one], ['vismember', 3, read, one],
  ['vlinks', -3, fastRead, one], ['vrandmember', -2, read, one], ['vrange', -4, read, one],
  ['vrem', 3, write, one],
  ['vsetattr', 4, fastWrite, one], ['vsim', -4, read, one],
];

// Valkey 8 and 9, where they differ from Redis.
const valkey: readonly Row[] = [
  ['client|capa', -3, connection],
  ['client|import-source', 3, ['admin', ...connection]],
  ['cluster|flushslot', -3, ['admin', 'stale', 'no_async_loading']],
  ['cluster|migrateslots', -4, ['admin', 'stale', 'no_async_loading']],
  ['cluster|cancelslotmigrations', 2, ['admin', 'stale', 'no_async_loading']],
  ['cluster|getslotmigrations', 2, ['admin', 'stale']],
  ['commandlog', -2, []],
  ['commandlog|get', 4, ['admin', 'loading', 'stale'], none, 'all_nodes'],
  ['commandlog|help', 2, inquiry],
  ['commandlog|len', 3, ['admin', 'loading', 'stale'], none, 'all_nodes', 'agg_sum'],
  ['commandlog|reset', 3, ['admin', 'loading', 'stale'], none, 'all_nodes', 'all_succeeded'],
  ['delifeq', 3, fastWrite, one],
  ['script|show', 3, ['noscript']],
];

// Known so that its passwords are masked; a Sentinel behind the proxy keeps links of its own.
const sentinel: readonly Row[] = [['sentinel', -2, ['admin']]];

// JSON, search, probabilistic and time series modules: by the key's place, then by what they do.
const words = (prefix: string, names: string): string[] =>
  names.split(' ').map((name) => `${prefix}.${name}`);
const rows = (names: readonly string[], flags: readonly string[], keys: readonly KeySpec[]): Row[] =>
  names.map((name) => [name, keys.length === 0 ? -1 : -2, flags, keys]);

const modules: readonly Row[] = [
  ...rows(words('json', 'arrindex arrlen get objkeys objlen resp strlen type'), read, one),
  ...rows(words('json', 'arrpop arrtrim clear del forget'), write, one),
  ...rows(words('json', 'arrappend arrinsert merge numincrby nummultby numpowby set strappend toggle'),
    growing, one),
  ...rows(['json.mget'], read, [range(1, -2)]),
  ...rows(['json.mset'], growing, [range(1, -1, 3)]),
  // JSON.DEBUG MEMORY key
  ...rows(['json.debug'], read, [range(2, 0)]),
  ...rows(words('bf', 'card exists info mexists scandump'), read, one),
  ...rows(words('bf', 'add insert loadchunk madd reserve'), growing, one),
  ...rows(words('cf', 'count exists info mexists scandump'), read, one),
  ...rows(['cf.del', 'cf.compact'], write, one),
  ...rows(words('cf', 'add addnx insert insertnx loadchunk reserve'), growing, one),
  ...rows(words('cms', 'info query'), read, one),
  ...rows(words('cms', 'incrby initbydim initbyprob'), growing, one),
  ...rows(['cms.merge', 'tdigest.merge'], [...growing, 'movablekeys'], intoNumbered),
  ...rows(words('tdigest', 'byrank byrevrank cdf info max min quantile rank revrank trimmed_mean'),
    read, one),
  ...rows(words('tdigest', 'add create reset'), growing, one),
  ...rows(words('topk', 'count info list query'), read, one),
  ...rows(words('topk', 'add incrby reserve'), growing, one),
  ...rows(words('ts', 'get info range revrange'), read, one),
  ...rows(['ts.read'], [...read, 'blocking'], one),
  ...rows(words('ts', 'add alter create decrby incrby'), growing, one),
  ...rows(['ts.del'], write, one),
  ...rows(['ts.madd'], growing, [range(1, -1, 3)]),
  ...rows(words('ts', 'createrule deleterule'), growing, [range(1, 1)]),
  // TS.NRANGE numkeys key …
  ...rows(words('ts', 'nrange nrevrange'), [...read, 'movablekeys'], numbered),
  // These choose series by label, so no key is named.
  ...rows(words('ts', 'mget mrange mrevrange queryindex querylabels'), read, none),
  // The first argument of most FT commands is an index, a dictionary or an alias: not a key.
  ...rows(words('ft', 'aggregate cursor dictdump explain explaincli hybrid info profile search'), read, none),
  ...rows(words('ft', 'spellcheck syndump tagvals aliaslist _list'), read, none),
  ...rows(words('ft', 'aliasadd aliasdel aliasupdate alter config create'), growing, none),
  ...rows(words('ft', 'dictadd dictdel drop dropindex synupdate'), growing, none),
  ...rows(words('ft', 'sugget suglen'), read, one),
  ...rows(words('ft', 'sugadd sugdel'), growing, one),
];

export const additions: readonly CommandFacts[] = [...redis, ...valkey, ...sentinel, ...modules].map(
  ([name, arity, flags, keys = none, request, response]) => ({
    name, arity, flags,
    ...(keys.length > 0 && { keys }),
    ...(request !== undefined && { request }),
    ...(response !== undefined && { response }),
  }),
);
