import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { globMatches } from '../glob.ts';
import { copyValue } from '../value.ts';
import type { Call, Command } from '../command.ts';
import type { Database } from '../database.ts';
import type { Value } from '../value.ts';

export const keys: readonly Command[] = [
  command('copy', -3, 'write denyoom', [1, 2, 1], copy),
  command('dbsize', 1, 'readonly fast', [0, 0, 0], (call) => call.reply.integer(call.db.size)),
  command('del', -2, 'write', [1, -1, 1], (call) => count(call, (key) => call.db.delete(key))),
  command('exists', -2, 'readonly fast', [1, -1, 1], (call) => count(call, (key) => call.db.has(key))),
  command('flushall', -1, 'write', [0, 0, 0], (call) => flush(call, call.engine.databases)),
  command('flushdb', -1, 'write', [0, 0, 0], (call) => flush(call, [call.db])),
  command('keys', 2, 'readonly', [0, 0, 0], listKeys),
  command('move', 3, 'write fast', [1, 1, 1], move),
  command('randomkey', 1, 'readonly', [0, 0, 0], (call) => call.reply.bulkOrNil(call.db.randomKey())),
  command('rename', 3, 'write', [1, 2, 1], (call) => rename(call, true)),
  command('renamenx', 3, 'write fast', [1, 2, 1], (call) => rename(call, false)),
  command('select', 2, 'loading stale fast', [0, 0, 0], select),
  command('swapdb', 3, 'write fast', [0, 0, 0], swapDatabases),
  command('touch', -2, 'readonly fast', [1, -1, 1], (call) => count(call, (key) => call.db.has(key))),
  command('type', 2, 'readonly fast', [1, 1, 1], (call) =>
    call.reply.simple(call.db.get(call.text(1))?.type ?? 'none')),
  command('unlink', -2, 'write fast', [1, -1, 1], (call) => count(call, (key) => call.db.delete(key))),
];

function count(call: Call, hit: (key: string) => boolean): void {
  call.reply.integer(call.texts(1).filter(hit).length);
}

function listKeys(call: Call): void {
  const pattern = call.text(1);
  const found: string[] = [];
  for (const key of call.db.keys()) if (globMatches(pattern, key)) found.push(key);
  call.reply.bulks(found);
}

function flush(call: Call, databases: readonly Database[]): void {
  const mode = call.word(1);
  if (call.count > 2 || (call.count === 2 && mode !== 'async' && mode !== 'sync')) {
    throw CommandError.syntax();
  }
  for (const database of databases) database.clear();
  call.reply.ok();
}

function rename(call: Call, overwrite: boolean): void {
  const { db, reply } = call;
  const [from, to] = [call.text(1), call.text(2)];
  const value = db.get(from);
  if (value === undefined) throw new CommandError('ERR no such key');
  const free = from !== to && (overwrite || !db.has(to));
  if (free) place(db, to, value, remove(db, from));
  if (overwrite) reply.ok();
  else reply.integer(free ? 1 : 0);
}

/** Removes a key and returns its time of expiry. */
function remove(db: Database, key: string): number | undefined {
  const expiry = db.expiry(key);
  db.delete(key);
  return expiry;
}

function place(db: Database, key: string, value: Value, expiry: number | undefined): void {
  db.delete(key);
  db.store(key, value);
  if (expiry !== undefined) db.expireAt(key, expiry);
}

function copy(call: Call): void {
  const [from, to] = [call.text(1), call.text(2)];
  let target = call.db;
  let replace = false;
  for (let i = 3; i < call.count; i++) {
    const option = call.word(i);
    if (option === 'replace') replace = true;
    else if (option === 'db' && i + 1 < call.count) target = databaseAt(call, ++i);
    else throw CommandError.syntax();
  }
  if (target === call.db && from === to) {
    throw new CommandError('ERR source and destination objects are the same');
  }
  const value = call.db.get(from);
  if (value === undefined || (target.has(to) && !replace)) return call.reply.integer(0);
  place(target, to, copyValue(value), call.db.expiry(from));
  call.reply.integer(1);
}

function move(call: Call): void {
  const key = call.text(1);
  const target = databaseAt(call, 2);
  if (target === call.db) throw new CommandError('ERR source and destination objects are the same');
  const value = call.db.get(key);
  if (value === undefined || target.has(key)) return call.reply.integer(0);
  place(target, key, value, remove(call.db, key));
  call.reply.integer(1);
}

function databaseAt(call: Call, index: number): Database {
  const number = call.integer(index);
  if (Math.abs(number) > 2 ** 31) {
    throw new CommandError('ERR value is out of range, value must between -2147483648 and 2147483647');
  }
  const database = call.engine.databases[number];
  if (database === undefined) throw new CommandError('ERR DB index is out of range');
  return database;
}

function select(call: Call): void {
  call.connection.database = databaseAt(call, 1);
  call.reply.ok();
}

function swapDatabases(call: Call): void {
  const first = call.integer(1, 'ERR invalid first DB index');
  const second = call.integer(2, 'ERR invalid second DB index');
  const [a, b] = [call.engine.databases[first], call.engine.databases[second]];
  if (a === undefined || b === undefined) throw new CommandError('ERR DB index is out of range');
  if (a !== b) {
    a.swap(b);
    call.engine.blocking.databaseReady(a);
    call.engine.blocking.databaseReady(b);
  }
  call.reply.ok();
}
