// Which resources name which others: asked before one is deleted, and to say which routes a change concerns.
import { kindNames, type Kind, type Value } from './resource.ts';
import type { Config } from './source.ts';

export interface Reference {
  readonly kind: Kind;
  readonly id: string;
  /** A plugin's configuration names it, not the resource itself. */
  readonly byPlugin: boolean;
}

/** What a plugin's configuration names. */
export type Refers = (plugin: string, conf: Value) => readonly { readonly kind: Kind; readonly id: string }[];

export interface User {
  readonly kind: Kind;
  readonly id: string;
  readonly byPlugin: boolean;
}

const fields: Readonly<Record<string, Kind>> = {
  upstream_id: 'upstreams', service_id: 'services', plugin_config_id: 'plugin_configs',
};

export function referencesIn(kind: Kind, id: string, value: Value, refers: Refers): Reference[] {
  const found: Reference[] = [];
  const add = (to: Kind, name: unknown, byPlugin = false): void => {
    if (typeof name === 'string' || typeof name === 'number') found.push({ kind: to, id: String(name), byPlugin });
  };
  for (const [field, to] of Object.entries(fields)) add(to, value[field]);
  if (kind === 'stream_routes') add('stream_routes', below(value, 'protocol', 'superior_id'));
  add('ssls', below(value, 'tls', 'client_cert_id'));
  add('ssls', below(value, 'upstream', 'tls', 'client_cert_id'));
  if (kind === 'credentials') add('consumers', id.split('/')[0]);
  for (const [plugin, conf] of Object.entries(objectOf(value['plugins']))) {
    for (const each of refers(plugin, objectOf(conf))) add(each.kind, each.id, true);
  }
  for (const name of secretsIn(value)) add('secrets', name);
  return found;
}

/** Resources that name this one, in the order of their kinds. */
export function usersOf(config: Config, kind: Kind, id: string, refers: Refers): User[] {
  const users: User[] = [];
  for (const other of kindNames) {
    for (const resource of config.resources[other].values()) {
      const reference = referencesIn(other, resource.id, resource.value, refers)
        .find((each) => each.kind === kind && each.id === id);
      if (reference !== undefined) users.push({ kind: other, id: resource.id, byPlugin: reference.byPlugin });
    }
  }
  return users;
}

/** Ids of the stream routes whose traffic a change of these resources concerns. */
export function routesOf(config: Config, changed: readonly { readonly kind: Kind; readonly id: string }[], refers: Refers): string[] {
  const routes = new Set<string>();
  const seen = new Set<string>();
  const follow = (kind: Kind, id: string): void => {
    if (seen.has(`${kind} ${id}`)) return;
    seen.add(`${kind} ${id}`);
    if (kind === 'stream_routes') routes.add(id);
    if (kind === 'global_rules') for (const route of config.resources.stream_routes.keys()) routes.add(route);
    for (const user of kind === 'plugin_metadata' ? placesOf(config, id) : usersOf(config, kind, id, refers)) follow(user.kind, user.id);
  };
  for (const { kind, id } of changed) follow(kind, id);
  return [...routes].filter((id) => config.resources.stream_routes.has(id));
}

/** Resources that configure a plugin. */
function placesOf(config: Config, plugin: string): { kind: Kind; id: string }[] {
  return kindNames.flatMap((kind) => [...config.resources[kind].values()]
    .filter(({ value }) => Object.hasOwn(objectOf(value['plugins']), plugin)
      || loggersOf(value).some((logger) => logger['name'] === plugin))
    .map(({ id }) => ({ kind, id })));
}

function loggersOf(value: Value): readonly Value[] {
  const list = below(value, 'protocol', 'logger');
  return Array.isArray(list) ? list.map(objectOf) : [];
}

/** `$secret://manager/id/…` anywhere in a value. */
function secretsIn(value: unknown): string[] {
  if (typeof value === 'string') {
    const found = /^\$secret:\/\/([^/]+\/[^/]+)/i.exec(value)?.[1];
    return found === undefined ? [] : [found];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(secretsIn);
}

function below(value: Value, ...names: readonly string[]): unknown {
  let at: unknown = value;
  for (const name of names) at = objectOf(at)[name];
  return at;
}

function objectOf(value: unknown): Value {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Value : {};
}
