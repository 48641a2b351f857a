// Everything that can be wrong with one resource, found before it is written or used: shape, meaning,
// references.
import { isAbsolute } from 'node:path';
import {
  compileSchema, forbiddenNames, isAddressOrCidr, isForbiddenName, nest, problem, type At, type Problem, type Validator,
} from '../schema.ts';
import { cut, nearest, show } from '../problem.ts';
import { parseSecretReference, secretPlaces, valueAt } from '../secret-reference.ts';
import { wrongSsl } from './check-ssl.ts';
import { isSocketAddress, wrongUpstream, type UpstreamNames } from './check-upstream.ts';
import { referencesIn, type User } from './graph.ts';
import { kindNames, kinds, type Kind, type Value } from './resource.ts';
import type { Config } from './source.ts';

/** What the checks must know of plugins, protocols and other resources; the composition root fills it in. */
export interface References {
  /**
   * Undefined: no plugin of this name. Gets the whole configuration, `_meta` included. `place` is where it stands,
   * e.g. `stream_routes/1`.
   */
  checkPlugin(name: string, conf: Value, place: string): readonly Problem[] | undefined;
  /** Undefined: no plugin of this name. */
  checkMetadata(name: string, conf: Value): readonly Problem[] | undefined;
  /** Undefined: no protocol of this name. */
  checkProtocol(name: string, conf: Value): readonly Problem[] | undefined;
  checkExpression(expression: unknown): readonly Problem[];
  /** Settings of a secret manager that is not built in. Undefined: there is none of this name. */
  checkSecret?(manager: string, conf: Value): readonly Problem[] | undefined;
  /** All that could have been meant. */
  names?(what: Named): readonly string[];
  /** Another resource as it will be after the write. Absent: references to resources are not checked. */
  resource?(kind: Kind, id: string): Value | undefined;
  /** Resources that a plugin's configuration names. */
  refers?(plugin: string, conf: Value): readonly { readonly kind: Kind; readonly id: string }[];
  /** Which global rule, other than this one, has the plugin. Absent: not checked. */
  globalRuleOf?(plugin: string, except: string): string | undefined;
  /** The same in another configuration. Absent: only what it can do without one. */
  within?(config: Config): References;
  /** Check and discovery types that there are. Absent: any is taken. */
  upstreamNames?(): UpstreamNames;
}

/** What the checks ask of other resources. */
export function resourcesIn(config: () => Config): Required<Pick<References, 'resource' | 'globalRuleOf'>> {
  return {
    resource: (kind, id) => config().resources[kind].get(id)?.value,
    globalRuleOf: (plugin, except) => [...config().resources.global_rules.values()]
      .find(({ id, value }) => id !== except && Object.hasOwn(objectOf(value['plugins']), plugin))?.id,
  };
}

/** Whether another resource exists is not asked. */
export function withoutResources(references: References): References {
  return {
    checkPlugin: (name, conf, place) => references.checkPlugin(name, conf, place),
    checkMetadata: (name, conf) => references.checkMetadata(name, conf),
    checkProtocol: (name, conf) => references.checkProtocol(name, conf),
    checkExpression: (expression) => references.checkExpression(expression),
    names: (what) => references.names?.(what) ?? [],
    checkSecret: (manager, conf) => references.checkSecret?.(manager, conf),
    ...(references.upstreamNames === undefined ? {} : { upstreamNames: () => references.upstreamNames!() }),
  };
}

export type Named = 'plugin' | 'protocol' | 'secret manager';

/** All mistakes at once: what has the right shape is judged although something else has not. */
export function checkResource(kind: Kind, id: string, value: unknown, references: References): Problem[] {
  const wrongId = checkId(kind, id);
  if (wrongId.length > 0) return wrongId;
  const shape = validators[kind](value);
  if (typeof value !== 'object' || value === null || Array.isArray(value) || forbiddenNames(value).length > 0) return shape;
  const known = value as Value;
  if (shape.length === 0 && known['id'] !== undefined && idText(known['id']) !== id) {
    return [problem(['id'], `"${id}"`, show(known['id']), `wrong ${kinds[kind].singular} id`)];
  }
  const meaning = rules[kind](id, known, references);
  const all = [...shape, ...meaning.filter(({ at }) => !shape.some((wrong) => touches(wrong.at, at)))];
  const elsewhere = secretPlaces(known);
  if (elsewhere.length === 0) return all;
  // What stands elsewhere is judged when it is looked up.
  const here = all.filter(({ at, text }) => text.startsWith('failed to fetch ') || !elsewhere.some((place) => place.every((name, depth) => name === at[depth])));
  return [...here, ...elsewhere.flatMap((at) => wrongReference(at, idText(valueAt(known, at))))];
}

function wrongReference(at: At, text: string): Problem[] {
  return parseSecretReference(text) === null ? [problem(at, '$env://NAME or $secret://manager/id/name', show(text))] : [];
}

/** One of the places lies in the other. */
function touches(a: At, b: At): boolean {
  return a.slice(0, b.length).every((name, depth) => name === b[depth]);
}

export function checkId(kind: Kind, id: unknown): Problem[] {
  const { singular } = kinds[kind];
  if (id === undefined || id === '') return [problem(['id'], 'an id', 'nothing', `missing ${singular} id`)];
  // `.` and `..` would vanish from a URL before anybody sees them.
  if (typeof id === 'string' && (isForbiddenName(id) || id === '.' || id === '..')) {
    return [problem(['id'], 'another id', show(id))];
  }
  return nest(['id'], idShapes[kind](id));
}

/** Why a resource may not be deleted: who still names it. Texts of the reference, where it has them. */
export function checkUnused(kind: Kind, id: string, users: readonly User[]): Problem[] {
  const [user] = users.filter((each) => !(kind === 'consumers' && each.kind === 'credentials'));
  if (user === undefined) return [];
  const name = kinds[kind].singular;
  const place = `${kinds[user.kind].schemaName} [${user.id}]`;
  const text = kind === 'stream_routes'
    ? `can not delete this stream route directly, stream route [${user.id}] is still using it as superior_id`
    : `can not delete this ${name}${kind === 'services' ? ' directly' : ''}, `
      + `${user.byPlugin ? 'plugin in ' : ''}${place} is still using it now`;
  return [problem([], `an unused ${name}`, 'a used one', text)];
}

/** References to other resources only: what a file reports as a warning, because the other may come later. */
export function checkReferences(kind: Kind, id: string, value: Value, references: References): Problem[] {
  if (references.resource === undefined) return [];
  return [
    ...missing(value, 'service_id', 'services', 'service info by service id', references),
    ...missing(value, 'plugin_config_id', 'plugin_configs', 'plugin config info by plugin config id', references),
    ...missing(value, 'upstream_id', 'upstreams', 'upstream info by upstream id', references),
    ...missingCertificate([], value, references),
    ...missingCertificate(['upstream'], objectOf(value['upstream']), references),
    ...missingByPlugin(kind, id, value, references),
    ...(kind === 'stream_routes' ? wrongSuperior(id, value, references) : []),
    ...(kind === 'credentials' ? missingConsumer(id, references) : []),
    ...(kind === 'global_rules' ? inOtherRules(id, value, references) : []),
  ];
}

/** What is wrong with an upstream that stands in a plugin's configuration. */
export function checkUpstream(value: unknown, names?: UpstreamNames): Problem[] {
  const shape = validators.upstreams(value);
  return shape.length > 0 ? shape : wrongUpstream([], objectOf(value), names);
}

const validators = Object.fromEntries(
  kindNames.map((kind) => [kind, compileSchema(kinds[kind].schema)]),
) as Record<Kind, Validator>;
const idShapes = Object.fromEntries(
  kindNames.map((kind) => [kind, compileSchema(kinds[kind].id)]),
) as Record<Kind, Validator>;

const rules: Record<Kind, (id: string, value: Value, references: References) => Problem[]> = {
  stream_routes: (id, route, references) => [
    ...['remote_addr', 'server_addr'].flatMap((name) => wrongAddress(name, route[name])), ...wrongSocketPort(route),
    ...sourceOfNodes(route, references),
    ...wrongPlugins('stream_routes', id, route, references),
    ...wrongProtocol(id, route, references),
    ...checkReferences('stream_routes', id, route, references),
  ],
  upstreams: (id, upstream, references) => [
    ...wrongUpstream([], upstream, references.upstreamNames?.()), ...checkReferences('upstreams', id, upstream, references),
  ],
  services: (id, service, references) => [
    ...(service['upstream'] === undefined ? [] : wrongUpstream(['upstream'], objectOf(service['upstream']), references.upstreamNames?.())),
    ...wrongPlugins('services', id, service, references),
    ...checkReferences('services', id, service, references),
  ],
  consumers: (id, consumer, references) => [
    ...(consumer['username'] === id ? [] : [problem(['username'], `"${id}"`, show(consumer['username']), 'wrong username')]),
    ...wrongPlugins('consumers', id, consumer, references),
    ...checkReferences('consumers', id, consumer, references),
  ],
  credentials: (id, credential, references) => [
    ...wrongPlugins('credentials', id, credential, references),
    ...checkReferences('credentials', id, credential, references),
  ],
  ssls: (_id, ssl) => wrongSsl(ssl),
  global_rules: (id, rule, references) => [
    ...wrongPlugins('global_rules', id, rule, references),
    ...checkReferences('global_rules', id, rule, references),
  ],
  plugin_configs: (id, shared, references) => [
    ...wrongPlugins('plugin_configs', id, shared, references), ...checkReferences('plugin_configs', id, shared, references),
  ],
  secrets: (id, secret, references) => wrongSecret(id, secret, references),
  plugin_metadata: (id, conf, references) => {
    const { id: _same, ...rest } = conf;
    return [...(references.checkMetadata(id, rest) ?? [unknownName([], 'plugin', id, references)])];
  },
};

function wrongAddress(name: string, value: unknown): Problem[] {
  if (value === undefined || isAddressOrCidr(idText(value)) || (name === 'server_addr' && isSocketAddress(idText(value)))) return [];
  const expected = 'IPv4 or IPv6 address or CIDR';
  const text = `invalid ${name}: ${show(value).slice(1, -1)}, expected ${expected}`;
  return [problem([name], expected, show(value), text)];
}

/** Neither has whoever comes by a Unix socket. */
function wrongSocketPort(route: Value): Problem[] {
  const { server_addr: address, server_port: port } = route;
  if (typeof port !== 'number' || typeof address !== 'string' || !isSocketAddress(address)) return [];
  return [problem(['server_port'], 'none beside a server_addr that is a Unix socket', String(port))];
}

function sourceOfNodes(route: Value, references: References): Problem[] {
  if (route['upstream'] !== undefined) return wrongUpstream(['upstream'], objectOf(route['upstream']), references.upstreamNames?.());
  if (route['upstream_id'] !== undefined || route['service_id'] !== undefined) return [];
  return [problem(['upstream'], 'upstream, upstream_id or service_id', 'none of them')];
}

function wrongProtocol(id: string, route: Value, references: References): Problem[] {
  const protocol = protocolOf(route);
  if (protocol === undefined) return [];
  const name = idText(protocol['name']);
  const found = references.checkProtocol(name, objectOf(protocol['conf']));
  const problems = found === undefined
    ? [unknownName(['protocol', 'name'], 'protocol', name, references)] : nest(['protocol', 'conf'], found);
  const wrongLoggers = listOf(protocol['logger']).flatMap(
    (logger, index) => wrongLogger(['protocol', 'logger', index], objectOf(logger), `stream_routes/${id}`, references));
  return [...problems, ...wrongLoggers];
}

function wrongLogger(at: At, logger: Value, place: string, references: References): Problem[] {
  const filter = logger['filter'];
  const conf = logger['conf'] ?? {};
  const name = idText(logger['name']);
  const found = references.checkPlugin(name, objectOf(conf), place);
  const filtered = Array.isArray(filter) && filter.length > 0 ? references.checkExpression(filter) : [];
  return [
    ...(found === undefined ? [unknownName([...at, 'name'], 'plugin', name, references)] : nest([...at, 'conf'], found)),
    ...nest([...at, 'filter'], filtered),
  ];
}

function wrongPlugin(
  at: At, name: string, conf: unknown, place: string, references: References,
): Problem[] {
  const found = references.checkPlugin(name, objectOf(conf), place);
  return found === undefined ? [unknownName(at, 'plugin', name, references)] : nest(at, found);
}

function unknownName(at: At, what: Named, name: string, references: References): Problem {
  const meant = nearest(name.slice(0, 128), references.names?.(what) ?? []);
  const hint = meant === undefined ? '' : `, did you mean "${meant}"?`;
  return problem(at, `a known ${what}`, show(name), `unknown ${what} [${name.slice(0, 128)}]${hint}`);
}

function wrongPlugins(kind: Kind, id: string, value: Value, references: References): Problem[] {
  return Object.entries(objectOf(value['plugins'])).flatMap(
    ([name, conf]) => wrongPlugin(['plugins', name], name, conf, `${kind}/${id}`, references));
}

function missing(value: Value, field: string, kind: Kind, what: string, references: References): Problem[] {
  const id = value[field];
  if (id === undefined || references.resource?.(kind, idText(id)) !== undefined) return [];
  return [problem([field], `the id of one of ${kind}`, show(id),
    `failed to fetch ${what} [${idText(id)}], response code: 404`)];
}

function missingCertificate(at: At, upstream: Value, references: References): Problem[] {
  const id = objectOf(upstream['tls'])['client_cert_id'];
  if (id === undefined) return [];
  const found = references.resource?.('ssls', idText(id));
  if (found?.['type'] === 'client') return [];
  const why = found === undefined ? 'response code: 404' : 'wrong ssl type';
  return [problem([...at, 'tls', 'client_cert_id'], 'the id of one of ssls whose type is client', show(id),
    `failed to fetch ssl info by ssl id [${idText(id)}], ${why}`)];
}

// Also secrets that are named in values.
function missingByPlugin(kind: Kind, id: string, value: Value, references: References): Problem[] {
  const refers = references.refers?.bind(references) ?? ((): [] => []);
  return referencesIn(kind, id, value, refers).filter(({ kind: to, id: name, plugin }) =>
    (plugin !== null || to === 'secrets') && references.resource?.(to, name) === undefined,
  ).map(({ kind: to, id: name, at }) => problem(at, `the id of one of ${to}`, show(name),
    `failed to fetch ${kinds[to].singular} info by ${kinds[to].singular} id [${cut(name)}], response code: 404`));
}

function inOtherRules(id: string, rule: Value, references: References): Problem[] {
  return Object.keys(objectOf(rule['plugins'])).flatMap((name) => {
    const other = references.globalRuleOf?.(name, id);
    return other === undefined ? [] : [problem(['plugins', name], 'a plugin of one global rule', show(name),
      `plugin '${name}' already exists in global rule with id '${other}'`)];
  });
}

function missingConsumer(id: string, references: References): Problem[] {
  const [name = ''] = id.split('/');
  if (references.resource?.('consumers', name) !== undefined) return [];
  return [problem(['id'], 'an existing consumer before the slash', show(name), `consumer ${name} not found`)];
}

function wrongSuperior(id: string, route: Value, references: References): Problem[] {
  const protocol = protocolOf(route);
  const superiorId = protocol?.['superior_id'];
  if (protocol === undefined || superiorId === undefined) return [];
  const at: At = ['protocol', 'superior_id'];
  const expected = 'another route of the same protocol';
  const wrong = (text: string): Problem[] => [problem(at, expected, show(superiorId), text)];
  if (idText(superiorId) === id) return wrong('stream route can not set itself as superior_id');
  const superior = references.resource?.('stream_routes', idText(superiorId));
  if (superior === undefined) {
    return wrong(`failed to fetch stream routes[${idText(superiorId)}], response code: 404`);
  }
  const theirs = protocolOf(superior)?.['name'];
  if (theirs === protocol['name']) return subordinateOf(id, superior, references) ? wrong(
    'stream route can not set itself as superior_id: the superior is a subordinate of it') : [];
  return wrong(`protocol mismatch: subordinate protocol [${idText(protocol['name'])}] does not match `
    + `superior protocol [${theirs === undefined ? 'none' : idText(theirs)}]`);
}

/** Whether a route leads to `id` by its superiors. */
function subordinateOf(id: string, route: Value, references: References): boolean {
  const seen = new Set<string>();
  for (let at: Value | undefined = route; at !== undefined;) {
    const next: string = idText(protocolOf(at)?.['superior_id']);
    if (next === id) return true;
    if (next === '' || seen.has(next)) return false;
    seen.add(next);
    at = references.resource?.('stream_routes', next);
  }
  return false;
}

const secretFields: Readonly<Record<string, readonly string[]>> = { env: ['prefix'], file: ['path'] };

function wrongSecret(id: string, secret: Value, references: References): Problem[] {
  const [manager = ''] = id.split('/');
  const { id: _id, ...settings } = secret;
  const builtIn = secretFields[manager];
  if (builtIn !== undefined) return wrongSettings(manager, builtIn, settings);
  const found = references.checkSecret?.(manager, settings);
  if (found !== undefined) return [...found];
  const names = [...new Set([...Object.keys(secretFields), ...references.names?.('secret manager') ?? []])];
  const meant = nearest(manager, names);
  return [problem(['id'], `one of ${names.join(', ')} before the slash`, show(manager),
    `unknown secret manager [${cut(manager)}]${meant === undefined ? '' : `, did you mean "${meant}"?`}`)];
}

function wrongSettings(manager: string, fields: readonly string[], settings: Value): Problem[] {
  const wrong = Object.keys(settings).filter((field) => !fields.includes(field)).map((field) => {
    if (Object.values(secretFields).flat().includes(field)) return problem([field], `nothing with ${manager}`, show(settings[field]));
    const meant = nearest(field, fields);
    return problem([field], 'known property', show(field), `unknown property ${show(field)}${meant === undefined ? '' : `, did you mean ${show(meant)}?`}`);
  });
  if (manager !== 'file') return wrong;
  const path = settings['path'];
  if (path === undefined) return [...wrong, problem(['path'], 'the folder that the files lie in', 'nothing')];
  // Where Millrace is started says nothing about where secrets are.
  return isAbsolute(idText(path)) ? wrong : [...wrong, problem(['path'], 'an absolute path', show(path))];
}

/** An id or name as text; empty for what can be neither. */
export function idText(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function protocolOf(route: Value): Value | undefined {
  return route['protocol'] === undefined ? undefined : objectOf(route['protocol']);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

// What is no object here was refused by the schema.
function objectOf(value: unknown): Value {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Value : {};
}
