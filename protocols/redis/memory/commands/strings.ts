import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { INT64_MAX, INT64_MIN, parseInt64 } from '../integer.ts';
import { addLongDoubles, formatLongDouble, parseLongDouble } from '../long-double.ts';
import { readExpiryOptions } from '../expiry-options.ts';
import type { Call, Command } from '../command.ts';
import type { LongDouble } from '../long-double.ts';

/** proto-max-bulk-len. */
const MAX_LENGTH = 512 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

export const strings: readonly Command[] = [
  command('append', 3, 'write denyoom fast', [1, 1, 1], append),
  command('decr', 2, 'write denyoom fast', [1, 1, 1], (call) => increment(call, -1n)),
  command('decrby', 3, 'write denyoom fast', [1, 1, 1], decrementBy),
  command('get', 2, 'readonly fast', [1, 1, 1], (call) => call.reply.bulkOrNil(stringAt(call, 1))),
  command('getdel', 2, 'write fast', [1, 1, 1], getDelete),
  command('getex', -2, 'write fast', [1, 1, 1], getExpire),
  command('getrange', 4, 'readonly', [1, 1, 1], getRange),
  command('getset', 3, 'write denyoom fast', [1, 1, 1], getSet),
  command('incr', 2, 'write denyoom fast', [1, 1, 1], (call) => increment(call, 1n)),
  command('incrby', 3, 'write denyoom fast', [1, 1, 1], (call) => increment(call, call.int64(2))),
  command('incrbyfloat', 3, 'write denyoom fast', [1, 1, 1], incrementByFloat),
  command('mget', -2, 'readonly fast', [1, -1, 1], multiGet),
  command('mset', -3, 'write denyoom', [1, -1, 2], multiSet),
  command('msetnx', -3, 'write denyoom', [1, -1, 2], multiSetIfNone),
  command('psetex', 4, 'write denyoom', [1, 1, 1], (call) => setWithExpiry(call, 'px')),
  command('set', -3, 'write denyoom', [1, 1, 1], set),
  command('setex', 4, 'write denyoom', [1, 1, 1], (call) => setWithExpiry(call, 'ex')),
  command('setnx', 3, 'write denyoom fast', [1, 1, 1], setIfNone),
  command('setrange', 4, 'write denyoom', [1, 1, 1], setRange),
  command('strlen', 2, 'readonly fast', [1, 1, 1], (call) =>
    call.reply.integer(stringAt(call, 1)?.length ?? 0)),
  command('substr', 4, 'readonly', [1, 1, 1], getRange),
];

function stringAt(call: Call, index: number): Buffer | undefined {
  return call.db.read(call.text(index), 'string')?.bytes;
}

function storeString(call: Call, key: string, bytes: Buffer, keepExpiry = false): void {
  call.db.store(key, { type: 'string', bytes }, keepExpiry);
}

function checkLength(length: number): void {
  if (length > MAX_LENGTH) {
    throw new CommandError('ERR string exceeds maximum allowed size (proto-max-bulk-len)');
  }
}

function set(call: Call): void {
  const { db, reply } = call;
  const key = call.text(1);
  const options = readExpiryOptions(call, 3, ['nx', 'xx', 'get', 'keepttl']);
  const expiresAt = options.expiresAt();
  const { get, nx, xx, keepttl } = options.flags;
  const old = get ? stringAt(call, 1) : undefined;
  const found = db.has(key);
  const blocked = nx ? found : xx && !found;
  if (get) reply.bulkOrNil(old);
  if (blocked) {
    if (!get) reply.nil();
    return;
  }
  storeString(call, key, call.bytes(2), keepttl);
  if (expiresAt !== null) db.expireAt(key, expiresAt);
  if (!get) reply.ok();
}

function setWithExpiry(call: Call, unit: 'ex' | 'px'): void {
  const expiresAt = readExpiryOptions.fixed(call, 2, unit);
  const key = call.text(1);
  storeString(call, key, call.bytes(3));
  call.db.expireAt(key, expiresAt);
  call.reply.ok();
}

function setIfNone(call: Call): void {
  const key = call.text(1);
  const free = !call.db.has(key);
  if (free) storeString(call, key, call.bytes(2));
  call.reply.integer(free ? 1 : 0);
}

function getSet(call: Call): void {
  call.reply.bulkOrNil(stringAt(call, 1));
  storeString(call, call.text(1), call.bytes(2));
}

function getDelete(call: Call): void {
  const bytes = stringAt(call, 1);
  call.reply.bulkOrNil(bytes);
  if (bytes !== undefined) call.db.delete(call.text(1));
}

function getExpire(call: Call): void {
  const { db, engine } = call;
  const key = call.text(1);
  const options = readExpiryOptions(call, 2, ['persist']);
  const bytes = stringAt(call, 1);
  if (bytes === undefined) return call.reply.nil();
  const expiresAt = options.expiresAt();
  call.reply.bulk(bytes);
  if (options.flags.persist) db.persist(key);
  if (expiresAt === null) return;
  if (expiresAt <= engine.now()) db.delete(key);
  else db.expireAt(key, expiresAt);
}

function multiGet(call: Call): void {
  call.reply.array(call.count - 1);
  for (const key of call.texts(1)) {
    const value = call.db.get(key);
    call.reply.bulkOrNil(value?.type === 'string' ? value.bytes : undefined);
  }
}

function multiSet(call: Call): void {
  storePairs(call);
  call.reply.ok();
}

function multiSetIfNone(call: Call): void {
  checkPairs(call);
  for (let i = 1; i < call.count; i += 2) if (call.db.has(call.text(i))) return call.reply.integer(0);
  storePairs(call);
  call.reply.integer(1);
}

function storePairs(call: Call): void {
  checkPairs(call);
  for (let i = 1; i < call.count; i += 2) storeString(call, call.text(i), call.bytes(i + 1));
}

function checkPairs(call: Call): void {
  if (call.count % 2 === 1) return;
  throw new CommandError(`ERR wrong number of arguments for '${call.word(0)}' command`);
}

function decrementBy(call: Call): void {
  const by = call.int64(2);
  if (by === INT64_MIN) throw new CommandError('ERR decrement would overflow');
  increment(call, -by);
}

function increment(call: Call, by: bigint): void {
  const key = call.text(1);
  const old = parseInt64(stringAt(call, 1)?.toString('latin1') ?? '0');
  if (old === null) throw CommandError.notInteger();
  const value = old + by;
  if (value > INT64_MAX || value < INT64_MIN) {
    throw new CommandError('ERR increment or decrement would overflow');
  }
  storeString(call, key, Buffer.from(value.toString()), true);
  call.reply.integer(value);
}

function incrementByFloat(call: Call): void {
  const old = readLongDouble(stringAt(call, 1)?.toString('latin1') ?? '0');
  const by = readLongDouble(call.text(2));
  const sum = old === 'infinite' || by === 'infinite' ? null : addLongDoubles(old, by);
  if (sum === null) throw new CommandError('ERR increment would produce NaN or Infinity');
  const bytes = Buffer.from(formatLongDouble(sum));
  storeString(call, call.text(1), bytes, true);
  call.reply.bulk(bytes);
}

function readLongDouble(text: string): LongDouble | 'infinite' {
  const value = parseLongDouble(text);
  if (value === null) throw new CommandError('ERR value is not a valid float');
  return value;
}

function append(call: Call): void {
  const more = call.bytes(2);
  const key = call.text(1);
  const value = call.db.read(key, 'string');
  if (value === undefined) {
    storeString(call, key, more);
    return call.reply.integer(more.length);
  }
  const { length } = value.bytes;
  checkLength(length + more.length);
  // Twice the room each time: appending byte by byte stays linear.
  if (value.room === undefined || value.room.length < length + more.length) {
    value.room = Buffer.allocUnsafeSlow((length + more.length) * 2);
    value.bytes.copy(value.room);
  }
  more.copy(value.room, length);
  value.bytes = value.room.subarray(0, length + more.length);
  call.db.changed(key);
  call.reply.integer(value.bytes.length);
}

function getRange(call: Call): void {
  let start = call.integer(2);
  let end = call.integer(3);
  const bytes = stringAt(call, 1) ?? NOTHING;
  if (start < 0 && end < 0 && start > end) return call.reply.bulk('');
  if (start < 0) start = Math.max(bytes.length + start, 0);
  if (end < 0) end = Math.max(bytes.length + end, 0);
  end = Math.min(end, bytes.length - 1);
  call.reply.bulk(start > end ? '' : bytes.subarray(start, end + 1));
}

function setRange(call: Call): void {
  const offset = call.integer(2);
  const patch = call.bytes(3);
  if (offset < 0) throw new CommandError('ERR offset is out of range');
  const key = call.text(1);
  const old = stringAt(call, 1) ?? NOTHING;
  if (patch.length === 0) return call.reply.integer(old.length);
  checkLength(offset + patch.length);
  const bytes = Buffer.alloc(Math.max(old.length, offset + patch.length));
  old.copy(bytes);
  patch.copy(bytes, offset);
  storeString(call, key, bytes, true);
  call.reply.integer(bytes.length);
}
