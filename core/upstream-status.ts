// How the nodes of all upstreams in use are, for who asks. Plain data: it travels between threads.
import { isIP } from 'node:net';
import type { ServiceStatus } from './discovery/services.ts';
import type { CheckCounter, CheckStatus } from './upstream/check-state.ts';
import type { Node } from './upstream/node.ts';
import type { Upstream } from './upstream/upstream.ts';
import type { UpstreamSurroundings } from './upstream-surroundings.ts';

export interface NodeStatus {
  /** The address that is used now; of a Unix socket its name. */
  readonly ip: string;
  readonly port: number;
  readonly hostname: string;
  readonly status: CheckStatus;
  readonly counter: CheckCounter;
  /** Whether clients are sent there. */
  readonly available: boolean;
  readonly weight: number;
  readonly priority: number;
  /** Requests under way; of a route without protocol, connections. */
  readonly in_flight: number;
  readonly last_error: string | null;
  /** Unix seconds; null: not checked yet, or without `checks`. */
  readonly checked_at: number | null;
  readonly next_check_at: number | null;
}

export interface UpstreamStatus {
  /** Of the route whose upstream it is; a plugin's own have more words behind it. */
  readonly id: string;
  /** `checks.active.type`; null: without `checks`. */
  readonly type: string | null;
  /** `discovery_type/service_name`. */
  readonly service: string | null;
  readonly nodes: readonly NodeStatus[];
}

export interface UpstreamsAnswer {
  readonly worker: number;
  readonly upstreams: readonly UpstreamStatus[];
  readonly services: readonly ServiceStatus[];
  /** By discovery type. */
  readonly dumps: Readonly<Record<string, unknown>>;
}

export function upstreamsNow(surroundings: UpstreamSurroundings, worker: number): UpstreamsAnswer {
  const { live, services } = surroundings;
  // Of a route that is being replaced both may live for a moment: the later one counts.
  const byId = new Map([...live].map((upstream) => [upstream.id, upstream]));
  return {
    worker,
    upstreams: [...byId.values()].map((upstream) => statusOf(upstream, surroundings)),
    services: services.status,
    dumps: services.dumps,
  };
}

function statusOf(upstream: Upstream, surroundings: UpstreamSurroundings): UpstreamStatus {
  const { checks, service_name: name, discovery_type: type } = upstream.conf;
  const active = (checks?.['active'] ?? {}) as { readonly type?: string };
  return {
    id: upstream.id,
    type: checks === undefined ? null : active.type ?? 'http',
    service: name === undefined ? null : `${type}/${name}`,
    nodes: upstream.candidates.map(({ node, weight, priority }) => ({ ...nodeNow(node, surroundings), weight, priority })),
  };
}

const nothing: CheckCounter = { success: 0, http_failure: 0, tcp_failure: 0, timeout_failure: 0, protocol_failure: 0 };

function nodeNow(node: Node, { checks, resolver }: UpstreamSurroundings): Omit<NodeStatus, 'weight' | 'priority'> {
  const check = checks.of(node)?.status;
  return {
    ip: isIP(node.host) === 0 ? resolver.addresses(node.host)[0]?.address ?? node.host : node.host,
    port: node.port,
    hostname: node.host,
    status: check?.status ?? (node.available ? 'healthy' : 'unhealthy'),
    counter: check?.counter ?? nothing,
    available: node.available,
    in_flight: node.inflight,
    last_error: check === undefined ? node.health.reason : check.lastError,
    checked_at: unixSeconds(check?.checkedAt),
    next_check_at: unixSeconds(check?.nextAt),
  };
}

function unixSeconds(ms: number | null | undefined): number | null {
  return ms === null || ms === undefined ? null : Math.round(ms) / 1000;
}
