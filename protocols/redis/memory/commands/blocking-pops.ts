// BLPOP and its kin: try at once, else block until a key is filled. Inside MULTI they never block.
import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { INT64_MAX, parseInt64 } from '../integer.ts';
import { formatLongDouble, parseLongDouble } from '../long-double.ts';
import { moveItem, readEnd, readMultiPop, replyPopped, replyPoppedOne } from './lists.ts';
import { readScoreMultiPop, replyScoreMultiPop, replyScorePop } from './sorted-set-pops.ts';
import type { Call, Command } from '../command.ts';
import type { ValueType } from '../value.ts';
import type { End } from './lists.ts';

export const blockingPops: readonly Command[] = [
  command('blmove', 6, 'write denyoom noscript blocking', [1, 2, 1], (call) =>
    move(call, readEnd(call, 3), readEnd(call, 4), 5)),
  command('blmpop', -5, 'write blocking movablekeys', [0, 0, 0], listMultiPop),
  command('blpop', -3, 'write noscript blocking', [1, -2, 1], (call) => listPop(call, 'left')),
  command('brpop', -3, 'write noscript blocking', [1, -2, 1], (call) => listPop(call, 'right')),
  command('brpoplpush', 4, 'write denyoom noscript blocking', [1, 2, 1], (call) =>
    move(call, 'right', 'left', 3)),
  command('bzmpop', -5, 'write blocking movablekeys', [0, 0, 0], scoreMultiPop),
  command('bzpopmax', -3, 'write noscript blocking fast', [1, -2, 1], (call) => scorePop(call, 'max')),
  command('bzpopmin', -3, 'write noscript blocking fast', [1, -2, 1], (call) => scorePop(call, 'min')),
];

/** Milliseconds; 0: for ever. */
function readTimeout(call: Call, index: number): number {
  const seconds = parseLongDouble(call.text(index));
  if (seconds === null) throw new CommandError('ERR timeout is not a float or out of range');
  // What overflows 64 bits of milliseconds counts as negative: so does Redis.
  if (seconds === 'infinite') throw new CommandError('ERR timeout is negative');
  const [whole = '0', fraction = ''] = formatLongDouble(seconds).split('.');
  const negative = whole.startsWith('-');
  const thousandths = BigInt(whole.replace('-', '') + fraction.padEnd(3, '0').slice(0, 3));
  const partial = /[1-9]/.test(fraction.slice(3)) && !negative ? 1n : 0n;
  const milliseconds = thousandths + partial;
  if (milliseconds > (negative ? 0n : INT64_MAX)) throw new CommandError('ERR timeout is negative');
  if (milliseconds > INT64_MAX - BigInt(call.engine.now())) {
    throw new CommandError('ERR timeout is out of range');
  }
  return Number(milliseconds);
}

interface Pop {
  readonly keys: readonly string[];
  readonly timeout: number;
  readonly type: ValueType;
  /** Pops from the key, which holds the type, and replies. */
  readonly take: (key: string) => void;
  readonly nothing: () => void;
}

function popOrBlock(call: Call, { keys, timeout, type, take, nothing }: Pop): void {
  for (const key of keys) {
    if (call.db.read(key, type) !== undefined) return take(key);
  }
  if (call.connection.transaction.queue !== null) return nothing();
  call.connection.block({
    keys,
    milliseconds: timeout,
    timedOut: nothing,
    serve(key) {
      if (call.db.get(key)?.type !== type) return false;
      try {
        take(key);
      } catch (cause) {
        // BLMOVE to a key that became something else: the client gets the error, the item stays.
        if (!(cause instanceof CommandError)) throw cause;
        call.reply.error(cause.message);
      }
      return true;
    },
  });
}

function listPop(call: Call, end: End): void {
  popOrBlock(call, {
    keys: call.texts(1, call.count - 1),
    timeout: readTimeout(call, call.count - 1),
    type: 'list',
    take: (key) => void replyPoppedOne(call, key, end),
    nothing: () => call.reply.nilArray(),
  });
}

function listMultiPop(call: Call): void {
  const timeout = readTimeout(call, 1);
  const { keys, end, count } = readMultiPop(call, 2);
  popOrBlock(call, {
    keys, timeout, type: 'list',
    take: (key) => void replyPopped(call, key, end, count),
    nothing: () => call.reply.nilArray(),
  });
}

function move(call: Call, from: End, to: End, timeoutAt: number): void {
  const [source, target] = [call.text(1), call.text(2)];
  const timeout = readTimeout(call, timeoutAt);
  const inMulti = call.connection.transaction.queue !== null;
  popOrBlock(call, {
    keys: [source], timeout, type: 'list',
    take: (key) => call.reply.bulkOrNil(moveItem(call.db, key, target, from, to)),
    nothing: () => (inMulti ? call.reply.nil() : call.reply.nilArray()),
  });
}

function scorePop(call: Call, end: 'min' | 'max'): void {
  popOrBlock(call, {
    keys: call.texts(1, call.count - 1),
    timeout: readTimeout(call, call.count - 1),
    type: 'zset',
    take: (key) => replyScorePop(call, key, end),
    nothing: () => call.reply.nilArray(),
  });
}

function scoreMultiPop(call: Call): void {
  const timeout = readTimeout(call, 1);
  const { keys, end, count } = readScoreMultiPop(call, 2);
  popOrBlock(call, {
    keys, timeout, type: 'zset',
    take: (key) => void replyScoreMultiPop(call, key, end, count),
    nothing: () => call.reply.nilArray(),
  });
}

/** WAIT: there are no replicas, so none ever acknowledges. */
export const wait: Command = command('wait', 3, 'noscript', [0, 0, 0], (call) => {
  const replicas = call.integer(1);
  const given = parseInt64(call.text(2));
  if (given === null) throw new CommandError('ERR timeout is not an integer or out of range');
  if (given < 0n) throw new CommandError('ERR timeout is negative');
  const nothing = (): void => call.reply.integer(0);
  if (replicas <= 0 || call.connection.transaction.queue !== null) return nothing();
  call.connection.block({ keys: [], milliseconds: Number(given), serve: () => false, timedOut: nothing });
});
