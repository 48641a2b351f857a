// Which plugins may run: a list that may stand beside the resources. Without one, all that are loaded may.
import { isDeepStrictEqual } from 'node:util';
import { nest, problem, show, type Problem } from '../problem.ts';
import { effectiveRoute, type Find } from './effective.ts';
import type { Kind, Resource, Value } from './resource.ts';
import type { PluginConfs } from './schemas/plugins.ts';
import type { StreamRouteValue } from './schemas/stream-route.ts';
import type { Config } from './source.ts';

/** Names. Absent: all may run. */
export type PluginList = ReadonlySet<string>;

const mostNames = 1000;
const name = /^[\w.-]{1,128}$/;

/** `[{ name, stream }]` as in the reference, or names alone. With problems the list before stays. */
export function readPluginList(value: unknown): { readonly list: PluginList; readonly problems: readonly Problem[] } {
  if (!Array.isArray(value)) return { list: new Set(), problems: [problem(['plugins'], 'a list of plugins', show(value))] };
  if (value.length > mostNames) {
    return { list: new Set(), problems: [problem(['plugins'], `at most ${mostNames} plugins`, String(value.length))] };
  }
  const problems = value.flatMap((entry: unknown, index) => nest(['plugins', index], wrongEntry(entry)));
  return { list: new Set(value.map(nameOf)), problems };
}

function wrongEntry(entry: unknown): Problem[] {
  if (typeof entry === 'string') return wrongName([], entry);
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return [problem([], 'a name or { name: … }', show(entry))];
  const { name: own, stream, ...others } = entry as Value;
  const [unknown] = Object.keys(others);
  return [
    ...wrongName(['name'], own),
    // It tells the reference which of its two subsystems is meant; here there is one.
    ...(stream === undefined || typeof stream === 'boolean' ? [] : [problem(['stream'], 'boolean', show(stream))]),
    ...(unknown === undefined ? [] : [problem([unknown], 'name or stream', show(unknown), `unknown property ${show(unknown)}`)]),
  ];
}

function wrongName(at: Problem['at'], own: unknown): Problem[] {
  return typeof own === 'string' && name.test(own) ? [] : [problem(at, 'the name of a plugin', show(own))];
}

function nameOf(entry: unknown): string {
  return typeof entry === 'string' ? entry : String((entry as { name?: unknown } | null)?.name);
}

/** What several sources list together: one that has no list leaves it to the others. */
export function joinLists(lists: readonly (PluginList | undefined)[]): PluginList | undefined {
  const given = lists.filter((list) => list !== undefined);
  return given.length === 0 ? undefined : new Set(given.flatMap((list) => [...list]));
}

export function sameList(a: PluginList | undefined, b: PluginList | undefined): boolean {
  return isDeepStrictEqual(a, b);
}

export function unlistedText(plugin: string): string {
  return `unknown plugin [${plugin}]: it is not in the list of plugins`;
}

/** `_meta.disable`: such a place may stand there for later. */
export function isLeftOut({ _meta: meta }: Value): boolean {
  return (meta as { disable?: unknown } | undefined)?.disable === true;
}

/** Kinds whose plugins run; those of services and plugin configs run on the routes that name them. */
const withPlugins = ['stream_routes', 'consumers', 'credentials', 'global_rules'] as const satisfies readonly Kind[];

/** One resource that would run a plugin which is not listed. */
export interface Unlisted {
  readonly kind: Kind;
  readonly id: string;
  readonly code: 'CONFIG_INVALID';
  readonly text: string;
}

export interface Listed {
  readonly config: Config;
  readonly rejections: readonly Unlisted[];
}

/**
 * The configuration without what would run a plugin that is not listed. `before`: what ran until now; an item's version
 * there goes on where that one may.
 */
export function onlyListed(config: Config, list: PluginList | undefined, before: Config | null = null): Listed {
  if (list === undefined) return { config, rejections: [] };
  const find: Find = (kind, id) => config.resources[kind].get(id);
  const rejections: Unlisted[] = [];
  const resources = { ...config.resources };
  for (const kind of withPlugins) {
    const refused = new Map<string, Resource | undefined>();
    for (const { id, value } of resources[kind].values()) {
      const [plugin] = unlistedIn(kind, value, find, list);
      if (plugin === undefined) continue;
      const old = before?.resources[kind].get(id);
      refused.set(id, old !== undefined && unlistedIn(kind, old.value, find, list).length === 0 ? old : undefined);
      rejections.push({ kind, id, code: 'CONFIG_INVALID', text: unlistedText(plugin) });
    }
    if (refused.size === 0) continue;
    resources[kind] = new Map([...resources[kind]].flatMap(([id, resource]) => {
      const next = refused.has(id) ? refused.get(id) : resource;
      return next === undefined ? [] : [[id, next]];
    }));
  }
  return rejections.length === 0 ? { config, rejections } : { config: { ...config, resources }, rejections };
}

function unlistedIn(kind: Kind, value: Value, find: Find, list: PluginList): string[] {
  const route = kind === 'stream_routes' ? value as StreamRouteValue : null;
  const loggers = route?.protocol?.logger?.map((logger) => logger.name) ?? [];
  const places = Object.entries(pluginsOf(value, route, find)).filter(([, conf]) => !isLeftOut(conf));
  return [...places.map(([plugin]) => plugin), ...loggers].filter((plugin) => !list.has(plugin));
}

function pluginsOf(value: Value, route: StreamRouteValue | null, find: Find): PluginConfs {
  const own = (value['plugins'] ?? {}) as PluginConfs;
  if (route === null) return own;
  try {
    return effectiveRoute(route, find).plugins ?? {};
  } catch {
    // What leads nowhere is told by who builds the route.
    return own;
  }
}
