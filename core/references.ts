// What the checks of resources ask, answered from the registry and from the configuration as it is.
import { resourcesIn, type References } from './config/check.ts';
import { kindNames, type Kind, type Value } from './config/resource.ts';
import { isLeftOut, unlistedText } from './config/plugin-list.ts';
import type { PluginConfs } from './config/schemas/plugins.ts';
import type { Config } from './config/source.ts';
import { problem } from './problem.ts';
import type { Targets } from './plugin.ts';
import type { Registry } from './registry.ts';
import { anywhere } from './targets.ts';

export interface ReferencesOptions {
  /** Absent: references between resources are not checked. */
  readonly config?: () => Config;
  /** Whether a plugin that is loaded may run. */
  readonly listed?: (name: string) => boolean;
  /** Absent: anywhere. Without settings nobody knows what they allow. */
  readonly targets?: Targets;
}

export function referencesOf(registry: Registry, options: ReferencesOptions = {}): References {
  const { config, listed = () => true, targets = anywhere } = options;
  return {
    checkPlugin: (name, conf, place) => {
      const problems = registry.checkPlugin(name, conf, () => (config === undefined ? [] : othersOf(name, place, config())), targets);
      if (problems === undefined || listed(name) || isLeftOut(conf)) return problems;
      return [problem([], 'a plugin of the list', name, unlistedText(name)), ...problems];
    },
    checkMetadata: (name, conf) => registry.checkMetadata(name, conf),
    checkProtocol: (name, conf) => registry.checkProtocol(name, conf),
    checkSecret: (manager, conf) => registry.checkSecret(manager, conf),
    upstreamNames: () => ({ checks: registry.checkTypes, discoveries: registry.discoveryTypes, refusal: (host, port) => targets.refusal(host, port) }),
    checkExpression: (expression) => registry.checkExpression(expression),
    names: (what) => [...registry.named(what).keys()],
    refers: (plugin, conf) => refers(registry, plugin, conf),
    within: (other) => referencesOf(registry, { ...options, config: () => other }),
    ...(config === undefined ? {} : resourcesIn(config)),
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

interface Place { readonly place: string; readonly conf: unknown }
type ById = Config['resources'][Kind];

/** The same plugin in other places of the configuration as it is. */
function othersOf(plugin: string, place: string, config: Config): Place[] {
  return kindNames.flatMap((kind) => placesOf(kind, config.resources[kind], plugin)).filter((each) => each.place !== place);
}

// By plugin, for each map of resources: a change of a thousand asks a thousand times.
const placesBefore = new WeakMap<ById, Map<string, readonly Place[]>>();

function placesOf(kind: Kind, resources: ById, plugin: string): readonly Place[] {
  const known = placesBefore.get(resources) ?? new Map<string, readonly Place[]>();
  placesBefore.set(resources, known);
  const before = known.get(plugin);
  if (before !== undefined) return before;
  const places = [...resources.values()].flatMap(({ id, value }) => {
    const conf = (value as { plugins?: PluginConfs }).plugins?.[plugin];
    return conf === undefined ? [] : [{ place: `${kind}/${id}`, conf }];
  });
  known.set(plugin, places);
  return places;
}
