// Where a route's commands go, compiled once per configuration.
import type { Engine } from '../../core/engine.ts';
import type { Backend, BackendOptions, OperationExplained } from '../../core/protocol.ts';
import type { Request } from '../../core/request.ts';
import type { Session } from '../../core/session.ts';
import { hashKey } from '../../core/upstream/hash-key.ts';
import type { Link } from '../../core/upstream/link.ts';
import type { Node } from '../../core/upstream/node.ts';
import type { Upstream } from '../../core/upstream/upstream.ts';
import { commands } from './commands/table.ts';
import { explainCommand } from './explain.ts';
import { LinkSet } from './link-set.ts';
import { Subordinates, type MatchConf } from './subordinates.ts';
import type { Identity } from './link.ts';
import type { RedisRequest } from './request.ts';

export interface RedisConf {
  readonly upstream_connection?: 'shared' | 'dedicated';
  readonly allow_commands?: readonly string[];
  readonly faults?: readonly Record<string, unknown>[];
  readonly match?: MatchConf;
}

/** As the reference: of a histogram in seconds. */
const latencyBuckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

export class RedisBackend implements Backend {
  readonly upstream: Upstream | null;
  readonly conf: RedisConf;
  readonly route: string;
  readonly dedicated: boolean;
  /** Every command is counted and timed on its own: `protocol.metric.enable`. */
  readonly perOperation: boolean;
  /** Whom commands may be for instead; null: nobody. */
  readonly subordinates: Subordinates | null;
  readonly #engine: Engine;
  readonly #allowed: ReadonlySet<string>;
  readonly #counts = new Int32Array(commands.length).fill(-1);
  readonly #totals = new Int32Array(commands.length).fill(-1);
  readonly #errors = new Int32Array(commands.length).fill(-1);
  readonly #latencies = new Int32Array(commands.length).fill(-1);

  constructor(options: BackendOptions<RedisConf>) {
    const { conf, engine } = options;
    this.upstream = options.upstream;
    this.conf = conf;
    this.route = options.routeId;
    this.dedicated = conf.upstream_connection === 'dedicated';
    this.perOperation = options.perOperation;
    this.#engine = engine;
    this.subordinates = options.subordinates.length === 0 ? null : new Subordinates(options.subordinates.map((each) => ({
      backend: new RedisBackend({ ...options, ...each, subordinates: [] }), match: each.conf.match,
    })));
    this.#allowed = new Set((conf.allow_commands ?? []).map((name) => name.toLowerCase().replace(' ', '|')));
  }

  send(request: Request): void {
    (request as RedisRequest).session.dispatch(request as RedisRequest);
  }

  close(): void {}

  explain(words: readonly string[]): OperationExplained {
    return explainCommand(words, this, this.#engine.limits);
  }

  /** Whether the route allows a harmful command: by its name, or by its container's. */
  allows(name: string): boolean {
    if (this.dedicated || this.#allowed.has(name)) return true;
    const bar = name.indexOf('|');
    return bar > 0 && this.#allowed.has(name.slice(0, bar));
  }

  /** The node for a session; null: nobody is available. */
  pick(session: Session, tried: readonly Node[]): Node | null {
    const { balancer, conf } = this.upstream!;
    const key = conf.type === 'chash' ? hashKey(conf, session) : null;
    return tried.length === 0 ? balancer.pick(key, 0) : balancer.pick(key, tried.length, tried);
  }

  /**
   * Who takes over what waits on a link that could not be opened: the link of the same identity to the next node,
   * as long as `retries` and `retry_timeout` allow. `since` is when the first of them was begun.
   */
  substitute(failed: Link, identity: Identity, tried: readonly Node[] = [], since: number = failed.openedAt): Link | null {
    const { upstream } = this;
    const all = [...tried, failed.node];
    if (upstream === null || !upstream.mayRetry(all.length, this.#engine.clock.now() - since)) return null;
    const next = upstream.balancer.pick(null, all.length, all);
    if (next === null) return null;
    return LinkSet.of(next, this.#engine, upstream).shared(identity, (again) => this.substitute(again, identity, all, since));
  }

  /** A command was framed. Series are made when a command is first seen: there are 590, and few are used. */
  count(id: number, amount: number): void {
    let index = this.#counts[id]!;
    if (index < 0) index = this.#register(this.#counts, id, 'millrace_redis_commands_total', 'Commands received.');
    this.#engine.metrics.add(index, amount);
  }

  /** A command was answered, by whomever. */
  answered(id: number, amount: number): void {
    if (!this.perOperation) return;
    let index = this.#totals[id]!;
    if (index < 0) index = this.#register(this.#totals, id, 'apisix_redis_commands_total', 'Commands answered.');
    this.#engine.metrics.add(index, amount);
  }

  /** The same, and how long it took; milliseconds. */
  observe(id: number, duration: number, amount: number): void {
    if (!this.perOperation) return;
    this.answered(id, amount);
    const { metrics } = this.#engine;
    let latency = this.#latencies[id]!;
    if (latency < 0) {
      latency = metrics.histogram('apisix_redis_commands_latency_seconds', 'From a command being read to its answer.',
        { route: this.route, command: labelOf(id) }, { bounds: latencyBuckets });
      this.#latencies[id] = latency;
    }
    metrics.observe(latency, duration, amount);
  }

  /** Commands whose answer was an error, the server's or ours. */
  erred(id: number, amount: number): void {
    if (!this.perOperation) return;
    let index = this.#errors[id]!;
    if (index < 0) index = this.#register(this.#errors, id, 'apisix_redis_command_errors_total', 'Commands answered with an error, the server\'s or ours.');
    this.#engine.metrics.add(index, amount);
  }

  #register(table: Int32Array, id: number, name: string, help: string): number {
    const index = this.#engine.metrics.counter(name, help, { route: this.route, command: labelOf(id) });
    table[id] = index;
    return index;
  }
}

/** Known commands only: a client's own words must not become labels. */
function labelOf(id: number): string {
  const { name } = commands[id]!;
  return name === '' ? 'unknown' : name.replace('|', ' ');
}
