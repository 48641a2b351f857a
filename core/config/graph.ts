// Which resources name which others: asked before one is deleted or changed, and to say which routes a change concerns.
import type { At } from '../problem.ts';
import { parseSecretReference, secretPlaces, valueAt } from '../secret-reference.ts';
import { kindNames, type Kind, type Resource, type Value } from './resource.ts';
import type { Config } from './source.ts';

export interface Reference {
  readonly kind: Kind;
  readonly id: string;
  /** Where it stands in the value. */
  readonly at: At;
  /** The plugin whose configuration names it; null: the resource itself does. */
  readonly plugin: string | null;
}

interface Named { readonly kind: Kind; readonly id: string }

/** What a plugin's configuration names. */
export type Refers = (plugin: string, conf: Value) => readonly { readonly kind: Kind; readonly id: string }[];

export interface User {
  readonly kind: Kind;
  readonly id: string;
  /** A plugin's configuration names it, not the resource itself. */
  readonly byPlugin: boolean;
}

/** One configuration's references, both ways. Made when it is asked first. */
export class ReferenceGraph {
  readonly #config: Config;
  readonly #refers: Refers;
  #users: ReadonlyMap<string, readonly User[]> | undefined;
  #places: ReadonlyMap<string, readonly Resource[]> | undefined;

  constructor(config: Config, refers: Refers) {
    this.#config = config;
    this.#refers = refers;
  }

  /** Resources that name this one, in the order of their kinds. */
  usersOf(kind: Kind, id: string): readonly User[] {
    this.#users ??= this.#everyUser();
    return this.#users.get(`${kind}/${id}`) ?? [];
  }

  /** Ids of the stream routes whose traffic a change of these resources concerns. */
  routesOf(changed: readonly Named[]): string[] {
    const concerned = this.concernedBy(changed);
    return [...this.#config.resources.stream_routes.keys()].filter((id) => concerned.has(`stream_routes/${id}`)).toSorted();
  }

  /** `kind/id` of everything that a change of these resources concerns, they among it. */
  concernedBy(changed: readonly Named[]): ReadonlySet<string> {
    const seen = new Set<string>();
    const open = [...changed];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const { kind, id } = next;
      if (seen.has(`${kind}/${id}`)) continue;
      seen.add(`${kind}/${id}`);
      if (kind === 'global_rules') for (const route of this.#config.resources.stream_routes.keys()) seen.add(`stream_routes/${route}`);
      open.push(...(kind === 'plugin_metadata' ? this.#placesOf(id) : this.usersOf(kind, id)));
    }
    return seen;
  }

  #everyUser(): ReadonlyMap<string, readonly User[]> {
    const users = new Map<string, User[]>();
    for (const { kind, id, value } of everyResource(this.#config)) {
      // What names another one twice is one user of it.
      const named = new Map<string, boolean>();
      for (const to of referencesIn(kind, id, value, this.#refers)) {
        const key = `${to.kind}/${to.id}`;
        named.set(key, (named.get(key) ?? true) && to.plugin !== null);
      }
      for (const [key, byPlugin] of named) {
        const list = users.get(key);
        if (list === undefined) users.set(key, [{ kind, id, byPlugin }]);
        else list.push({ kind, id, byPlugin });
      }
    }
    return users;
  }

  /** Resources that configure a plugin. */
  #placesOf(plugin: string): readonly Resource[] {
    if (this.#places === undefined) {
      const places = new Map<string, Resource[]>();
      for (const resource of everyResource(this.#config)) {
        for (const { name } of pluginsIn(resource.value)) places.set(name, [...places.get(name) ?? [], resource]);
      }
      this.#places = places;
    }
    return this.#places.get(plugin) ?? [];
  }
}

const fields: readonly (readonly [kind: Kind, at: readonly string[]])[] = [
  ['upstreams', ['upstream_id']],
  ['services', ['service_id']],
  ['plugin_configs', ['plugin_config_id']],
  ['stream_routes', ['protocol', 'superior_id']],
  ['ssls', ['tls', 'client_cert_id']],
  ['ssls', ['upstream', 'tls', 'client_cert_id']],
];

/** What one resource names. */
export function referencesIn(kind: Kind, id: string, value: Value, refers: Refers): Reference[] {
  const found = [...ownReferences(value)];
  if (kind === 'credentials') found.push({ kind: 'consumers', id: id.split('/')[0] ?? '', at: ['id'], plugin: null });
  for (const { name, conf, at } of pluginsIn(value)) {
    found.push(...refers(name, conf).map((to) => ({ kind: to.kind, id: String(to.id), at, plugin: name })));
  }
  return found;
}

// A resource's value never changes, and looking through all of them for a write of one is felt.
const known = new WeakMap<Value, readonly Reference[]>();

function ownReferences(value: Value): readonly Reference[] {
  const before = known.get(value);
  if (before !== undefined) return before;
  const found: Reference[] = secretsIn(value);
  for (const [kind, at] of fields) {
    const name = below(value, at);
    if (typeof name === 'string' || typeof name === 'number') found.push({ kind, id: String(name), at, plugin: null });
  }
  // Only what is frozen cannot get others behind our back.
  if (Object.isFrozen(value)) known.set(value, found);
  return found;
}

/** Every plugin's configuration, those of loggers among them. */
function pluginsIn(value: Value): { readonly name: string; readonly conf: Value; readonly at: At }[] {
  const found = Object.entries(objectOf(value['plugins'])).map(([name, conf]) => (
    { name, conf: objectOf(conf), at: ['plugins', name] as At }));
  const loggers = below(value, ['protocol', 'logger']);
  if (!Array.isArray(loggers)) return found;
  return [...found, ...loggers.map((logger, index) => ({
    name: String(objectOf(logger)['name']), conf: objectOf(objectOf(logger)['conf']), at: ['protocol', 'logger', index, 'conf'] as At,
  }))];
}

function secretsIn(value: Value): Reference[] {
  return secretPlaces(value).flatMap((at) => {
    const id = parseSecretReference(valueAt(value, at) as string)?.secret ?? null;
    return id === null ? [] : [{ kind: 'secrets' as const, id, at, plugin: null }];
  });
}

function* everyResource(config: Config): Iterable<Resource> {
  for (const kind of kindNames) yield* config.resources[kind].values();
}

function below(value: Value, names: readonly string[]): unknown {
  let at: unknown = value;
  for (const name of names) at = objectOf(at)[name];
  return at;
}

function objectOf(value: unknown): Value {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Value : {};
}
