import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { Deque } from '../deque.ts';
import { INT64_MIN } from '../integer.ts';
import type { Call, Command } from '../command.ts';
import type { Database } from '../database.ts';

export type End = 'left' | 'right';
type Items = Deque<Buffer>;

export const lists: readonly Command[] = [
  command('lindex', 3, 'readonly', [1, 1, 1], index),
  command('linsert', 5, 'write denyoom', [1, 1, 1], insert),
  command('llen', 2, 'readonly fast', [1, 1, 1], (call) => call.reply.integer(itemsAt(call)?.length ?? 0)),
  command('lmove', 5, 'write denyoom', [1, 2, 1], (call) => move(call, readEnd(call, 3), readEnd(call, 4))),
  command('lmpop', -4, 'write movablekeys', [0, 0, 0], popFromFirst),
  command('lpop', -2, 'write fast', [1, 1, 1], (call) => pop(call, 'left')),
  command('lpos', -3, 'readonly', [1, 1, 1], position),
  command('lpush', -3, 'write denyoom fast', [1, 1, 1], (call) => push(call, 'left')),
  command('lpushx', -3, 'write denyoom fast', [1, 1, 1], (call) => pushIfList(call, 'left')),
  command('lrange', 4, 'readonly', [1, 1, 1], range),
  command('lrem', 4, 'write', [1, 1, 1], remove),
  command('lset', 4, 'write denyoom', [1, 1, 1], setAt),
  command('ltrim', 4, 'write', [1, 1, 1], trim),
  command('rpop', -2, 'write fast', [1, 1, 1], (call) => pop(call, 'right')),
  command('rpoplpush', 3, 'write denyoom', [1, 2, 1], (call) => move(call, 'right', 'left')),
  command('rpush', -3, 'write denyoom fast', [1, 1, 1], (call) => push(call, 'right')),
  command('rpushx', -3, 'write denyoom fast', [1, 1, 1], (call) => pushIfList(call, 'right')),
];

function itemsAt(call: Call): Items | undefined {
  return call.db.read(call.text(1), 'list')?.items;
}

export function readEnd(call: Call, at: number): End {
  const word = call.word(at);
  if (word !== 'left' && word !== 'right') throw CommandError.syntax();
  return word;
}

/** Takes up to `count` items; the caller tells the database afterwards. */
function take(items: Items, end: End, count: number): Buffer[] {
  const taken: Buffer[] = [];
  while (taken.length < count) {
    const item = end === 'left' ? items.shift() : items.pop();
    if (item === undefined) break;
    taken.push(item);
  }
  return taken;
}

function add(items: Items, end: End, item: Buffer): void {
  if (end === 'left') items.unshift(item);
  else items.push(item);
}

function push(call: Call, end: End): void {
  const key = call.text(1);
  const { items } = call.db.open(key, 'list');
  for (let i = 2; i < call.count; i++) add(items, end, call.bytes(i));
  call.db.changed(key);
  call.reply.integer(items.length);
}

function pushIfList(call: Call, end: End): void {
  if (itemsAt(call) === undefined) call.reply.integer(0);
  else push(call, end);
}

function pop(call: Call, end: End): void {
  if (call.count > 3) throw new CommandError(`ERR wrong number of arguments for '${call.word(0)}' command`);
  const key = call.text(1);
  const count = call.count === 3 ? call.ranged(2, 0, CommandError.notPositive().message) : null;
  const items = itemsAt(call);
  if (items === undefined) return count === null ? call.reply.nil() : call.reply.nilArray();
  const taken = take(items, end, count ?? 1);
  if (taken.length > 0) call.db.changed(key);
  if (count === null) call.reply.bulkOrNil(taken[0]);
  else call.reply.bulks(taken);
}

function move(call: Call, from: End, to: End): void {
  const [source, target] = [call.text(1), call.text(2)];
  if (itemsAt(call) === undefined) return call.reply.nil();
  call.reply.bulkOrNil(moveItem(call.db, source, target, from, to));
}

/**
 * Moves one item; undefined when there is none. Throws when the target is no list, leaving the source as it
 * was.
 */
export function moveItem(
  db: Database, source: string, target: string, from: End, to: End,
): Buffer | undefined {
  const items = db.read(source, 'list')?.items;
  if (items === undefined) return undefined;
  db.read(target, 'list');
  const [item] = take(items, from, 1);
  if (item === undefined) return undefined;
  add(source === target ? items : db.open(target, 'list').items, to, item);
  db.changed(source);
  if (source !== target) db.changed(target);
  return item;
}

function popFromFirst(call: Call): void {
  const { keys, end, count } = readMultiPop(call, 1);
  for (const key of keys) if (replyPopped(call, key, end, count)) return;
  call.reply.nilArray();
}

/** Reads `numkeys key… LEFT|RIGHT [COUNT n]` from argument `at` on. */
export function readMultiPop(call: Call, at: number): { keys: readonly string[]; end: End; count: number } {
  const number = call.ranged(at, 1, 'ERR numkeys should be greater than 0');
  const where = at + number + 1;
  if (where >= call.count) throw CommandError.syntax();
  const end = readEnd(call, where);
  let count: number | null = null;
  for (let i = where + 1; i < call.count; i += 2) {
    if (call.word(i) !== 'count' || count !== null || i + 1 >= call.count) throw CommandError.syntax();
    count = call.ranged(i + 1, 1, 'ERR count should be greater than 0');
  }
  return { keys: call.texts(at + 1, where), end, count: count ?? 1 };
}

/** Replies with the key and items popped from it; false when it holds no list. */
export function replyPopped(call: Call, key: string, end: End, count: number): boolean {
  const items = call.db.read(key, 'list')?.items;
  if (items === undefined) return false;
  const taken = take(items, end, count);
  call.db.changed(key);
  call.reply.array(2);
  call.reply.bulk(key);
  call.reply.bulks(taken);
  return true;
}

/** Replies with the key and one item popped from it; false when it holds no list. */
export function replyPoppedOne(call: Call, key: string, end: End): boolean {
  const items = call.db.read(key, 'list')?.items;
  if (items === undefined) return false;
  const [item] = take(items, end, 1);
  call.db.changed(key);
  call.reply.array(2);
  call.reply.bulk(key);
  call.reply.bulkOrNil(item);
  return true;
}

function index(call: Call): void {
  const items = itemsAt(call);
  if (items === undefined) return call.reply.nil();
  const at = call.integer(2);
  call.reply.bulkOrNil(items.at(at < 0 ? items.length + at : at));
}

function setAt(call: Call): void {
  const key = call.text(1);
  const items = itemsAt(call);
  if (items === undefined) throw new CommandError('ERR no such key');
  const given = call.integer(2);
  const at = given < 0 ? items.length + given : given;
  if (at < 0 || at >= items.length) throw new CommandError('ERR index out of range');
  items.set(at, call.bytes(3));
  call.db.changed(key);
  call.reply.ok();
}

function insert(call: Call): void {
  const where = call.word(2);
  if (where !== 'before' && where !== 'after') throw CommandError.syntax();
  const items = itemsAt(call);
  if (items === undefined) return call.reply.integer(0);
  const pivot = call.bytes(3);
  const at = items.slice().findIndex((item) => item.equals(pivot));
  if (at < 0) return call.reply.integer(-1);
  items.insert(where === 'before' ? at : at + 1, call.bytes(4));
  call.db.changed(call.text(1));
  call.reply.integer(items.length);
}

/** Positions from `start` up to, not including, `end`, from ends that may be negative or beyond the list. */
function bounds(call: Call, length: number): { readonly start: number; readonly end: number } {
  const [first, last] = [call.integer(2), call.integer(3)];
  const start = Math.max(first < 0 ? length + first : first, 0);
  const end = Math.min((last < 0 ? length + last : last) + 1, length);
  return start >= end ? { start: 0, end: 0 } : { start, end };
}

function range(call: Call): void {
  call.integer(2);
  call.integer(3);
  const items = itemsAt(call) ?? new Deque<Buffer>();
  const { start, end } = bounds(call, items.length);
  call.reply.bulks(items.slice(start, end));
}

function trim(call: Call): void {
  call.integer(2);
  call.integer(3);
  const list = call.db.read(call.text(1), 'list');
  if (list !== undefined) {
    const { start, end } = bounds(call, list.items.length);
    list.items = Deque.from(list.items.slice(start, end));
    call.db.changed(call.text(1));
  }
  call.reply.ok();
}

function remove(call: Call): void {
  const count = call.integer(2);
  const wanted = call.bytes(3);
  const list = call.db.read(call.text(1), 'list');
  if (list === undefined) return call.reply.integer(0);
  let left = count === 0 ? list.items.length : Math.abs(count);
  const items = list.items.slice();
  const ordered = count < 0 ? items.reverse() : items;
  const kept = ordered.filter((item) => !(left > 0 && item.equals(wanted) && left-- > 0));
  const removed = items.length - kept.length;
  if (removed > 0) {
    list.items = Deque.from(count < 0 ? kept.reverse() : kept);
    call.db.changed(call.text(1));
  }
  call.reply.integer(removed);
}

const RANK_ZERO = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
  + 'or use negative to start from the end of the list';

function position(call: Call): void {
  const { rank, count, maxLength } = readPositionOptions(call);
  const wanted = call.bytes(2);
  const items = itemsAt(call)?.slice() ?? [];
  const found = findPositions(items, wanted, rank, count ?? 1, maxLength);
  if (count !== null) {
    call.reply.array(found.length);
    for (const at of found) call.reply.integer(at);
  } else if (found[0] !== undefined) {
    call.reply.integer(found[0]);
  } else {
    call.reply.nil();
  }
}

function readPositionOptions(call: Call): { rank: number; count: number | null; maxLength: number } {
  let rank = 1;
  let count: number | null = null;
  let maxLength = 0;
  for (let i = 3; i < call.count; i += 2) {
    const option = call.word(i);
    if (i + 1 >= call.count) throw CommandError.syntax();
    if (option === 'rank') {
      rank = call.integer(i + 1);
      // Redis negates the smallest integer, which stays negative, and takes any match as the first one.
      if (call.int64(i + 1) === INT64_MIN) rank = -1;
      if (rank === 0) throw new CommandError(RANK_ZERO);
    } else if (option === 'count') {
      count = call.ranged(i + 1, 0, "ERR COUNT can't be negative");
    } else if (option === 'maxlen') {
      maxLength = call.ranged(i + 1, 0, "ERR MAXLEN can't be negative");
    } else {
      throw CommandError.syntax();
    }
  }
  return { rank, count, maxLength };
}

/** `count` 0: all; `maxLength` 0: look at all items. */
function findPositions(
  items: readonly Buffer[], wanted: Buffer, rank: number, count: number, maxLength: number,
): number[] {
  const found: number[] = [];
  const looked = maxLength === 0 ? items.length : Math.min(maxLength, items.length);
  let matches = 0;
  for (let i = 0; i < looked; i++) {
    const at = rank > 0 ? i : items.length - 1 - i;
    if (items[at]?.equals(wanted) !== true || ++matches < Math.abs(rank)) continue;
    found.push(at);
    if (found.length === count) break;
  }
  return found;
}
