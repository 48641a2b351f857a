import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { invalidExpireTime } from '../expiry-options.ts';
import { INT64_MAX, INT64_MIN } from '../integer.ts';
import type { Call, Command } from '../command.ts';

const SECOND = 1000n;
const MILLISECOND = 1n;

export const expiry: readonly Command[] = [
  command('expire', -3, 'write fast', [1, 1, 1], (call) => expire(call, SECOND, true)),
  command('expireat', -3, 'write fast', [1, 1, 1], (call) => expire(call, SECOND, false)),
  command('expiretime', 2, 'readonly fast', [1, 1, 1], (call) => expiryTime(call, 1000)),
  command('persist', 2, 'write fast', [1, 1, 1], (call) =>
    call.reply.integer(call.db.persist(call.text(1)) ? 1 : 0)),
  command('pexpire', -3, 'write fast', [1, 1, 1], (call) => expire(call, MILLISECOND, true)),
  command('pexpireat', -3, 'write fast', [1, 1, 1], (call) => expire(call, MILLISECOND, false)),
  command('pexpiretime', 2, 'readonly fast', [1, 1, 1], (call) => expiryTime(call, 1)),
  command('pttl', 2, 'readonly fast', [1, 1, 1], (call) => timeToLive(call, 1)),
  command('ttl', 2, 'readonly fast', [1, 1, 1], (call) => timeToLive(call, 1000)),
];

type Condition = 'nx' | 'xx' | 'gt' | 'lt';

function expire(call: Call, unit: bigint, relative: boolean): void {
  const { db, engine, reply } = call;
  const conditions = readConditions(call);
  const at = readTime(call, unit, relative);
  const key = call.text(1);
  if (!db.has(key) || !allowed(conditions, at, db.expiry(key))) return reply.integer(0);
  if (at <= engine.now()) db.delete(key);
  else db.expireAt(key, at);
  reply.integer(1);
}

function readConditions(call: Call): ReadonlySet<Condition> {
  const found = new Set<Condition>();
  for (let i = 3; i < call.count; i++) {
    const word = call.word(i);
    if (word !== 'nx' && word !== 'xx' && word !== 'gt' && word !== 'lt') {
      throw new CommandError(`ERR Unsupported option ${call.quote(i)}`);
    }
    found.add(word);
  }
  if (found.has('nx') && found.size > 1) {
    throw new CommandError('ERR NX and XX, GT or LT options at the same time are not compatible');
  }
  if (found.has('gt') && found.has('lt')) {
    throw new CommandError('ERR GT and LT options at the same time are not compatible');
  }
  return found;
}

function readTime(call: Call, unit: bigint, relative: boolean): number {
  const given = call.int64(2);
  if (given > INT64_MAX / unit || given < INT64_MIN / unit) throw invalidExpireTime(call);
  const base = relative ? BigInt(call.engine.now()) : 0n;
  if (given * unit > INT64_MAX - base) throw invalidExpireTime(call);
  return Number(given * unit + base);
}

/** A key without time of expiry counts as one that expires never, thus later than any other. */
function allowed(conditions: ReadonlySet<Condition>, at: number, current: number | undefined): boolean {
  if (conditions.has('nx') && current !== undefined) return false;
  if (conditions.has('xx') && current === undefined) return false;
  if (conditions.has('gt') && (current === undefined || at <= current)) return false;
  return !(conditions.has('lt') && current !== undefined && at >= current);
}

const NO_KEY = -2;
const NO_EXPIRY = -1;

function timeToLive(call: Call, unit: number): void {
  replyTime(call, unit, call.engine.now());
}

function expiryTime(call: Call, unit: number): void {
  replyTime(call, unit, 0);
}

function replyTime(call: Call, unit: number, since: number): void {
  const key = call.text(1);
  const at = call.db.has(key) ? call.db.expiry(key) ?? NO_EXPIRY : NO_KEY;
  if (at < 0) return call.reply.integer(at);
  const milliseconds = Math.max(at - since, 0);
  call.reply.integer(unit === 1 ? milliseconds : Math.floor((milliseconds + 500) / 1000));
}
