import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { run } from '../dispatch.ts';
import type { Call, Command } from '../command.ts';

export const transactions: readonly Command[] = [
  command('discard', 1, 'noscript loading stale fast allow_busy', [0, 0, 0], discard),
  command('exec', 1, 'noscript loading stale skip_slowlog', [0, 0, 0], execute),
  command('multi', 1, 'noscript loading stale fast allow_busy', [0, 0, 0], begin),
  command('unwatch', 1, 'noscript loading stale fast allow_busy', [0, 0, 0], (call) => {
    call.connection.transaction.unwatch();
    call.reply.ok();
  }),
  command('watch', -2, 'noscript loading stale fast allow_busy', [1, -1, 1], watch),
];

function begin(call: Call): void {
  const { transaction } = call.connection;
  if (transaction.queue !== null) throw new CommandError('ERR MULTI calls can not be nested');
  transaction.begin();
  call.reply.ok();
}

function discard(call: Call): void {
  const { transaction } = call.connection;
  if (transaction.queue === null) throw new CommandError('ERR DISCARD without MULTI');
  transaction.end();
  call.reply.ok();
}

function watch(call: Call): void {
  const { transaction } = call.connection;
  if (transaction.queue !== null) throw new CommandError('ERR WATCH inside MULTI is not allowed');
  for (const key of call.texts(1)) transaction.watch(call.db, key);
  call.reply.ok();
}

function execute(call: Call): void {
  const { connection, reply } = call;
  const { transaction } = connection;
  const { queue } = transaction;
  if (queue === null) throw new CommandError('ERR EXEC without MULTI');
  transaction.checkExpiry();
  const { broken, conflict } = transaction;
  if (broken || conflict) transaction.end();
  if (broken) throw new CommandError('EXECABORT Transaction discarded because of previous errors.');
  if (conflict) return reply.nilArray();
  transaction.unwatch();
  reply.array(queue.length);
  // The queue stays in place meanwhile: blocking commands see by it that they must not block.
  for (const { command: queued, args } of queue) run(connection, queued, args);
  transaction.end();
}
