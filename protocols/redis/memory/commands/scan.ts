// SCAN walks the keys in the order in which they were added; a cursor is the serial to go on from. A key that
// is there all the time is returned, as Redis promises. HSCAN, SSCAN and ZSCAN return everything at once, as
// Redis does for small collections.
import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { formatDouble } from '../double.ts';
import { globMatches } from '../glob.ts';
import type { Bulk } from '../reply-writer.ts';
import type { Call, Command } from '../command.ts';
import type { Database } from '../database.ts';

/** Walks kept open so that the next call need not start at the first key again. */
const MAX_WALKS = 64;
const MAX_CURSOR = 2n ** 64n - 1n;

export const scan: readonly Command[] = [
  command('hscan', -3, 'readonly', [1, 1, 1], (call) => scanCollection(call, fieldsAt)),
  command('scan', -2, 'readonly', [0, 0, 0], scanKeys),
  command('sscan', -3, 'readonly', [1, 1, 1], (call) => scanCollection(call, membersAt)),
  command('zscan', -3, 'readonly', [1, 1, 1], (call) => scanCollection(call, scoresAt)),
];

type Key = { readonly key: string; readonly serial: number };

interface Walk {
  readonly keys: Iterator<Key>;
  /** Already taken from `keys`, not returned yet. */
  next: Key | null;
}

const walks = new WeakMap<Database, Map<number, Walk>>();

interface Options {
  readonly count: number;
  readonly pattern: string | null;
  readonly type: string | null;
}

function scanKeys(call: Call): void {
  const { db, reply } = call;
  const cursor = readCursor(call, 1);
  const { count, pattern, type } = readOptions(call, 2, true);
  const walk = openWalk(db, cursor);
  const found: string[] = [];
  for (let looked = 0; looked < count && walk.next !== null; looked++) {
    const { key } = walk.next;
    const value = db.get(key);
    const wanted = value !== undefined && (type === null || value.type === type);
    if (wanted && (pattern === null || globMatches(pattern, key))) found.push(key);
    advance(walk);
  }
  reply.array(2);
  reply.bulk(String(keepWalk(db, walk)));
  reply.bulks(found);
}

function openWalk(db: Database, cursor: number): Walk {
  const kept = walks.get(db)?.get(cursor);
  walks.get(db)?.delete(cursor);
  if (kept !== undefined && kept.next !== null && db.has(kept.next.key)) return kept;
  const walk: Walk = { keys: db.from(cursor), next: null };
  advance(walk);
  return walk;
}

function advance(walk: Walk): void {
  const step = walk.keys.next();
  walk.next = step.done === true ? null : step.value;
}

/** Keeps the walk for the call that brings the returned cursor; 0 when it is over. */
function keepWalk(db: Database, walk: Walk): number {
  if (walk.next === null) return 0;
  let kept = walks.get(db);
  if (kept === undefined) walks.set(db, (kept = new Map()));
  kept.set(walk.next.serial, walk);
  for (const oldest of kept.keys()) {
    if (kept.size <= MAX_WALKS) break;
    kept.delete(oldest);
  }
  return walk.next.serial;
}

/** As strtoul reads it: nothing is 0. */
function readCursor(call: Call, index: number): number {
  const text = call.text(index);
  const value = /^(?:[+-]?[0-9]+)?$/.test(text) ? BigInt(text.replace('+', '')) : null;
  if (value === null || value > MAX_CURSOR || value < -MAX_CURSOR) {
    throw new CommandError('ERR invalid cursor');
  }
  return Number(value);
}

function readOptions(call: Call, start: number, allowType: boolean): Options {
  let count = 10;
  let pattern: string | null = null;
  let type: string | null = null;
  for (let i = start; i < call.count; i += 2) {
    const option = call.word(i);
    if (i + 1 >= call.count) throw CommandError.syntax();
    if (option === 'count') {
      count = call.integer(i + 1);
      if (count < 1) throw CommandError.syntax();
    } else if (option === 'match') {
      pattern = call.text(i + 1);
    } else if (option === 'type' && allowType) {
      type = call.word(i + 1);
    } else {
      throw CommandError.syntax();
    }
  }
  return { count, pattern, type };
}

/** Items as name and whatever follows it in the reply. */
type Items = readonly (readonly [string, ...Bulk[]])[];

function scanCollection(call: Call, itemsAt: (call: Call) => Items | null): void {
  const { reply } = call;
  readCursor(call, 2);
  const items = itemsAt(call);
  const pattern = items === null ? null : readOptions(call, 3, false).pattern;
  const found = (items ?? []).filter(([name]) => pattern === null || globMatches(pattern, name));
  reply.array(2);
  reply.bulk('0');
  reply.bulks(found.flat());
}

function fieldsAt(call: Call): Items | null {
  const hash = call.db.read(call.text(1), 'hash');
  return hash === undefined ? null : [...hash.fields];
}

function membersAt(call: Call): Items | null {
  const set = call.db.read(call.text(1), 'set');
  return set === undefined ? null : Array.from(set.members, (member) => [member]);
}

function scoresAt(call: Call): Items | null {
  const zset = call.db.read(call.text(1), 'zset');
  if (zset === undefined) return null;
  return zset.members.slice().map(({ member, score }) => [member, formatDouble(score)]);
}
