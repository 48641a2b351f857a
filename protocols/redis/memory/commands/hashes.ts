import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { INT64_MAX, INT64_MIN, parseInt64 } from '../integer.ts';
import { addLongDoubles, formatLongDouble, parseLongDouble } from '../long-double.ts';
import { readSampleCount, sample } from '../sample.ts';
import type { Call, Command } from '../command.ts';

type Fields = Map<string, Buffer>;

export const hashes: readonly Command[] = [
  command('hdel', -3, 'write fast', [1, 1, 1], deleteFields),
  command('hexists', 3, 'readonly fast', [1, 1, 1], (call) =>
    call.reply.integer(fieldAt(call) === undefined ? 0 : 1)),
  command('hget', 3, 'readonly fast', [1, 1, 1], (call) => call.reply.bulkOrNil(fieldAt(call))),
  command('hgetall', 2, 'readonly', [1, 1, 1], getAll),
  command('hincrby', 4, 'write denyoom fast', [1, 1, 1], incrementBy),
  command('hincrbyfloat', 4, 'write denyoom fast', [1, 1, 1], incrementByFloat),
  command('hkeys', 2, 'readonly', [1, 1, 1], (call) => call.reply.bulks([...fieldsAt(call).keys()])),
  command('hlen', 2, 'readonly fast', [1, 1, 1], (call) => call.reply.integer(fieldsAt(call).size)),
  command('hmget', -3, 'readonly fast', [1, 1, 1], getMany),
  command('hmset', -4, 'write denyoom fast', [1, 1, 1], (call) => {
    setMany(call);
    call.reply.ok();
  }),
  command('hrandfield', -2, 'readonly', [1, 1, 1], randomField),
  command('hset', -4, 'write denyoom fast', [1, 1, 1], (call) => call.reply.integer(setMany(call))),
  command('hsetnx', 4, 'write denyoom fast', [1, 1, 1], setIfNone),
  command('hstrlen', 3, 'readonly fast', [1, 1, 1], (call) => call.reply.integer(fieldAt(call)?.length ?? 0)),
  command('hvals', 2, 'readonly', [1, 1, 1], (call) => call.reply.bulks([...fieldsAt(call).values()])),
];

function fieldsAt(call: Call): Fields {
  return call.db.read(call.text(1), 'hash')?.fields ?? new Map();
}

function fieldAt(call: Call): Buffer | undefined {
  return fieldsAt(call).get(call.text(2));
}

/** Returns how many fields are new. */
function setMany(call: Call): number {
  if (call.count % 2 === 1) {
    throw new CommandError(`ERR wrong number of arguments for '${call.word(0)}' command`);
  }
  const key = call.text(1);
  const { fields } = call.db.open(key, 'hash');
  const before = fields.size;
  for (let i = 2; i < call.count; i += 2) fields.set(call.text(i), call.bytes(i + 1));
  call.db.changed(key);
  return fields.size - before;
}

function setIfNone(call: Call): void {
  const key = call.text(1);
  if (fieldAt(call) !== undefined) return call.reply.integer(0);
  setField(call, key, call.bytes(3));
  call.reply.integer(1);
}

function setField(call: Call, key: string, bytes: Buffer): void {
  call.db.open(key, 'hash').fields.set(call.text(2), bytes);
  call.db.changed(key);
}

function getMany(call: Call): void {
  const fields = fieldsAt(call);
  call.reply.array(call.count - 2);
  for (const name of call.texts(2)) call.reply.bulkOrNil(fields.get(name));
}

function getAll(call: Call): void {
  const fields = fieldsAt(call);
  call.reply.map(fields.size);
  for (const [name, bytes] of fields) {
    call.reply.bulk(name);
    call.reply.bulk(bytes);
  }
}

function deleteFields(call: Call): void {
  const key = call.text(1);
  const fields = fieldsAt(call);
  const deleted = call.texts(2).filter((name) => fields.delete(name)).length;
  if (deleted > 0) call.db.changed(key);
  call.reply.integer(deleted);
}

function incrementBy(call: Call): void {
  const by = call.int64(3);
  const old = parseInt64(fieldAt(call)?.toString('latin1') ?? '0');
  if (old === null) throw new CommandError('ERR hash value is not an integer');
  const value = old + by;
  if (value > INT64_MAX || value < INT64_MIN) {
    throw new CommandError('ERR increment or decrement would overflow');
  }
  setField(call, call.text(1), Buffer.from(value.toString()));
  call.reply.integer(value);
}

function incrementByFloat(call: Call): void {
  const by = parseLongDouble(call.text(3));
  if (by === null) throw new CommandError('ERR value is not a valid float');
  if (by === 'infinite') throw new CommandError('ERR value is NaN or Infinity');
  const old = parseLongDouble(fieldAt(call)?.toString('latin1') ?? '0');
  if (old === null) throw new CommandError('ERR hash value is not a float');
  const sum = old === 'infinite' ? null : addLongDoubles(old, by);
  if (sum === null) throw new CommandError('ERR increment would produce NaN or Infinity');
  const bytes = Buffer.from(formatLongDouble(sum));
  setField(call, call.text(1), bytes);
  call.reply.bulk(bytes);
}

function randomField(call: Call): void {
  const { reply } = call;
  if (call.count === 2) return reply.bulkOrNil(sample([...fieldsAt(call).keys()], 1)[0]);
  const { count, paired } = readSampleCount(call, 'withvalues');
  const fields = fieldsAt(call);
  const names = sample([...fields.keys()], count);
  const nested = paired && reply.resp === 3;
  reply.array(paired && !nested ? names.length * 2 : names.length);
  for (const name of names) {
    if (nested) reply.array(2);
    reply.bulk(name);
    if (paired) reply.bulkOrNil(fields.get(name));
  }
}
