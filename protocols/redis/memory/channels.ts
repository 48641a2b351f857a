// Who is subscribed to what: channels, patterns and shard channels.
import { globMatches } from './glob.ts';

export type SubscriptionKind = 'channels' | 'patterns' | 'shards';

/** Gets messages. `pattern` is null unless the subscription is one. */
export interface Subscriber {
  deliver(kind: SubscriptionKind, pattern: string | null, channel: string, message: Buffer): void;
}

export class Channels {
  readonly #subscribers: Record<SubscriptionKind, Map<string, Set<Subscriber>>> = {
    channels: new Map(), patterns: new Map(), shards: new Map(),
  };

  add(kind: SubscriptionKind, name: string, subscriber: Subscriber): void {
    const subscribers = this.#subscribers[kind].get(name);
    if (subscribers === undefined) this.#subscribers[kind].set(name, new Set([subscriber]));
    else subscribers.add(subscriber);
  }

  remove(kind: SubscriptionKind, name: string, subscriber: Subscriber): void {
    const subscribers = this.#subscribers[kind].get(name);
    subscribers?.delete(subscriber);
    if (subscribers?.size === 0) this.#subscribers[kind].delete(name);
  }

  names(kind: SubscriptionKind): IterableIterator<string> {
    return this.#subscribers[kind].keys();
  }

  count(kind: SubscriptionKind, name: string): number {
    return this.#subscribers[kind].get(name)?.size ?? 0;
  }

  /** Number of different patterns, whoever subscribed to them. */
  get patternCount(): number {
    return this.#subscribers.patterns.size;
  }

  /** Delivers to the channel, then to patterns; returns the number of deliveries. */
  publish(channel: string, message: Buffer): number {
    let receivers = this.#deliver('channels', channel, null, channel, message);
    for (const pattern of this.#subscribers.patterns.keys()) {
      if (!globMatches(pattern, channel)) continue;
      receivers += this.#deliver('patterns', pattern, pattern, channel, message);
    }
    return receivers;
  }

  publishToShard(channel: string, message: Buffer): number {
    return this.#deliver('shards', channel, null, channel, message);
  }

  #deliver(
    kind: SubscriptionKind, name: string, pattern: string | null, channel: string, message: Buffer,
  ): number {
    const subscribers = this.#subscribers[kind].get(name);
    if (subscribers === undefined) return 0;
    for (const subscriber of subscribers) subscriber.deliver(kind, pattern, channel, message);
    return subscribers.size;
  }
}
