// What one connection is subscribed to.
import type { Channels, Subscriber, SubscriptionKind } from './channels.ts';

export class Subscriptions {
  readonly #channels: Channels;
  readonly #subscriber: Subscriber;
  readonly #names: Record<SubscriptionKind, Set<string>> = {
    channels: new Set(), patterns: new Set(), shards: new Set(),
  };

  constructor(channels: Channels, subscriber: Subscriber) {
    this.#channels = channels;
    this.#subscriber = subscriber;
  }

  get total(): number {
    return this.#names.channels.size + this.#names.patterns.size + this.#names.shards.size;
  }

  count(kind: SubscriptionKind): number {
    return this.#names[kind].size;
  }

  /** The number that (un)subscribe replies carry: shard channels count apart. */
  reported(kind: SubscriptionKind): number {
    const { channels, patterns, shards } = this.#names;
    return kind === 'shards' ? shards.size : channels.size + patterns.size;
  }

  names(kind: SubscriptionKind): readonly string[] {
    return [...this.#names[kind]];
  }

  add(kind: SubscriptionKind, name: string): void {
    this.#names[kind].add(name);
    this.#channels.add(kind, name, this.#subscriber);
  }

  remove(kind: SubscriptionKind, name: string): void {
    if (this.#names[kind].delete(name)) this.#channels.remove(kind, name, this.#subscriber);
  }

  clear(): void {
    for (const kind of ['channels', 'patterns', 'shards'] as const) {
      for (const name of this.names(kind)) this.remove(kind, name);
    }
  }
}
