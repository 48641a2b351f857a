// Valid calls in which the keys, and nothing else, are the words k1, k2, … (also k1 inside an option's value:
// not there).

/**
 * What redis-server 7.0.15 knows; commands with one key as first argument are made from their arity instead.
 */
export const served = `
  BITOP AND k1 k2 k3
  bitop not k1 k2
  BLMOVE k1 k2 LEFT RIGHT 0
  BLMPOP 0 2 k1 k2 LEFT COUNT 3
  BLPOP k1 0
  blpop k1 k2 k3 0
  BRPOP k1 k2 0
  BRPOPLPUSH k1 k2 0
  BZMPOP 0 1 k1 MIN
  BZPOPMAX k1 k2 0
  BZPOPMIN k1 0
  COPY k1 k2 DB 1 REPLACE
  DEL k1
  Del k1 k2 k3 k4
  EVAL script 0
  eval script 2 k1 k2 a b
  EVAL_RO script 1 k1 a
  EVALSHA sha 3 k1 k2 k3
  EVALSHA_RO sha 1 k1
  EXISTS k1 k2
  FCALL function 2 k1 k2 a
  FCALL_RO function 1 k1 a
  GEORADIUS k1 1 2 3 km
  GEORADIUS k1 1 2 3 km COUNT 5 ANY STORE k2
  GEORADIUS k1 1 2 3 km ASC storedist k2
  GEORADIUSBYMEMBER k1 member 3 km STORE k2
  GEORADIUSBYMEMBER k1 member 3 km STOREDIST k2
  GEOSEARCHSTORE k1 k2 FROMMEMBER m BYRADIUS 1 km
  LCS k1 k2 LEN
  LMOVE k1 k2 LEFT LEFT
  LMPOP 3 k1 k2 k3 RIGHT
  MEMORY USAGE k1 SAMPLES 5
  memory usage k1
  MGET k1 k2 k3
  MIGRATE host 6379 k1 0 1000
  MIGRATE host 6379 k1 0 1000 COPY AUTH password
  MIGRATE host 6379 "" 0 1000 KEYS k1 k2 k3
  MIGRATE host 6379 "" 0 1000 REPLACE AUTH2 user password KEYS k1 k2
  MSET k1 a k2 b k3 c
  mset k1 a
  MSETNX k1 a k2 b
  OBJECT ENCODING k1
  OBJECT FREQ k1
  object idletime k1
  OBJECT REFCOUNT k1
  PFCOUNT k1 k2
  PFDEBUG ENCODING k1
  PFMERGE k1 k2 k3
  RENAME k1 k2
  RENAMENX k1 k2
  RPOPLPUSH k1 k2
  SDIFF k1 k2
  SDIFFSTORE k1 k2 k3
  SINTER k1 k2 k3
  SINTERCARD 2 k1 k2 LIMIT 5
  SINTERSTORE k1 k2 k3
  SMOVE k1 k2 member
  SORT k1
  SORT k1 BY weight_* LIMIT 0 5 GET # GET object_* DESC ALPHA STORE k2
  sort k1 store k2
  SORT_RO k1 BY weight_* GET object_*
  SUNION k1 k2
  SUNIONSTORE k1 k2
  TOUCH k1 k2
  UNLINK k1 k2
  WATCH k1 k2
  XGROUP CREATE k1 group $ MKSTREAM
  XGROUP CREATECONSUMER k1 group consumer
  XGROUP DELCONSUMER k1 group consumer
  XGROUP DESTROY k1 group
  xgroup setid k1 group $
  XINFO CONSUMERS k1 group
  XINFO GROUPS k1
  XINFO STREAM k1 FULL COUNT 1
  XREAD STREAMS k1 0
  XREAD COUNT 2 BLOCK 100 STREAMS k1 k2 0 $
  xread block 0 streams k1 k2 k3 0 0 0
  XREADGROUP GROUP group consumer STREAMS k1 >
  XREADGROUP GROUP streams consumer COUNT 1 NOACK STREAMS k1 k2 > >
  ZDIFF 2 k1 k2 WITHSCORES
  ZDIFFSTORE k1 2 k2 k3
  ZINTER 2 k1 k2 WEIGHTS 1 2
  ZINTERCARD 2 k1 k2 LIMIT 1
  ZINTERSTORE k1 1 k2 AGGREGATE MAX
  ZMPOP 2 k1 k2 MAX
  ZRANGESTORE k1 k2 0 -1
  ZUNION 3 k1 k2 k3
  ZUNIONSTORE k1 2 k2 k3 WEIGHTS 2 3
`;

/** What 7.0.15 does not know, or (the first lines) finds wrongly although it runs it as written here. */
export const unserved = `
  SORT k1 STORE k9-not-used STORE k2
  SORT k1 BY store STORE k2
  GEORADIUS k1 1 2 3 km STORE not-used STOREDIST k2
  XREADGROUP COUNT 1 GROUP streams consumer STREAMS k1 >
  MIGRATE host 6379 k1 0 1000 AUTH keys
  HEXPIRE k1 10 FIELDS 1 f
  HGETDEL k1 FIELDS 1 f
  HGETEX k1 EX 10 FIELDS 1 f
  HSETEX k1 EX 10 FIELDS 1 f v
  HIMPORT SET k1 fieldset a b
  DELEX k1 IFEQ v
  DELIFEQ k1 v
  DIGEST k1
  INCREX k1
  MSETEX 2 k1 a k2 b EX 10
  LMOVEM k1 k2 LEFT RIGHT
  BLMOVEM k1 k2 LEFT RIGHT 0
  SUNIONCARD 2 k1 k2
  SDIFFCARD 1 k1 LIMIT 3
  XACKDEL k1 group IDS 1 1-1
  VADD k1 VALUES 1 1 element
  VSIM k1 ELE element
  ARSET k1 0 v
  WAITAOF 1 0 0
  JSON.GET k1 $.a
  JSON.SET k1 $ 1
  JSON.MGET k1 k2 k3 $.a
  JSON.MSET k1 $ 1 k2 $ 2
  JSON.DEBUG MEMORY k1 $
  BF.ADD k1 item
  CF.INSERT k1 ITEMS a b
  CMS.MERGE k1 2 k2 k3 WEIGHTS 1 2
  TDIGEST.MERGE k1 1 k2 COMPRESSION 100
  TOPK.ADD k1 a
  TS.ADD k1 * 1
  TS.MADD k1 * 1 k2 * 2
  TS.CREATERULE k1 k2 AGGREGATION avg 60
  TS.MRANGE - + FILTER a=b
  TS.READ k1 $ BLOCK 100 1
  FT.SEARCH index query
  FT.SUGADD k1 text 1
  CLIENT KILL ID 5
  PUBLISH channel message
  NOSUCHCOMMAND a b
`;

/** The calls of a block: words by single spaces, `""` for the empty word. */
export function calls(block: string): string[][] {
  return block.trim().split('\n').map((line) => line.trim().split(' ').map((word) => (word === '""' ? ''
    : word)));
}

/** The keys of a call, by their form. */
export function keysOf(call: readonly string[]): string[] {
  return call.filter((word) => /^k\d$/.test(word));
}
