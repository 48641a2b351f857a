// API-driven standalone: what is remembered beside the resources, and what a new whole changes. The rules of versions and
// indexes are the reference's: a sender may leave out what it knows to be unchanged.
import { isDeepStrictEqual } from 'node:util';
import { problem, show, type Problem } from '../problem.ts';
import { joinLists, onlyListed, type PluginList, type Unlisted } from './plugin-list.ts';
import { kindNames, type Kind, type Resource, type Value } from './resource.ts';
import { foreignKinds, type FileReading } from './resource-file.ts';
import type { Config } from './source.ts';

/** Kinds that have a version: also those that only the reference has, because senders count them. */
const versioned: readonly string[] = [...kindNames, ...foreignKinds, 'plugins'];

export const versionKey = (kind: string): string => `${kind}_conf_version`;

/** One resource of the new whole that is not as it was; null: it is gone. */
export interface WholeChange {
  readonly kind: Kind;
  readonly id: string;
  readonly value: Value | null;
}

interface Counted {
  readonly versions: ReadonlyMap<string, number>;
  /** `modifiedIndex` of the items that said one, by `kind/id`. */
  readonly indexes: ReadonlyMap<string, number>;
}

/** The whole that is in force. */
export interface Received {
  /** As the sender calls it. */
  readonly digest: string;
  /** Unix seconds. */
  readonly time: number;
}

export interface WholePlan {
  readonly changes: readonly WholeChange[];
  readonly counted: Counted;
  /** Absent: all that are loaded may run. */
  readonly plugins: PluginList | undefined;
}

export interface WholeOptions {
  /** The body as parsed. */
  readonly body: Value;
  readonly reading: FileReading;
  /** What is in force. */
  readonly config: Config;
  /** The value as it is shown to those who ask: a secret that was masked and comes back so is no change. */
  readonly shown: (kind: Kind, id: string, value: Value) => Value;
}

export class Standalone {
  #received: Received | null = null;
  #plugins: PluginList | undefined;
  #counted: Counted = { versions: new Map(versioned.map((kind) => [kind, 0])), indexes: new Map() };

  /** Null: none was sent since the start. */
  get received(): Received | null {
    return this.#received;
  }

  /** `<kind>_conf_version` → number, of all kinds. */
  get versions(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counted.versions].map(([kind, version]) => [versionKey(kind), version]));
  }

  /** What may run; while a whole replaces another one, what may run in either. */
  get plugins(): PluginList | undefined {
    return this.#plugins;
  }

  indexOf(kind: Kind, id: string): number | undefined {
    return this.#counted.indexes.get(`${kind}/${id}`);
  }

  /** Kinds whose version says that they are as before: what the body has of them does not count. */
  unchanged(body: Value): ReadonlySet<string> {
    return new Set(versioned.filter((kind) => body[versionKey(kind)] === this.#counted.versions.get(kind)));
  }

  /** What is wrong with the numbers themselves. */
  problems(body: Value, { indexes }: FileReading): Problem[] {
    const wrongVersions = versioned.flatMap((kind): Problem[] => {
      const key = versionKey(kind);
      const version = body[key];
      const least = this.#counted.versions.get(kind) ?? 0;
      if (version === undefined) return [];
      if (!isNumber(version)) return [problem([key], 'a number', show(version), `${key} must be a number`)];
      return version >= least ? []
        : [problem([key], `at least ${least}`, show(version), `${key} must be greater than or equal to (${least})`)];
    });
    const wrongIndexes = [...indexes].filter(([, index]) => !isNumber(index)).map(([name, index]) => {
      const [kind = '', ...id] = name.split('/');
      return problem([kind, id.join('/'), 'modifiedIndex'], 'a number', show(index));
    });
    return [...wrongVersions, ...wrongIndexes];
  }

  /** What the body, which has no problems, does to the configuration. */
  plan({ body, reading, config, shown }: WholeOptions): WholePlan {
    const unchanged = this.unchanged(body);
    const indexes = new Map<string, number>();
    const changes = kindNames.flatMap((kind): WholeChange[] => {
      const before = config.resources[kind];
      if (unchanged.has(kind)) {
        for (const id of before.keys()) keepIndex(indexes, `${kind}/${id}`, this.indexOf(kind, id));
        return [];
      }
      const after = reading.config.resources[kind];
      const gone = [...before.keys()].filter((id) => !after.has(id)).map((id) => ({ kind, id, value: null }));
      const changed = [...after.values()].flatMap(({ id, value }): WholeChange[] => {
        const index = reading.indexes.get(`${kind}/${id}`) as number | undefined;
        keepIndex(indexes, `${kind}/${id}`, index);
        const old = before.get(id);
        const same = old !== undefined && ((index !== undefined && index === this.indexOf(kind, id))
          || isDeepStrictEqual(value, old.value) || isDeepStrictEqual(value, shown(kind, id, old.value)));
        return same ? [] : [{ kind, id, value }];
      });
      return [...gone, ...changed];
    });
    const versions = new Map([...this.#counted.versions].map(([kind, version]) => {
      const given = body[versionKey(kind)];
      return [kind, isNumber(given) ? given : version + 1];
    }));
    return { changes, counted: { versions, indexes }, plugins: unchanged.has('plugins') ? this.#plugins : reading.config.plugins };
  }

  /** What would be in force and runs plugins that the whole does not list. */
  unlisted({ changes, plugins }: WholePlan, config: Config): readonly Unlisted[] {
    const resources = Object.fromEntries(kindNames.map((kind) => [kind, new Map(config.resources[kind])])) as Record<Kind, Map<string, Resource>>;
    for (const { kind, id, value } of changes) {
      if (value === null) resources[kind].delete(id);
      else resources[kind].set(id, { kind, id, value, origin: 'store', createdIndex: 0, modifiedIndex: 0 });
    }
    return onlyListed({ ...config, resources }, plugins).rejections;
  }

  /** The plan's changes are about to be in force; the returned function: they are not. */
  begin({ plugins }: WholePlan): () => void {
    const before = this.#plugins;
    this.#plugins = before === undefined || plugins === undefined ? undefined : joinLists([before, plugins]);
    return () => { this.#plugins = before; };
  }

  /** The plan's changes are in force. */
  take({ counted, plugins }: WholePlan, received: Received): void {
    this.#counted = counted;
    this.#plugins = plugins;
    this.#received = received;
  }
}

function keepIndex(indexes: Map<string, number>, name: string, index: number | undefined): void {
  if (index !== undefined) indexes.set(name, index);
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
