// The checks of all nodes of one data plane: one for each node and configuration, however many upstreams have them.
import type { ConnectionOptions } from 'node:tls';
import type { Metrics } from '../metrics.ts';
import { Check, type ProbeResult } from './check.ts';
import type { CheckConf } from './check-conf.ts';
import { CheckExchange } from './check-exchange.ts';
import { httpProbe } from './http-probe.ts';
import type { Node } from './node.ts';
import { ProbeFailure, type Probe, type ProbeTarget } from './probe.ts';
import { unrefTimer, type Schedule } from './schedule.ts';
import { tcpProbe } from './tcp-probe.ts';

export interface ChecksOptions {
  readonly metrics: Metrics;
  /** A protocol's probe. */
  readonly probe: (type: string) => Probe | undefined;
  readonly worker: number;
  /** Null: this is the only worker. */
  readonly channel: string | null;
  readonly schedule?: Schedule;
  readonly random?: () => number;
}

/** What of an upstream a probe needs. */
export interface CheckedBy {
  readonly tls: ConnectionOptions | undefined;
  readonly auth: ProbeTarget['auth'];
}

/** ms by which a worker lets the one before it go first. */
const slackPerWorker = 250;
const results: Readonly<Record<ProbeResult, string>> = {
  success: 'success', neither: 'neither', http: 'http_failure', tcp: 'tcp_failure', timeout: 'timeout', protocol: 'protocol_failure',
};

export class Checks {
  readonly #options: ChecksOptions;
  readonly #exchange: CheckExchange | null;
  readonly #byKey = new Map<string, Check>();
  readonly #byNode = new WeakMap<Node, Check>();
  readonly #gates = new Map<string, Gate>();

  constructor(options: ChecksOptions) {
    this.#options = options;
    const { channel } = options;
    this.#exchange = channel === null ? null : new CheckExchange(channel, (key, news) => this.#byKey.get(key)?.heard(news));
  }

  of(node: Node): Check | undefined {
    return this.#byNode.get(node);
  }

  /** Starts the check of a node unless it runs; it ends with the node. A node's `way` tells checks apart. */
  start(node: Node, conf: CheckConf, by: CheckedBy): void {
    if (this.#byNode.has(node)) return;
    const { schedule = unrefTimer, random = Math.random, worker } = this.#options;
    const key = `${node.address} ${node.way}`;
    const gate = this.#gate(node.way, conf.concurrency);
    const target = targetOf(node, conf, by);
    const series = new Series(this.#options.metrics, node.address);
    const check = new Check({
      conf, schedule, random,
      probe: (signal) => this.#probe(conf, target, signal),
      enter: (run) => gate.enter(run),
      slack: this.#exchange === null ? 0 : worker * slackPerWorker,
      tell: (news) => this.#exchange?.tell(key, news),
      counted: (result) => series.add(results[result]),
      now: Date.now,
    });
    this.#byNode.set(node, check);
    this.#byKey.set(key, check);
    node.attached.set(this, {
      close: () => {
        if (this.#byKey.get(key) === check) this.#byKey.delete(key);
        if (--gate.users === 0) this.#gates.delete(node.way);
        series.release();
      },
    });
    node.health.watch(check);
  }

  close(): void {
    this.#exchange?.close();
  }

  async #probe(conf: CheckConf, target: ProbeTarget, signal: AbortSignal): Promise<void | 'neither'> {
    if (conf.type === 'tcp') return tcpProbe(target, signal);
    if (conf.type === 'http' || conf.type === 'https') return httpProbe(conf, target, signal);
    const probe = this.#options.probe(conf.type);
    if (probe === undefined) throw new ProbeFailure('protocol', `nobody knows how to check ${conf.type}`);
    return probe(target, signal);
  }

  #gate(way: string, concurrency: number): Gate {
    let gate = this.#gates.get(way);
    if (gate === undefined) this.#gates.set(way, gate = new Gate(concurrency));
    gate.users++;
    return gate;
  }
}

function targetOf(node: Node, conf: CheckConf, { tls, auth }: CheckedBy): ProbeTarget {
  const { port } = conf;
  const moved = port !== undefined && 'host' in node.dial;
  const dial = moved ? node.dialTo(port) : node.dial;
  return {
    dial, conf: conf.written,
    address: moved ? node.address.replace(/:\d+$/, `:${port}`) : node.address,
    ...(tls === undefined ? {} : { tls: { ...node.serverName, ...tls } }),
    ...(auth === undefined ? {} : { auth }),
  };
}

/** Lets so many in at a time, the others in the order in which they came. */
class Gate {
  users = 0;
  #free: number;
  readonly #waiting: ((leave: () => void) => void)[] = [];
  readonly #leave = (): void => {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next(this.#leave);
  };

  constructor(width: number) {
    this.#free = width;
  }

  enter(run: (leave: () => void) => void): void {
    if (this.#free === 0) {
      this.#waiting.push(run);
      return;
    }
    this.#free--;
    run(this.#leave);
  }
}

/** Counters of one node, made when a result is first seen. */
class Series {
  readonly #metrics: Metrics;
  readonly #node: string;
  readonly #indexes = new Map<string, number>();

  constructor(metrics: Metrics, node: string) {
    this.#metrics = metrics;
    this.#node = node;
  }

  add(result: string): void {
    let index = this.#indexes.get(result);
    if (index === undefined) {
      index = this.#metrics.counter('millrace_upstream_checks_total', 'Probes of nodes that ended, by result.', { node: this.#node, result });
      this.#indexes.set(result, index);
    }
    this.#metrics.add(index, 1);
  }

  release(): void {
    for (const index of this.#indexes.values()) this.#metrics.release(index);
  }
}
