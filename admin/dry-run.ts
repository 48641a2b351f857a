// What a write would do, for those who ask before.
import type { MetricsSnapshot } from '../core/metrics.ts';
import type { Registry } from './registry.ts';
import { show } from './show.ts';
import type { Result } from './writer.ts';

/** Open connections by route. */
export type LiveSessions = () => Promise<ReadonlyMap<string, number>>;

export async function showDryRun(
  { outcomes, routes = [], revision }: Result, { registry, sessions }: { readonly registry: Registry; readonly sessions: LiveSessions },
): Promise<Record<string, unknown>> {
  const live = await sessions();
  return {
    dry_run: true, revision,
    changes: outcomes.map(({ row, id, outcome, resource }) => ({
      kind: row.kind, id, outcome, ...(resource === null ? {} : { value: show(row, resource, registry)['value'] }),
    })),
    affected_routes: routes.map((id) => ({ id, sessions: live.get(id) ?? 0 })),
  };
}

export function sessionsByRoute(snapshot: MetricsSnapshot): ReadonlyMap<string, number> {
  const family = snapshot.find(({ name }) => name === 'millrace_connections_active');
  const found = new Map<string, number>();
  for (const { labels, value } of family?.series ?? []) {
    const route = labels['route'] ?? '';
    found.set(route, (found.get(route) ?? 0) + value);
  }
  return found;
}
