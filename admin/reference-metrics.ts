// Metrics that nobody counts as requests go by: made when somebody asks for the page. Those that dashboards of the reference
// know have its names.
import { hostname } from 'node:os';
import type { Config, Store } from '../core/config/source.ts';
import { labelText, type FamilySnapshot, type Labels, type MetricsSnapshot } from '../core/metrics.ts';
import { version } from '../core/version.ts';
import { checkedUpstreams, type HealthRoutesOptions } from './health-routes.ts';

export interface ReferenceMetricsOptions extends HealthRoutesOptions {
  readonly store: Pick<Store, 'away' | 'config'>;
}

/** A route of its own may have checks of its own: a page must stay readable. */
const mostNodes = 10_000;

export async function withReferenceMetrics(snapshot: MetricsSnapshot, options: ReferenceMetricsOptions): Promise<MetricsSnapshot> {
  const up = (options.store.away ?? null) === null ? 1 : 0;
  const node = { hostname: hostname(), version: version() };
  return [
    ...snapshot, connectionsOf(snapshot), await upstreamStatus(options),
    family('millrace_store_up', 'Whether the store of the configuration can be reached: 1 or 0.', [[{}, up]]),
    family('apisix_etcd_reachable', 'Whether the store of the configuration can be reached: 1 or 0.', [[{}, up]]),
    family('millrace_config_revision', 'Revision of the configuration.', [[{}, options.config.config.revision]]),
    family('apisix_etcd_modify_indexes', 'Revisions at which resources were changed last.', revisionsOf(options.store.config)),
    family('millrace_info', 'Always 1; what runs stands in the labels.', [[node, 1]]),
    family('apisix_node_info', 'Always 1; what runs stands in the labels.', [[node, 1]]),
  ];
}

/** Of the store: by kind, the highest of them, and `x_etcd_index`, its own. */
function revisionsOf({ revision, resources }: Config): [Labels, number][] {
  const byKind = Object.entries(resources).map(([kind, all]): [string, number] => {
    let highest = 0;
    for (const { modifiedIndex } of all.values()) if (modifiedIndex > highest) highest = modifiedIndex;
    return [kind, highest];
  });
  const most = Math.max(...byKind.map(([, index]) => index));
  return [...byKind, ['max_modify_index', most] as const, ['x_etcd_index', revision] as const].map(([key, index]) => [{ key }, index]);
}

function connectionsOf(snapshot: MetricsSnapshot): FamilySnapshot {
  const byRoute = new Map<string, number>();
  for (const { labels, value } of snapshot.find(({ name }) => name === 'millrace_connections_total')?.series ?? []) {
    const { route = '' } = labels;
    byRoute.set(route, (byRoute.get(route) ?? 0) + value);
  }
  return family('apisix_stream_connection_total', 'Connections accepted, by route.', [...byRoute].map(([route, value]) => [{ route }, value]), 'counter');
}

async function upstreamStatus(options: HealthRoutesOptions): Promise<FamilySnapshot> {
  const nodes = (await checkedUpstreams(options)).flatMap(({ name, nodes: all }) => all.map((node) => ({ name, ...node })));
  return family('apisix_upstream_status', 'Whether a node with checks is healthy: 1 or 0.', nodes.slice(0, mostNodes).map(({ name, ip, port, status }) => (
    [{ name, ip, port: String(port) }, status === 'healthy' || status === 'mostly_healthy' ? 1 : 0])));
}

function family(name: string, help: string, values: readonly (readonly [Labels, number])[], type: 'gauge' | 'counter' = 'gauge'): FamilySnapshot {
  // A node may stand twice in an upstream: a series stands once on the page, or the whole of it is refused.
  const series = new Map(values.map(([labels, value]) => [labelText(labels), { labels, value }]));
  return { name, help, type, bounds: [], merge: 'max', series: [...series].map(([id, each]) => ({ id, ...each })) };
}
