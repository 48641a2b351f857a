// What the checks of resources ask, answered from the registry and from the configuration as it is.
import type { References } from './config/check.ts';
import { kindNames, type Value } from './config/resource.ts';
import type { PluginConfs } from './config/schemas/plugins.ts';
import type { Config } from './config/source.ts';
import type { Registry } from './registry.ts';

/** Without `config`, references between resources are not checked. */
export function referencesOf(registry: Registry, config?: () => Config): References {
  return {
    checkPlugin: (name, conf, place) =>
      registry.checkPlugin(name, conf, config === undefined ? [] : othersOf(name, place, config())),
    checkMetadata: (name, conf) => registry.checkMetadata(name, conf),
    checkProtocol: (name, conf) => registry.checkProtocol(name, conf),
    upstreamNames: () => ({ checks: registry.checkTypes, discoveries: registry.discoveryTypes }),
    checkExpression: (expression) => registry.checkExpression(expression),
    names: (what) => [...(what === 'plugin' ? registry.plugins : registry.protocols).keys()],
    refers: (plugin, conf) => refers(registry, plugin, conf),
    ...(config === undefined ? {} : {
      resource: (kind, id): Value | undefined => config().resources[kind].get(id)?.value,
      globalRuleOf: (plugin, except): string | undefined => [...config().resources.global_rules.values()].find(
        ({ id, value }) => id !== except && Object.hasOwn(value['plugins'] as object, plugin))?.id,
    } satisfies Pick<References, 'resource' | 'globalRuleOf'>),
  };
}

// Code of others, on configurations that were not checked: one that throws names nothing.
function refers(registry: Registry, name: string, conf: Value): ReturnType<NonNullable<References['refers']>> {
  try {
    return registry.plugins.get(name)?.value.refers?.(conf) ?? [];
  } catch {
    return [];
  }
}

/** The same plugin in other places of the configuration as it is. */
function othersOf(plugin: string, place: string, config: Config): { place: string; conf: unknown }[] {
  const others: { place: string; conf: unknown }[] = [];
  for (const kind of kindNames) {
    for (const { id, value } of config.resources[kind].values()) {
      const conf = (value as { plugins?: PluginConfs }).plugins?.[plugin];
      const at = `${kind}/${id}`;
      if (conf !== undefined && at !== place) others.push({ place: at, conf });
    }
  }
  return others;
}
