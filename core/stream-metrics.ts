// What passes a listener, under the names of the reference. Counted when a connection begins and ends and when the sweep
// looks at it: no request pays for it. Series go with the listener and its last connection, and with their node.
import type { Metrics } from './metrics.ts';
import { streamStatus } from './stream-status.ts';
import type { Node } from './upstream/node.ts';

/** Listeners of one worker with series of their own; those that routes open beyond them share some. */
const mostListeners = 500;
const others = 'other';
/** Series of statuses with a node, of one worker; beyond them the node is not named. */
const mostWithNode = 1000;

const bandwidth = ['apisix_stream_bandwidth', 'Bytes received (ingress) and sent (egress), by listener and side.'] as const;
const links = { listen_addr: '' };
const up = { side: 'upstream' } as const;
const down = { side: 'downstream' } as const;

export class StreamMetrics {
  readonly #metrics: Metrics;
  readonly #open = new Map<string, ListenerMetrics>();
  /** Bytes of links, which serve clients of all listeners. */
  readonly #linksReceived: number;
  readonly #linksSent: number;
  readonly #budget = { withNode: mostWithNode };

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    this.#linksReceived = metrics.counter(...bandwidth, { ...links, ...up, type: 'ingress' });
    this.#linksSent = metrics.counter(...bandwidth, { ...links, ...up, type: 'egress' });
  }

  /** The series of a listener, retained once for the caller. */
  listener(address: string): ListenerMetrics {
    const name = this.#open.has(address) || this.#open.size < mostListeners ? address : others;
    const known = this.#open.get(name);
    if (known !== undefined) {
      known.retain();
      return known;
    }
    const made = new ListenerMetrics(this.#metrics, name, this.#budget, () => void this.#open.delete(name));
    this.#open.set(name, made);
    return made;
  }

  linkPassed(received: number, sent: number): void {
    this.#metrics.add(this.#linksReceived, received);
    this.#metrics.add(this.#linksSent, sent);
  }

  /** Takes away the series of nodes that are gone. */
  forgetNodes(gone: (node: string) => boolean): void {
    for (const listener of this.#open.values()) listener.forgetNodes(gone);
  }
}

export class ListenerMetrics {
  readonly #metrics: Metrics;
  readonly #address: string;
  readonly #budget: { withNode: number };
  readonly #gone: () => void;
  readonly #active: number;
  /** Received from and sent to clients, then received from and sent to nodes. */
  readonly #bytes: readonly [number, number, number, number];
  /** By node, '' for none, then by status. */
  readonly #ended = new Map<string, Map<string, number>>();
  #users = 1;
  /** The series are gone. Who shook hands while the last one left counts nowhere. */
  #dead = false;

  constructor(metrics: Metrics, address: string, budget: { withNode: number }, gone: () => void) {
    this.#metrics = metrics;
    this.#address = address;
    this.#budget = budget;
    this.#gone = gone;
    const of = { listen_addr: address };
    this.#active = metrics.gauge('apisix_stream_active_connections', 'Connections open now, by listener.', of);
    this.#bytes = [
      metrics.counter(...bandwidth, { ...of, ...down, type: 'ingress' }), metrics.counter(...bandwidth, { ...of, ...down, type: 'egress' }),
      metrics.counter(...bandwidth, { ...of, ...up, type: 'ingress' }), metrics.counter(...bandwidth, { ...of, ...up, type: 'egress' }),
    ];
  }

  /** One more listener or connection counts here. */
  retain(): void {
    this.#users++;
  }

  /** The series go with the last one that counts here. */
  release(): void {
    if (--this.#users > 0 || this.#dead) return;
    this.#dead = true;
    this.forgetNodes(() => true);
    for (const index of [this.#active, ...this.#bytes]) this.#metrics.release(index);
    this.#gone();
  }

  opened(): void {
    this.retain();
    this.#add(this.#active, 1);
  }

  closed(): void {
    this.#add(this.#active, -1);
    this.release();
  }

  passed(received: number, sent: number, fromNode: number, toNode: number): void {
    this.#add(this.#bytes[0], received);
    this.#add(this.#bytes[1], sent);
    this.#add(this.#bytes[2], fromNode);
    this.#add(this.#bytes[3], toNode);
  }

  /** A connection ended, or was refused; `node` is the one that it used last. */
  ended(reason: string, node: Node | null): void {
    if (this.#dead) return;
    const status = streamStatus(reason);
    const address = node === null || node.closed ? '' : node.address;
    this.#metrics.add(this.#of(address, status) ?? this.#of('', status)!, 1);
  }

  #add(index: number, amount: number): void {
    if (!this.#dead) this.#metrics.add(index, amount);
  }

  #of(node: string, status: string): number | null {
    const known = this.#ended.get(node)?.get(status);
    if (known !== undefined) return known;
    if (node !== '') {
      if (this.#budget.withNode === 0) return null;
      this.#budget.withNode--;
    }
    const index = this.#metrics.counter(
      'apisix_stream_status', 'Connections that ended or were refused, by listener, status and node.',
      { listen_addr: this.#address, code: status, node });
    const byStatus = this.#ended.get(node) ?? new Map<string, number>();
    this.#ended.set(node, byStatus.set(status, index));
    return index;
  }

  forgetNodes(gone: (node: string) => boolean): void {
    for (const [node, byStatus] of this.#ended) {
      if (!gone(node)) continue;
      for (const index of byStatus.values()) this.#metrics.release(index);
      if (node !== '') this.#budget.withNode += byStatus.size;
      this.#ended.delete(node);
    }
  }
}
