// A configured upstream: nodes with a balancer, timeouts and how its connections are made. What has happened to a
// node is the Node's and outlives this.
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';
import type { ServiceOf, Services } from '../discovery/services.ts';
import type { Limits } from '../limits.ts';
import type { Logger } from '../log.ts';
import { buildBalancer, type Balancer, type Candidate } from './balancer.ts';
import { checkConfOf } from './check-conf.ts';
import type { Checks } from './checks.ts';
import { candidatesOf, parseNodes, type NodeSpec } from './nodes.ts';
import type { Node, NodeTable } from './node.ts';

/** `upstream` of a route as the schema lets it through; times in seconds. */
export interface UpstreamConf {
  /** Version of the PROXY header that nodes of plain TCP routes get. */
  readonly proxy_protocol?: 1 | 2;
  readonly type?: string;
  readonly nodes?: unknown;
  readonly service_name?: string;
  readonly discovery_type?: string;
  readonly discovery_args?: Readonly<Record<string, string>>;
  readonly checks?: Readonly<Record<string, unknown>>;
  readonly when_all_down?: 'try' | 'refuse';
  readonly hash_on?: 'vars' | 'vars_combinations' | 'consumer' | 'header' | 'cookie';
  readonly key?: string;
  readonly retries?: number;
  readonly retry_timeout?: number;
  readonly timeout?: { readonly connect?: number; readonly send?: number; readonly read?: number; readonly idle?: number };
  readonly keepalive_pool?: { readonly size?: number; readonly idle_timeout?: number; readonly requests?: number };
  readonly scheme?: string;
  readonly tls?: {
    readonly verify?: boolean; readonly server_name?: string; readonly ca?: string; readonly client_cert?: string; readonly client_key?: string;
    readonly client_cert_id?: string | number;
  };
  readonly auth?: { readonly username?: string; readonly password: string };
  readonly integrity?: 'off' | 'check' | 'strict';
}

/** What an upstream needs of the data plane that it runs in. */
export interface Surroundings {
  readonly checks: Checks;
  readonly services: Services;
  readonly log: Logger;
  /** All that are in use, those of retired plans among them until their last request ended. */
  readonly live: Set<Upstream>;
}

/** Told when nodes come and go while the upstream is in use. */
export interface NodeListener {
  added(node: Node): void;
  removed(node: Node): void;
}

export interface UpstreamOptions {
  readonly conf: UpstreamConf;
  readonly table: NodeTable;
  readonly limits: Limits;
  readonly defaultPort: number;
  /** Of the route that it belongs to. */
  readonly id: string;
  /** Absent: no checks and no discovery. */
  readonly surroundings?: Surroundings | undefined;
}

/** Idle own links kept per node, how long, and how often each is used again. */
export interface KeepalivePool {
  readonly size: number;
  /** Milliseconds. */
  readonly idleTimeout: number;
  readonly requests: number;
}

export class Upstream {
  readonly id: string;
  readonly conf: UpstreamConf;
  /** Replaced when nodes come and go: ask for it anew. */
  balancer!: Balancer;
  /** Milliseconds; `read`, `idle` 0: never. */
  readonly timeouts: {
    readonly connect: number; readonly send: number; readonly read: number; readonly retry: number; readonly idle: number;
  };
  readonly keepalive: KeepalivePool;
  readonly integrity: 'check' | 'strict' | undefined;
  readonly tls: ConnectionOptions | undefined;
  readonly #table: NodeTable;
  readonly #surroundings: Surroundings | undefined;
  readonly #way: string;
  readonly #listeners = new Set<NodeListener>();
  readonly #service: { close(): void } | null;
  #candidates: readonly Candidate[] = [];
  #warnedAt = -Infinity;
  #closed = false;

  constructor(options: UpstreamOptions) {
    const { conf, table, limits } = options;
    this.id = options.id;
    this.conf = conf;
    this.#table = table;
    this.#surroundings = options.surroundings;
    this.#way = wayOf(conf);
    this.timeouts = {
      connect: ms(conf.timeout?.connect) ?? limits.connectTimeout,
      send: ms(conf.timeout?.send) ?? limits.requestTimeout,
      read: ms(conf.timeout?.read) ?? limits.requestTimeout,
      retry: ms(conf.retry_timeout) ?? 0,
      idle: ms(conf.timeout?.idle) ?? limits.clientIdle,
    };
    this.keepalive = {
      size: conf.keepalive_pool?.size ?? 320,
      idleTimeout: ms(conf.keepalive_pool?.idle_timeout) ?? 60_000,
      requests: conf.keepalive_pool?.requests ?? 1000,
    };
    this.integrity = conf.integrity === 'off' ? undefined : conf.integrity;
    this.tls = conf.scheme === 'tls' ? tlsOptions(conf) : undefined;
    const { service_name: name } = conf;
    this.#take(name === undefined ? parseNodes(conf.nodes, { defaultPort: options.defaultPort }) : []);
    this.#surroundings?.live.add(this);
    this.#service = name === undefined ? null : this.#surroundings?.services.watch(
      serviceOf(conf, options.defaultPort), (specs) => this.#take(specs)) ?? null;
  }

  /** Further nodes that may be tried. */
  get retries(): number {
    return this.conf.retries ?? Math.max(0, this.#candidates.length - 1);
  }

  /** Tells about nodes that come and go from now on; the function returned ends that. */
  watchNodes(listener: NodeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Who may be chosen, and who is available now. */
  get choices(): readonly { readonly address: string; readonly available: boolean; readonly weight: number; readonly priority: number }[] {
    return this.#candidates.map(({ node, weight, priority }) => ({ address: node.address, available: node.available, weight, priority }));
  }

  /** Whether another node may be tried after `tried` ones, `elapsed` ms after the first was begun. */
  mayRetry(tried: number, elapsed: number): boolean {
    return tried <= this.retries && (this.timeouts.retry === 0 || elapsed < this.timeouts.retry);
  }

  get candidates(): readonly Candidate[] {
    return this.#candidates;
  }

  get nodes(): readonly Node[] {
    return this.#candidates.map(({ node }) => node);
  }

  /** What of the configuration decides how a connection is made: links are shared among upstreams that agree. */
  get connectionKey(): string {
    const { conf } = this;
    return JSON.stringify([this.timeouts, conf.auth ?? null, conf.scheme === 'tls' ? conf.tls ?? {} : null, this.integrity ?? null]);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#service?.close();
    this.#surroundings?.live.delete(this);
    for (const { node } of this.#candidates) this.#table.release(node);
  }

  /** These are its nodes now. Those that it had keep their links, counts and health. */
  #take(specs: readonly NodeSpec[]): void {
    if (this.#closed) return;
    const { conf } = this;
    const next = candidatesOf(specs, this.#table, this.#way);
    try {
      this.balancer = buildBalancer(conf.type ?? 'roundrobin', next, {
        tryAllWhenDown: (conf.when_all_down ?? (conf.checks === undefined ? 'refuse' : 'try')) === 'try',
        onAllDown: () => this.#warnAllDown(),
      });
    } catch (cause) {
      for (const { node } of next) this.#table.release(node);
      throw cause;
    }
    if (conf.checks !== undefined && this.#surroundings !== undefined) {
      const checks = checkConfOf(conf.checks);
      const by = { tls: this.tls, auth: conf.auth };
      for (const { node } of next) this.#surroundings.checks.start(node, checks, by);
    }
    const before = this.#candidates;
    this.#candidates = next;
    for (const listener of this.#listeners) {
      for (const { node } of next) listener.added(node);
      for (const { node } of before) listener.removed(node);
    }
    for (const { node } of before) this.#table.release(node);
  }

  #warnAllDown(): void {
    const now = performance.now();
    if (now - this.#warnedAt < warnEvery) return;
    this.#warnedAt = now;
    this.#surroundings?.log.warn({ code: 'ALL_NODES_DOWN', route: this.id }, 'all upstream nodes are unhealthy; they are used all the same');
  }
}

/** ms between two warnings of one upstream. */
const warnEvery = 10_000;

/** What an upstream without nodes of its own asks for. */
export function serviceOf(conf: UpstreamConf, defaultPort: number): ServiceOf {
  const { service_name: name = '', discovery_type: type = '', discovery_args: args = {} } = conf;
  return { type, name, args, defaultPort };
}

/** A certificate that one upstream does not trust, or a password that it has wrong, must not take the node from another. */
function wayOf(conf: UpstreamConf): string {
  const login = conf.auth === undefined ? '' : `as ${JSON.stringify(conf.auth)}`;
  const way = conf.scheme === 'tls' ? `tls ${JSON.stringify(conf.tls ?? {})} ${login}` : login;
  if (conf.checks === undefined) return way;
  // What one check finds holds for those that check the same way. A digest: it travels between workers, and has secrets in it.
  return `checked ${createHash('sha256').update(JSON.stringify([way, conf.checks])).digest('base64url')}`;
}

function ms(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

/** A name is asked for and checked; an address can only be checked. */
function nameOptions(name: string): ConnectionOptions {
  if (isIP(name) === 0) return { servername: name };
  return { checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate) };
}

function tlsOptions(conf: UpstreamConf): ConnectionOptions {
  const { tls = {} } = conf;
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: tls.verify ?? true,
    ...(tls.server_name === undefined ? {} : nameOptions(tls.server_name)),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.client_cert === undefined ? {} : { cert: tls.client_cert }),
    ...(tls.client_key === undefined ? {} : { key: tls.client_key }),
  };
}
