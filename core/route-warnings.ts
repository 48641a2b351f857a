// Parts of a route that are accepted and do nothing: told when the route is built.
import type { StreamRouteValue } from './config/schemas/stream-route.ts';
import type { UpstreamConf } from './upstream/upstream.ts';

interface Part { readonly id: string; readonly value: StreamRouteValue }

/** Each begins with its place in the configuration. */
export function idleParts(route: Part, upstream: UpstreamConf | null, subordinates: readonly Part[]): string[] {
  const found: string[] = [];
  if (upstream?.proxy_protocol !== undefined && route.value.protocol !== undefined) {
    found.push('upstream.proxy_protocol: with a protocol, clients share connections to nodes: there is no one client to name, and none is named');
  }
  for (const { id, value: { plugins, protocol } } of subordinates) {
    const names = [...Object.keys(plugins ?? {}), ...(protocol?.logger ?? []).map(({ name }) => name)];
    if (names.length > 0) {
      found.push(`stream route ${id}: it is subordinate, and lends its upstream only; commands pass the plugins of ${route.id}: nothing comes of ${names.join(', ')}`);
    }
  }
  return found;
}
