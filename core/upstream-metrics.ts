// What the nodes and the clients hold at the moment, counted when somebody reads the page: no request pays for it.
// Series of nodes that no upstream names any more go, so that a discovery whose nodes come and go fills nothing.
import type { Engine } from './engine.ts';
import type { Metrics } from './metrics.ts';
import { Link } from './upstream/link.ts';
import type { Node } from './upstream/node.ts';

/** Nodes of one worker that are shown; beyond them, the busiest. */
const mostNodes = 1000;

interface Held { shared: number; own: number; inFlight: number; waiting: number; down: boolean }

const families = {
  shared: ['millrace_links_open', 'Upstream connections open now.', { kind: 'shared' }],
  own: ['millrace_links_open', 'Upstream connections open now.', { kind: 'own' }],
  inFlight: ['millrace_upstream_in_flight', 'Requests sent to a node, or about to be, and not answered yet.', {}],
  waiting: ['millrace_own_links_waiting', 'Clients that wait for an upstream connection of their own.', {}],
} as const;
type Family = keyof typeof families;

export class UpstreamMetrics {
  readonly #engine: Engine;
  readonly #metrics: Metrics;
  readonly #nodes: Iterable<Node>;
  /** By address: what is shown of it. */
  #shown = new Map<string, Map<Family, number>>();
  /** By address: nodes that were ever left out. */
  readonly #up = new Map<string, number>();
  readonly #requests: number;
  readonly #unsent: number;

  constructor(engine: Engine, nodes: Iterable<Node>) {
    this.#engine = engine;
    this.#metrics = engine.metrics;
    this.#nodes = nodes;
    this.#requests = this.#metrics.gauge('millrace_requests_in_flight', 'Requests read from clients and not answered yet.');
    this.#unsent = this.#metrics.gauge('millrace_unsent_reply_bytes', 'Bytes of replies that clients have not taken yet.');
  }

  changed(node: Node, available: boolean): void {
    let gauge = this.#up.get(node.address);
    if (gauge === undefined) {
      gauge = this.#metrics.gauge('millrace_upstream_node_up', 'Whether a node is used: 1 or 0.', { node: node.address }, { merge: 'min' });
      this.#up.set(node.address, gauge);
    }
    this.#metrics.set(gauge, available ? 1 : 0);
  }

  /** Call before a snapshot. */
  update(): void {
    const held = this.#held();
    for (const [address, gauge] of this.#up) {
      const node = held.get(address);
      if (node !== undefined) {
        this.#metrics.set(gauge, node.down ? 0 : 1);
        continue;
      }
      this.#metrics.release(gauge);
      this.#up.delete(address);
    }
    this.#engine.forgetNodes((address) => !held.has(address));
    this.#show(held);
    let requests = 0;
    let unsent = 0;
    for (const session of this.#engine.sessions) {
      requests += session.inFlight;
      unsent += session.connection.outbox.pending;
    }
    this.#metrics.set(this.#requests, requests);
    this.#metrics.set(this.#unsent, unsent);
  }

  #held(): Map<string, Held> {
    const found = new Map<string, Held>();
    for (const node of this.#nodes) {
      const known = found.get(node.address) ?? { shared: 0, own: 0, inFlight: 0, waiting: 0, down: false };
      known.inFlight += node.inflight;
      known.down ||= !node.available;
      for (const thing of node.attached.values()) known.waiting += thing.waiting ?? 0;
      found.set(node.address, known);
    }
    for (const link of this.#engine.watched) {
      if (!(link instanceof Link)) continue;
      link.account();
      if (link.state !== 'open' && link.state !== 'greeting') continue;
      const known = found.get(link.node.address);
      if (known !== undefined) known[link.own ? 'own' : 'shared']++;
    }
    return found;
  }

  #show(held: ReadonlyMap<string, Held>): void {
    const busy = [...held].filter(([, each]) => each.shared + each.own + each.inFlight + each.waiting > 0);
    const most = busy.length <= mostNodes ? busy : busy.toSorted(([, a], [, b]) => b.inFlight - a.inFlight).slice(0, mostNodes);
    const shown = new Map<string, Map<Family, number>>();
    for (const [address, each] of most) {
      const gauges = this.#shown.get(address) ?? this.#gauges(address);
      for (const [family, gauge] of gauges) this.#metrics.set(gauge, each[family]);
      shown.set(address, gauges);
    }
    for (const [address, gauges] of this.#shown) {
      if (shown.has(address)) continue;
      if (held.has(address)) {
        // It has nothing now: that is said as long as the node is there.
        for (const gauge of gauges.values()) this.#metrics.set(gauge, 0);
        shown.set(address, gauges);
      } else {
        for (const gauge of gauges.values()) this.#metrics.release(gauge);
      }
    }
    this.#shown = shown;
  }

  #gauges(address: string): Map<Family, number> {
    return new Map((Object.keys(families) as Family[]).map((family) => {
      const [name, help, labels] = families[family];
      return [family, this.#metrics.gauge(name, help, { node: address, ...labels })];
    }));
  }
}
