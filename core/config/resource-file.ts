// From the text of a resources file to resources. Pure: the last good ones go in, the next good ones come
// out. An item that is wrong keeps its last good version; a text that is wrong as a whole changes nothing.
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { cut, nearest, nest, problem, show, type At, type Problem } from '../problem.ts';
import { checkId, checkReferences, checkResource, idText, resourcesIn, withoutResources, type References } from './check.ts';
import { readDocument, Unreadable, type ParsedDocument, type Position } from './document.ts';
import type { Environment } from './environment.ts';
import { readPluginList, sameList, type PluginList } from './plugin-list.ts';
import { isKind, kindNames, kinds, type Kind, type Resource, type Value } from './resource.ts';
import { frozenResource, type Config } from './source.ts';

export interface FileProblem extends Problem, Position {
  /** `resources.yaml:12:5: stream_routes[0].server_port: expected 1..65535, got 0` */
  readonly located: string;
}

export interface FileReading {
  /** The next configuration; the one that went in, itself, when nothing changed. */
  readonly config: Config;
  /** What was refused. */
  readonly problems: readonly FileProblem[];
  /** What was accepted, but has no effect or not yet. */
  readonly warnings: readonly FileProblem[];
  /** False: the text as a whole was refused, the configuration is the one that went in. */
  readonly readable: boolean;
  /** `modifiedIndex` of items that say one, by `kind/id`: who sends wholes may count by it. */
  readonly indexes: ReadonlyMap<string, unknown>;
  /** As parsed, variables replaced; undefined: it could not be. */
  readonly value: unknown;
}

export interface ReadingOptions {
  /** How the file is called in texts. */
  readonly name: string;
  readonly format: 'yaml' | 'json';
  readonly environment: Environment;
  readonly references: References;
  /** The text before ended with `#END`: a text without it is half of one. */
  readonly needsEnd?: boolean;
  /** Whether texts may point at other lines; a request body's sender has none to look at. */
  readonly lines?: boolean;
}

// Kinds of the reference that Millrace does not have (yet): their presence is no mistake of the user.
export const foreignKinds: readonly string[] = [
  'routes', 'consumer_groups', 'protos',
];

/** Whether the text says of itself that it is whole. */
export function endsWithMark(text: string): boolean {
  return /(^|\n)#END\s*$/.test(text.slice(-64));
}

/** Why the text is not whole, if it says so of itself or the one before it did. */
function brokenMark(text: string, needsEnd: boolean): Problem | null {
  if (endsWithMark(text)) return null;
  const asked = 'the end mark #END as the last line';
  if (/^#END\s*$/m.test(text)) return problem([], asked, 'more behind it', 'more stands behind the end mark #END: taken as half written');
  return needsEnd ? problem([], asked, 'none', 'the end mark #END is missing, which the file had before: taken as half written') : null;
}

/** What is told of one text; more would cost whoever looks for places, and tell nobody more. */
const mostTold = 1000;

export function readResources(text: string, last: Config, options: ReadingOptions): FileReading {
  const refuse = (why: Problem, place: Position, value?: unknown): FileReading => ({
    config: last, readable: false, warnings: [], problems: [located(options.name, place, why)], indexes: new Map(), value,
  });
  const half = options.format === 'yaml' ? brokenMark(text, options.needsEnd === true) : null;
  if (half !== null) return refuse(half, lastLine(text));
  try {
    const document = readDocument(text, options.format, options.environment);
    const shapes = wrongShapes(document.value);
    if (!isObject(document.value)) return refuse(shapes[0]!, document.locate(shapes[0]!), document.value);
    const reading = new Reading(document, last, options).result();
    if (shapes.length === 0) return reading;
    // Refused as a whole, but all that is wrong is told at once.
    const wrong = shapes.map((each) => located(options.name, document.locate(each), each));
    return { config: last, readable: false, warnings: [], problems: [...wrong, ...reading.problems], indexes: new Map(), value: document.value };
  } catch (error) {
    if (error instanceof Unreadable) {
      return refuse(problem([], 'a readable file', 'another', error.message), error.position);
    }
    throw error;
  }
}

/**
 * What makes the whole file doubtful: a misspelled kind would otherwise read as "all its resources are gone".
 */
function wrongShapes(value: unknown): Problem[] {
  if (value === null || value === undefined) {
    const text = 'expected resources, got an empty file; `stream_routes: []` means none';
    return [problem([], 'resources', 'nothing', text)];
  }
  if (!isObject(value)) return [problem([], 'an object of kinds', 'something else')];
  const known = (name: string): boolean => name === 'plugins' || foreignKinds.includes(name) || name.endsWith('_conf_version');
  const wrong = Object.entries(value).filter(([name, list]) => (isKind(name) ? list !== null && !Array.isArray(list) : !known(name)));
  return wrong.slice(0, mostTold).map(([name, list]) => {
    const at: At = [name];
    if (isKind(name)) return problem(at, 'a list', typeof list);
    const meant = nearest(name, [...kindNames, 'plugins']);
    const hint = meant === undefined ? '' : `, did you mean "${meant}"?`;
    return problem(at, 'known kind', name, `unknown property ${JSON.stringify(cut(name))}${hint}`);
  });
}

/** Of an item: its kind and number. */
function placeOf([kind, index]: At): string {
  return `${String(kind)} ${String(index)}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Item {
  readonly at: At;
  readonly id: string;
  readonly generated: boolean;
  readonly value: Value;
  /** As the file says it; undefined: it says none. */
  readonly modifiedIndex?: unknown;
  readonly problems: readonly Problem[];
}

class Reading {
  readonly #document: ParsedDocument;
  readonly #last: Config;
  readonly #options: ReadingOptions;
  readonly #problems: Problem[] = [];
  readonly #warnings: Problem[] = [];
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #listed: Readonly<Record<Kind, readonly Item[]>>;
  /** How often an id was made. */
  readonly #made = new Map<string, number>();
  /** Variables without a value, by kind and number of the item. */
  readonly #unset: ReadonlyMap<string, readonly Problem[]>;

  constructor(document: ParsedDocument, last: Config, options: ReadingOptions) {
    this.#document = document;
    this.#last = last;
    this.#options = options;
    this.#values = document.value as Readonly<Record<string, unknown>>;
    this.#unset = Map.groupBy(document.problems, ({ at }) => placeOf(at));
    this.#listed = Object.fromEntries(kindNames.map((kind) => [kind, this.#items(kind)])) as unknown as
      Record<Kind, readonly Item[]>;
  }

  result(): FileReading {
    const resources = Object.fromEntries(kindNames.map((kind) => [kind, this.#kind(kind)])) as unknown as
      Record<Kind, ReadonlyMap<string, Resource>>;
    const plugins = this.#plugins();
    const same = kindNames.every((kind) => resources[kind] === this.#last.resources[kind]) && sameList(plugins, this.#last.plugins);
    const config = same ? this.#last : { revision: this.#revision, resources, ...(plugins === undefined ? {} : { plugins }) };
    this.#warnAboutReferences(config);
    this.#warnAboutForeignKinds();
    const place = (each: Problem): FileProblem =>
      located(this.#options.name, this.#document.locate(each), each);
    return {
      config, readable: true, problems: this.#problems.slice(0, mostTold).map(place), warnings: this.#warnings.slice(0, mostTold).map(place),
      indexes: this.#indexes(), value: this.#values,
    };
  }

  #indexes(): Map<string, unknown> {
    const said = kindNames.flatMap((kind) => this.#listed[kind].map((item) => [`${kind}/${item.id}`, item.modifiedIndex] as const));
    return new Map(said.filter(([, index]) => index !== undefined));
  }

  get #revision(): number {
    return this.#last.revision + 1;
  }

  #plugins(): PluginList | undefined {
    if (!Object.hasOwn(this.#values, 'plugins')) return undefined;
    const { list, problems } = readPluginList(this.#values['plugins']);
    this.#problems.push(...problems);
    if (problems.length > 0) return this.#last.plugins;
    const known = this.#options.references.names?.('plugin') ?? [...list];
    const unknown = [...list].filter((name) => !known.includes(name));
    if (unknown.length > 0) {
      this.#warnings.push(problem(['plugins'], 'known plugins', 'others', `no such plugin, ignored: ${unknown.join(', ')}`));
    }
    return list;
  }

  #kind(kind: Kind): ReadonlyMap<string, Resource> {
    const last = this.#last.resources[kind];
    const next = new Map<string, Resource>();
    let keepAll = false;
    for (const item of this.#listed[kind]) {
      const problems = this.#check(kind, item);
      this.#problems.push(...problems);
      const good = last.get(item.id);
      if (problems.length === 0) next.set(item.id, this.#resource(kind, item, good));
      else if (good !== undefined && !next.has(item.id)) next.set(item.id, good);
      // Nobody knows which of the old ones this was meant to be, so none is taken away.
      else if (item.id === '' || item.generated) keepAll = true;
    }
    if (keepAll) for (const [id, resource] of last) if (!next.has(id)) next.set(id, resource);
    return sameEntries(last, next) ? last : next;
  }

  /** The kind's entries with their ids; one that is wrong already says so. */
  #items(kind: Kind): Item[] {
    const seen = new Map<string, At>();
    return this.#entries(kind).map(({ at, entry }) => {
      if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
        return { at, id: '', generated: false, value: {}, problems: [problem(at, 'object', show(entry))] };
      }
      // What an export of the reference carries; here the file's own history counts.
      const {
        id: own, create_time: _c, update_time: _u, modifiedIndex, createdIndex: _n, ...value
      } = entry as Value;
      const given = (kind === 'credentials' ? pairOf(entry) : undefined) ?? own ?? (kind === 'consumers' ? value['username'] : undefined);
      const id = given === undefined ? this.#generatedId(kind, value, seen) : idText(given);
      const problems = given === undefined ? [] : nest(at, checkId(kind, given));
      const first = seen.get(id);
      if (first !== undefined) return { at, id, generated: false, value, problems: [this.#duplicate(kind, at, own, id, first)] };
      if (problems.length > 0) return { at, id: '', generated: false, value, problems };
      seen.set(id, at);
      return { at, id, generated: given === undefined, value, problems, modifiedIndex };
    });
  }

  /** Credentials stand in a list of their own or, as in the reference, among the consumers. */
  #entries(kind: Kind): readonly { readonly at: At; readonly entry: unknown }[] {
    const listed = (name: Kind): { at: At; entry: unknown }[] => {
      const list = this.#values[name];
      return Array.isArray(list) ? list.map((entry: unknown, index) => ({ at: [name, index], entry })) : [];
    };
    if (kind === 'consumers') return listed(kind).filter(({ entry }) => pairOf(entry) === undefined);
    if (kind !== 'credentials') return listed(kind);
    return [...listed(kind), ...listed('consumers').filter(({ entry }) => pairOf(entry) !== undefined)];
  }

  #duplicate(kind: Kind, at: At, own: unknown, id: string, first: At): Problem {
    const name = kind === 'consumers' ? 'username' : kind === 'credentials' ? 'credential id' : 'id';
    const shown = kind === 'credentials' && own !== undefined ? idText(own) : id;
    const { line } = this.#document.locate({ at: first, text: '' });
    const where = this.#options.lines === false ? '' : `, first in line ${line}`;
    return problem([...at, 'id'], 'an id of its own', show(id), `found duplicate ${name} ${cut(shown)} in ${String(at[0])}${where}`);
  }

  // Made of the name, or of what tells the kind's resources apart, so that order and other fields do not
  // matter.
  #generatedId(kind: Kind, value: Value, seen: ReadonlyMap<string, At>): string {
    const parts = value['name'] === undefined
      ? kinds[kind].identity.map((name) => sorted(value[name] ?? null)) : [value['name']];
    const digest = createHash('sha256').update(JSON.stringify([kind, parts])).digest('hex');
    const id = `file-${digest.slice(0, 16)}`;
    for (let count = (this.#made.get(id) ?? 0) + 1; ; count++) {
      const unique = count === 1 ? id : `${id}-${count}`;
      if (seen.has(unique)) continue;
      this.#made.set(id, count);
      return unique;
    }
  }

  #check(kind: Kind, item: Item): readonly Problem[] {
    if (item.problems.length > 0) return item.problems;
    const unset = this.#unset.get(placeOf(item.at));
    if (unset !== undefined) return unset;
    // Whether another resource exists is a warning here, not a reason to refuse.
    const references = withoutResources(this.#options.references);
    return nest(item.at, checkResource(kind, item.id, item.value, references));
  }

  #resource(kind: Kind, item: Item, good: Resource | undefined): Resource {
    if (good !== undefined && isDeepStrictEqual(good.value, item.value)) return good;
    return frozenResource({
      // Aliases share objects; a copy of its own is frozen without touching another item.
      kind, id: item.id, value: structuredClone(item.value), origin: 'file',
      createdIndex: good?.createdIndex ?? this.#revision, modifiedIndex: this.#revision,
    });
  }

  #warnAboutReferences(config: Config): void {
    const { references } = this.#options;
    // What stands there and is wrong is told itself; it is not missing.
    const byId = new Map(kindNames.map((kind) => [kind, new Map(this.#listed[kind].toReversed().map(({ id, value }) => [id, value]))]));
    const told = new Set(this.#problems.map((each) => each.path));
    const listed = (kind: Kind, id: string): Value | undefined => byId.get(kind)?.get(id);
    const lookup: References = {
      ...withoutResources(references),
      resource: (kind, id) => config.resources[kind].get(id)?.value ?? listed(kind, id) ?? references.resource?.(kind, id),
      refers: (plugin, conf) => references.refers?.(plugin, conf) ?? [],
      globalRuleOf: resourcesIn(() => config).globalRuleOf,
    };
    for (const kind of kindNames) {
      for (const { at, id, value } of this.#listed[kind]) {
        if (id === '') continue;
        this.#warnings.push(...nest(at, checkReferences(kind, id, value, lookup)).filter(({ path }) => !told.has(path)));
      }
    }
  }

  #warnAboutForeignKinds(): void {
    const foreign = Object.keys(this.#values).filter((name) => foreignKinds.includes(name));
    const [first] = foreign;
    if (first === undefined) return;
    const text = `not supported and ignored: ${foreign.join(', ')}`;
    this.#warnings.push(problem([first], kindNames.join(', '), foreign.join(', '), text));
  }
}

/** The id of a credential that stands among the consumers: `jack/credentials/1` is `jack/1`. */
function pairOf(entry: unknown): string | undefined {
  const { id } = (typeof entry === 'object' && entry !== null ? entry : {}) as Value;
  const [, consumer, own] = (typeof id === 'string' ? /^([^/]+)\/credentials\/([^/]+)$/.exec(id) : null) ?? [];
  return consumer === undefined ? undefined : `${consumer}/${own}`;
}

function sameEntries(a: ReadonlyMap<string, Resource>, b: ReadonlyMap<string, Resource>): boolean {
  return a.size === b.size && [...b].every(([id, resource]) => a.get(id) === resource);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, child]) => [name, sorted(child)]);
}

function located(name: string, place: Position, each: Problem): FileProblem {
  const { line, column } = place;
  return { ...each, line, column, located: `${name}:${line}:${column}: ${each.message}` };
}

function lastLine(text: string): Position {
  return { line: text.split('\n').length, column: 1 };
}
