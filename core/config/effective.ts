// What a route is once the resources that it names are taken in: its own words first, then those of its plugin config,
// then those of its service. Global rules stand beside it: their plugins run on every route, before its own.
import { ProxyError } from '../errors.ts';
import type { Kind, Resource } from './resource.ts';
import type { GlobalRuleValue } from './schemas/global-rule.ts';
import type { PluginConfigValue } from './schemas/plugin-config.ts';
import type { PluginConfs } from './schemas/plugins.ts';
import type { ServiceValue } from './schemas/service.ts';
import type { StreamRouteValue } from './schemas/stream-route.ts';
import type { UpstreamValue } from './schemas/upstream.ts';
import type { Config } from './source.ts';

/** Another resource of the same configuration. */
export type Find = (kind: Kind, id: string) => Resource | undefined;

export interface EffectiveRoute extends StreamRouteValue {
  /** Inline, or taken from where the route or its service says; absent: there is none. */
  readonly upstream?: UpstreamValue;
}

/** Throws CONFIG_INVALID when it names a resource that does not exist. */
export function effectiveRoute(route: StreamRouteValue, find: Find): EffectiveRoute {
  const service = named<ServiceValue>(find, 'services', 'service_id', route.service_id);
  const shared = named<PluginConfigValue>(find, 'plugin_configs', 'plugin_config_id', route.plugin_config_id);
  const upstream = upstreamOf(route, find) ?? (service === undefined ? undefined : upstreamOf(service, find));
  const { upstream: _own, upstream_id: _id, service_id: _service, plugin_config_id: _shared, ...rest } = route;
  const plugins = { ...service?.plugins, ...shared?.plugins, ...route.plugins };
  return {
    ...rest,
    ...(upstream === undefined ? {} : { upstream }),
    ...(Object.keys(plugins).length === 0 ? {} : { plugins }),
  };
}

/** All plugins of the global rules. */
export function globalPlugins(config: Config): PluginConfs {
  const rules = [...config.resources.global_rules.values()].map(({ value }) => value as unknown as GlobalRuleValue);
  return Object.assign({}, ...rules.map(({ plugins }) => plugins)) as PluginConfs;
}

function upstreamOf({ upstream, upstream_id: id }: StreamRouteValue | ServiceValue, find: Find): UpstreamValue | undefined {
  return upstream ?? named<UpstreamValue>(find, 'upstreams', 'upstream_id', id);
}

function named<T>(find: Find, kind: Kind, field: string, id: string | number | undefined): T | undefined {
  if (id === undefined) return undefined;
  const found = find(kind, String(id));
  if (found !== undefined) return found.value as T;
  throw new ProxyError('CONFIG_INVALID', `${field}: expected one of ${kind}, got "${id}"`);
}
