import type { Connection } from './connection.ts';

/** One line of CLIENT LIST. Sizes of buffers, which we do not measure, are 0. */
export function describeClient(client: Connection): string {
  const { subscriptions, transaction, addresses, engine } = client;
  const seconds = (since: number): number => Math.max(0, Math.floor((engine.now() - since) / 1000));
  const fields: Record<string, string | number> = {
    id: client.id, addr: addresses.remote, laddr: addresses.local, fd: -1, name: client.name,
    age: seconds(client.createdAt), idle: seconds(client.lastCommandAt), flags: flagsOf(client),
    db: client.database.index, sub: subscriptions.count('channels'), psub: subscriptions.count('patterns'),
    ssub: subscriptions.count('shards'), multi: transaction.queue?.length ?? -1, qbuf: 0, 'qbuf-free': 0,
    'argv-mem': 0, 'multi-mem': 0, rbs: 0, rbp: 0, obl: 0, oll: 0, omem: 0, 'tot-mem': 0, events: 'r',
    cmd: client.lastCommand, user: 'default', redir: -1, resp: client.reply.resp,
  };
  return Object.entries(fields).map(([name, value]) => `${name}=${value}`).join(' ');
}

function flagsOf(client: Connection): string {
  let flags = '';
  if (client.subscriptions.total > 0) flags += 'P';
  if (client.transaction.queue !== null) flags += 'x';
  if (client.blocked) flags += 'b';
  if (client.transaction.conflict) flags += 'd';
  if (client.noEvict) flags += 'e';
  return flags === '' ? 'N' : flags;
}
