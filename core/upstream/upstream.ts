// A configured upstream: nodes with a balancer, timeouts and how its connections are made. What has happened to a
// node is the Node's and outlives this.
import { isIP } from 'node:net';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';
import type { Limits } from '../limits.ts';
import { buildBalancer, type Balancer, type Candidate } from './balancer.ts';
import { candidatesOf, parseNodes } from './nodes.ts';
import type { Node, NodeTable } from './node.ts';

/** `upstream` of a route as the schema lets it through; times in seconds. */
export interface UpstreamConf {
  readonly type?: string;
  readonly nodes?: unknown;
  readonly hash_on?: 'vars' | 'vars_combinations';
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

export interface UpstreamOptions {
  readonly conf: UpstreamConf;
  readonly table: NodeTable;
  readonly limits: Limits;
  readonly defaultPort: number;
  /** Says what the hash key of chash is for a connection; see `key` and `hash_on`. */
  readonly id: string;
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
  readonly balancer: Balancer;
  readonly retries: number;
  /** Milliseconds; `read`, `idle` 0: never. */
  readonly timeouts: {
    readonly connect: number; readonly send: number; readonly read: number; readonly retry: number; readonly idle: number;
  };
  readonly keepalive: KeepalivePool;
  readonly integrity: 'check' | 'strict' | undefined;
  readonly tls: ConnectionOptions | undefined;
  readonly #table: NodeTable;
  readonly #candidates: readonly Candidate[];

  constructor(options: UpstreamOptions) {
    const { conf, table, limits } = options;
    this.id = options.id;
    this.conf = conf;
    this.#table = table;
    this.#candidates = candidatesOf(parseNodes(conf.nodes, { defaultPort: options.defaultPort }), table, wayOf(conf));
    this.balancer = buildBalancer(conf.type ?? 'roundrobin', this.#candidates);
    this.retries = conf.retries ?? Math.max(0, this.#candidates.length - 1);
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
  }

  /** Who may be chosen, and who is available now. */
  get choices(): readonly { readonly address: string; readonly available: boolean; readonly weight: number; readonly priority: number }[] {
    return this.#candidates.map(({ node, weight, priority }) => ({ address: node.address, available: node.available, weight, priority }));
  }

  /** Whether another node may be tried after `tried` ones, `elapsed` ms after the first was begun. */
  mayRetry(tried: number, elapsed: number): boolean {
    return tried <= this.retries && (this.timeouts.retry === 0 || elapsed < this.timeouts.retry);
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
    for (const { node } of this.#candidates) this.#table.release(node);
  }
}

/** A certificate that one upstream does not trust, or a password that it has wrong, must not take the node from another. */
function wayOf(conf: UpstreamConf): string {
  const login = conf.auth === undefined ? '' : `as ${JSON.stringify(conf.auth)}`;
  return conf.scheme === 'tls' ? `tls ${JSON.stringify(conf.tls ?? {})} ${login}` : login;
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
