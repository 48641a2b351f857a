// What values name instead of holding it, looked up before the workers get them: they alone have the secrets, and
// nothing that shows or keeps configuration does.
import { isDeepStrictEqual } from 'node:util';
import { formatPath, type At } from '../problem.ts';
import { parseSecretReference, secretPlaces, valueAt } from '../secret-reference.ts';
import { checkResource, withoutResources, type References } from './check.ts';
import type { Environment } from './environment.ts';
import { kindNames, type Kind, type Resource, type Value } from './resource.ts';
import { variable, type SecretManager } from './secret-manager.ts';
import { FileStamps } from './secret-stamps.ts';
import { frozenResource, type Config } from './source.ts';

/** A manager that asks others over the network must not hold every change of the configuration. */
const longestLookup = 10_000;
const noAnswer = `no answer within ${longestLookup / 1000} s`;

export interface SecretsOptions {
  readonly managers: () => ReadonlyMap<string, SecretManager>;
  readonly environment: Environment;
  readonly references: References;
  /** Texts that no resource may have, whatever leads to them: who may write a route must not get an admin key by it. */
  readonly isOurs?: (text: string) => boolean;
  /** Told after each look: the files that secrets came from. */
  readonly onLooked?: (files: FileStamps) => void;
}

/** One resource with a reference that leads nowhere. */
export interface Unresolved {
  readonly kind: Kind;
  readonly id: string;
  readonly code: 'CONFIG_INVALID';
  readonly text: string;
  readonly at?: At;
  readonly expected?: string;
  readonly got?: string;
}

type Found = string | { readonly why: string };

export interface Resolved {
  readonly config: Config;
  /** What could not be found, or is not what its place wants. The last good version goes on serving. */
  readonly rejections: readonly Unresolved[];
}

export class Secrets {
  readonly #options: SecretsOptions;
  /** By kind and id. */
  #before = new Map<string, Resource>();
  #files = new FileStamps();
  /** What was found in this round, by reference: what is named often is asked for once. */
  #found = new Map<string, Found>();
  /** Managers that did not answer in time in this round. */
  #late = new Set<string>();
  #maps = new Map<Kind, { readonly from: ReadonlyMap<string, Resource>; readonly to: ReadonlyMap<string, Resource> }>();

  constructor(options: SecretsOptions) {
    this.#options = options;
  }

  /** The same objects for what holds no reference, or the same secrets as before. */
  async resolve(config: Config): Promise<Resolved> {
    const rejections: Unresolved[] = [];
    const before = new Map<string, Resource>();
    const resources = { ...config.resources };
    this.#files = new FileStamps();
    this.#found = new Map();
    this.#late = new Set();
    for (const kind of kindNames) {
      // Settings of managers are for this thread only.
      if (kind === 'secrets') continue;
      const source = config.resources[kind];
      const found = new Map<string, Resource | undefined>();
      for (const resource of source.values()) {
        if (secretPlaces(resource.value).length === 0) continue;
        const key = `${kind}/${resource.id}`;
        const resolved = await this.#resolve(resource, config, rejections) ?? this.#before.get(key);
        if (resolved !== undefined) before.set(key, resolved);
        found.set(resource.id, resolved);
      }
      resources[kind] = this.#replaced(kind, source, found);
    }
    this.#before = before;
    this.#options.onLooked?.(this.#files);
    return { config: { revision: config.revision, resources }, rejections };
  }

  // Kinds of which nothing changed keep their map: only then nobody looks for what is new in it.
  #replaced(kind: Kind, source: ReadonlyMap<string, Resource>, found: ReadonlyMap<string, Resource | undefined>): ReadonlyMap<string, Resource> {
    if (found.size === 0) return source;
    const last = this.#maps.get(kind);
    if (last?.from === source && [...found].every(([id, resource]) => last.to.get(id) === resource)) return last.to;
    const to = new Map([...source].flatMap(([id, resource]) => {
      const replaced = found.has(id) ? found.get(id) : resource;
      return replaced === undefined ? [] : [[id, replaced] as const];
    }));
    this.#maps.set(kind, { from: source, to });
    return to;
  }

  async #resolve(resource: Resource, config: Config, rejections: Unresolved[]): Promise<Resource | undefined> {
    const { kind, id, value } = resource;
    const reject = (at: At, expected: string, got: string, text = `expected ${expected}, got ${got}`): void => {
      rejections.push({ kind, id, code: 'CONFIG_INVALID', at, expected, got, text: `${formatPath(at)}: ${text}` });
    };
    const before = rejections.length;
    const copy = structuredClone(value);
    const places = secretPlaces(value);
    for (const at of places) {
      const reference = valueAt(value, at) as string;
      const secret = await this.#look(reference, config);
      if (typeof secret !== 'string') reject(at, `a secret at ${reference}`, secret.why);
      else (valueAt(copy, at.slice(0, -1)) as Record<string | number, unknown>)[at.at(-1)!] = secret;
    }
    if (rejections.length > before) return undefined;
    // Its text would show what was found.
    const wrong = checkResource(kind, id, copy, withoutResources(this.#options.references))
      .filter(({ at }) => places.some((place) => place.every((name, depth) => name === at[depth])));
    for (const { at, expected } of wrong) {
      reject(at, expected, 'something else', `expected ${expected}, ${String(valueAt(value, at))} holds something else`);
    }
    if (wrong.length > 0) return undefined;
    const old = this.#before.get(`${kind}/${id}`);
    const same = old?.modifiedIndex === resource.modifiedIndex && old.origin === resource.origin && isDeepStrictEqual(old.value, copy);
    return same ? old : frozenResource({ ...resource, value: copy });
  }

  async #look(text: string, config: Config): Promise<Found> {
    const before = this.#found.get(text);
    if (before !== undefined) return before;
    const looked = await this.#lookUp(text, config);
    const ours = typeof looked === 'string' && this.#options.isOurs?.(looked.trim()) === true;
    const found = ours ? { why: 'a key of the Admin API' } : looked;
    this.#found.set(text, found);
    return found;
  }

  async #lookUp(text: string, config: Config): Promise<Found> {
    const reference = parseSecretReference(text);
    if (reference === null) return { why: 'no such reference' };
    const { secret, name, member } = reference;
    const { environment, managers } = this.#options;
    try {
      const found = secret === null ? variable(environment, name) : await this.#ask(secret, name, config, managers());
      if (found === undefined) return { why: 'nothing' };
      if (member === null) return found;
      const parsed: unknown = JSON.parse(found);
      const inner = typeof parsed === 'object' && parsed !== null && Object.hasOwn(parsed, member) ? (parsed as Value)[member] : undefined;
      if (inner === undefined || inner === null) return { why: `nothing named ${member}` };
      return typeof inner === 'string' ? inner : JSON.stringify(inner);
    } catch (error) {
      // JSON's own text quotes what it read.
      return { why: error instanceof SyntaxError ? 'no JSON' : (error as NodeJS.ErrnoException).code ?? (error as Error).message };
    }
  }

  async #ask(secret: string, name: string, config: Config, managers: ReadonlyMap<string, SecretManager>): Promise<string | undefined> {
    const settings = config.resources.secrets.get(secret);
    const [manager = ''] = secret.split('/');
    if (settings === undefined) throw new Error(`no resource secrets/${secret}`);
    if (this.#late.has(secret)) throw new Error(noAnswer);
    const { environment } = this.#options;
    const files = this.#files;
    const found = managers.get(manager)?.find(this.#settingsOf(settings.value), name, { environment, watch: (file) => files.add(file) });
    return found instanceof Promise ? this.#inTime(secret, found) : found;
  }

  // A manager's own key may stand in the environment; secrets behind secrets would have no order.
  #settingsOf(value: Value): Value {
    const places = secretPlaces(value);
    if (places.length === 0) return value;
    const settings = structuredClone(value);
    for (const at of places) {
      const text = valueAt(value, at) as string;
      const reference = parseSecretReference(text);
      const found = reference?.secret === null && reference.member === null ? variable(this.#options.environment, reference.name) : undefined;
      if (found === undefined) throw new Error(`nothing at ${text}, which ${at.join('.')} of the manager names`);
      (valueAt(settings, at.slice(0, -1)) as Record<string | number, unknown>)[at.at(-1)!] = found;
    }
    return settings;
  }

  // One that does not answer is waited for once, however many secrets it has.
  async #inTime(secret: string, found: Promise<string | undefined>): Promise<string | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        this.#late.add(secret);
        reject(new Error(noAnswer));
      }, longestLookup);
    });
    try {
      return await Promise.race([found, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
