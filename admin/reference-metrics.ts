// Metrics that nobody counts as requests go by: made when somebody asks for the page. Those that dashboards of the reference
// know have its names.
import { hostname } from 'node:os';
import type { Store } from '../core/config/source.ts';
import { labelText, type FamilySnapshot, type Labels, type MetricsSnapshot } from '../core/metrics.ts';
import { version } from '../core/version.ts';
import { checkedUpstreams, type HealthRoutesOptions } from './health-routes.ts';

export interface ReferenceMetricsOptions extends HealthRoutesOptions {
  readonly store: Pick<Store, 'away'>;
}

/** A route of its own may have checks of its own: a page must stay readable. */
const mostNodes = 10_000;

export async function withReferenceMetrics(snapshot: MetricsSnapshot, options: ReferenceMetricsOptions): Promise<MetricsSnapshot> {
  return [
    ...snapshot, connectionsOf(snapshot), await upstreamStatus(options),
    family('millrace_store_up', 'Whether the store of the configuration can be reached: 1 or 0.', [[{}, (options.store.away ?? null) === null ? 1 : 0]]),
    family('millrace_config_revision', 'Revision of the configuration.', [[{}, options.config.config.revision]]),
    family('millrace_info', 'Always 1; what runs stands in the labels.', [[{ hostname: hostname(), version: version() }, 1]]),
  ];
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
  const series = values.map(([labels, value]) => ({ id: labelText(labels), labels, value }));
  return { name, help, type, bounds: [], merge: 'max', series };
}
