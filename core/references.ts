// What the checks of resources ask, answered from the registry and from the configuration as it is.
import type { References } from './config/check.ts';
import type { Value } from './config/resource.ts';
import type { StreamRouteValue } from './config/schemas/stream-route.ts';
import type { Config } from './config/source.ts';
import type { Registry } from './registry.ts';

/** Without `config`, references between resources are not checked. */
export function referencesOf(registry: Registry, config?: () => Config): References {
  return {
    checkPlugin: (name, conf, place) =>
      registry.checkPlugin(name, conf, config === undefined ? [] : othersOf(name, place, config())),
    checkMetadata: (name, conf) => registry.checkMetadata(name, conf),
    checkProtocol: (name, conf) => registry.checkProtocol(name, conf),
    checkExpression: (expression) => registry.checkExpression(expression),
    ...(config === undefined ? {} : {
      resource: (kind, id): Value | undefined => config().resources[kind].get(id)?.value,
    } satisfies Pick<References, 'resource'>),
  };
}

/** The same plugin in other places of the configuration as it is. */
function othersOf(plugin: string, place: string, config: Config): { place: string; conf: unknown }[] {
  const others: { place: string; conf: unknown }[] = [];
  for (const { id, value } of config.resources.stream_routes.values()) {
    const conf = (value as StreamRouteValue).plugins?.[plugin];
    const at = `stream_routes/${id}`;
    if (conf !== undefined && at !== place) others.push({ place: at, conf });
  }
  return others;
}
