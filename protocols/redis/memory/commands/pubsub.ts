import { command, container } from '../command.ts';
import { globMatches } from '../glob.ts';
import { help, unknownForm } from '../help.ts';
import type { SubscriptionKind } from '../channels.ts';
import type { Call, Command } from '../command.ts';

export const pubsub: readonly Command[] = [
  command('psubscribe', -2, 'pubsub noscript loading stale', [0, 0, 0], (call) =>
    subscribe(call, 'patterns')),
  command('publish', 3, 'pubsub loading stale fast', [0, 0, 0], (call) =>
    call.reply.integer(call.engine.channels.publish(call.text(1), call.bytes(2)))),
  container('pubsub', [
    command('pubsub|channels', -2, 'pubsub loading stale', [0, 0, 0], (call) =>
      listChannels(call, 'channels')),
    command('pubsub|help', 2, 'loading stale', [0, 0, 0], help('PUBSUB', [
      'CHANNELS [<pattern>]', "    Return the currently active channels matching a <pattern> (default: '*').",
      'NUMPAT', '    Return number of subscriptions to patterns.',
      'NUMSUB [<channel> ...]',
      '    Return the number of subscribers for the specified channels, excluding',
      '    pattern subscriptions(default: no channels).',
      'SHARDCHANNELS [<pattern>]',
      "    Return the currently active shard level channels matching a <pattern> (default: '*').",
      'SHARDNUMSUB [<shardchannel> ...]',
      '    Return the number of subscribers for the specified shard level channel(s)',
    ])),
    command('pubsub|numpat', 2, 'pubsub loading stale', [0, 0, 0], (call) =>
      call.reply.integer(call.engine.channels.patternCount)),
    command('pubsub|numsub', -2, 'pubsub loading stale', [0, 0, 0], (call) =>
      countSubscribers(call, 'channels')),
    command('pubsub|shardchannels', -2, 'pubsub loading stale', [0, 0, 0], (call) =>
      listChannels(call, 'shards')),
    command('pubsub|shardnumsub', -2, 'pubsub loading stale', [0, 0, 0], (call) =>
      countSubscribers(call, 'shards')),
  ]),
  command('punsubscribe', -1, 'pubsub noscript loading stale', [0, 0, 0], (call) =>
    unsubscribe(call, 'patterns')),
  command('spublish', 3, 'pubsub loading stale fast', [1, 1, 1], (call) =>
    call.reply.integer(call.engine.channels.publishToShard(call.text(1), call.bytes(2)))),
  command('ssubscribe', -2, 'pubsub noscript loading stale', [1, -1, 1], (call) => subscribe(call, 'shards')),
  command('subscribe', -2, 'pubsub noscript loading stale', [0, 0, 0], (call) => subscribe(call, 'channels')),
  command('sunsubscribe', -1, 'pubsub noscript loading stale', [1, -1, 1], (call) =>
    unsubscribe(call, 'shards')),
  command('unsubscribe', -1, 'pubsub noscript loading stale', [0, 0, 0], (call) =>
    unsubscribe(call, 'channels')),
];

function subscribe(call: Call, kind: SubscriptionKind): void {
  for (const name of call.texts(1)) {
    call.connection.subscriptions.add(kind, name);
    confirm(call, name, kind);
  }
}

/** Without names: from all of the kind, or one answer with nil when there are none. */
function unsubscribe(call: Call, kind: SubscriptionKind): void {
  const { subscriptions } = call.connection;
  const names = call.count > 1 ? call.texts(1) : subscriptions.names(kind);
  if (names.length === 0) return confirm(call, undefined, kind);
  for (const name of names) {
    subscriptions.remove(kind, name);
    confirm(call, name, kind);
  }
}

function confirm(call: Call, name: string | undefined, kind: SubscriptionKind): void {
  const { reply } = call;
  const { muted } = reply;
  // A push: CLIENT REPLY OFF does not drop it.
  reply.muted = false;
  reply.push(3);
  reply.bulk(call.word(0));
  reply.bulkOrNil(name);
  reply.integer(call.connection.subscriptions.reported(kind));
  reply.muted = muted;
}

function listChannels(call: Call, kind: SubscriptionKind): void {
  if (call.count > 3) throw unknownForm(call);
  const pattern = call.count === 3 ? call.text(2) : '*';
  call.reply.bulks([...call.engine.channels.names(kind)].filter((name) => globMatches(pattern, name)));
}

function countSubscribers(call: Call, kind: SubscriptionKind): void {
  const names = call.texts(2);
  call.reply.array(names.length * 2);
  for (const name of names) {
    call.reply.bulk(name);
    call.reply.integer(call.engine.channels.count(kind, name));
  }
}
