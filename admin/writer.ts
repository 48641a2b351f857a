// Changes of resources, one after another: checked together, made durable, run by every worker, then answered. What
// the workers cannot run although it passed the checks is taken back.
import { checkReferences, checkResource, checkUnused, resourcesIn, type References } from '../core/config/check.ts';
import { ReferenceGraph, type Refers, type User } from '../core/config/graph.ts';
import { kinds, type Kind, type Resource, type Value } from '../core/config/resource.ts';
import type { Config, Store, Write } from '../core/config/source.ts';
import { ProxyError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Plane, Rejection } from '../core/plane.ts';
import { formatPath, nest, problem, type Problem } from '../core/schema.ts';
import { auditedChange, type Attempt } from './audit.ts';
import { notFound, refusalOf, refuse, Refusal } from './refusal.ts';
import type { Registry } from './registry.ts';
import { resourceRows, type ResourceRow } from './resources.ts';
import { withSecretsKept } from './secrets.ts';

export interface WriterOptions {
  readonly store: Store;
  readonly config: { readonly config: Config };
  readonly references: References;
  readonly plane: Pick<Plane, 'apply'>;
  readonly registry: Registry;
  readonly log: Logger;
  /** Resources come as a whole only. */
  readonly standalone?: unknown;
}

/** What somebody asks for, for one resource. */
export interface Change {
  readonly row: ResourceRow;
  readonly id: string;
  /** Makes the new value of the old one; undefined deletes. */
  readonly make: (old: Value | undefined) => unknown;
  /** Its modifiedIndex must be that one; 0: it must not exist; -1: it must exist. */
  readonly revision?: number;
  /** Unix seconds. Absent: it stays, unless `keepsEnd` says otherwise. */
  readonly expiresAt?: number;
  /** Without `expiresAt` the end that it has stays. */
  readonly keepsEnd?: boolean;
}

export interface WriteOptions {
  /** Only said what would happen. */
  readonly dryRun?: boolean;
  /** Deletes what others use. */
  readonly force?: boolean;
  /** The whole configuration's revision must be that one. */
  readonly revision?: number;
  /** What was sent has kinds and ids in it: problems say which resource they are of. */
  readonly nested?: boolean;
  /** The changes are those of a whole that was sent. */
  readonly whole?: boolean;
  /** Whose record is kept with the change. */
  readonly attempt?: Attempt | undefined;
}

/** Drawn up when it is their turn, from the configuration as it is then. */
export type Changes = readonly Change[] | (() => Promise<readonly Change[]>);

export interface Outcome {
  readonly row: ResourceRow;
  readonly id: string;
  readonly outcome: 'created' | 'replaced' | 'deleted';
  /** As it is now, or would be; of a deleted one null. */
  readonly resource: Resource | null;
}

export interface Result {
  readonly outcomes: readonly Outcome[];
  readonly revision: number;
  /** Stream routes that it would concern; only of a dry run. */
  readonly routes?: readonly string[];
}

/** A change that was checked. */
interface Planned {
  readonly change: Change;
  readonly old: Resource | undefined;
  readonly value: Value | null;
}

/** How often a write is made again because other processes were faster. */
const mostTries = 20;

export class Writer {
  readonly #options: WriterOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** All of them or none. Rejects with a Refusal, or STORE_FAILED. */
  write(changes: Changes, options: WriteOptions = {}): Promise<Result> {
    return this.#inTurn(() => this.#write(changes, options));
  }

  /** One resource under an id of its own. */
  create(row: ResourceRow, sent: unknown, options: WriteOptions, more: Partial<Change> = {}): Promise<Result> {
    // Drawn anew when another process took the same one first.
    const make = (): unknown => sent;
    return this.#inTurn(() => this.#write(async () => [{ ...more, row, id: this.#freeId(row.kind), make }], options));
  }

  /** Everything that can be wrong with the changes; nothing is written. */
  check(changes: readonly Change[]): Problem[] {
    const { planned, wrong } = this.#planAll(changes, false);
    return [...wrong, ...this.#problems(planned, { force: false, nested: false, partly: wrong.length > 0 })];
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#last;
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #write(asked: Changes, options: WriteOptions, tries = 0): Promise<Result> {
    const { dryRun = false, force = false, revision, whole = false, nested = false, attempt } = options;
    const { store, standalone = null } = this.#options;
    if (standalone !== null && !whole) throw onlyWhole;
    if (attempt !== undefined) attempt.dryRun = dryRun;
    if (revision !== undefined && revision !== store.config.revision) throw configChangedMeanwhile(store.config.revision);
    const changes = typeof asked === 'function' ? await asked() : asked;
    const { planned, wrong } = this.#planAll(changes, nested);
    for (const each of planned) this.#admit(each, nested);
    const refusal = refusalOf([...wrong, ...this.#problems(planned, { force, nested, partly: wrong.length > 0 })]);
    if (refusal !== null) throw refusal;
    if (dryRun) return this.#foreseen(planned);
    const before = await this.#rejectionsNow();
    const done = await store.write(planned.map(writeOf), attempt?.recordOf(planned.map(auditOf)));
    if (done.outcome === 'conflict') {
      // Another process on the same store was faster: made again of what is there now, unless the caller said what he saw.
      const conditional = changes.some((change) => change.revision !== undefined) || revision !== undefined;
      if (!conditional && tries < mostTries) return this.#write(asked, options, tries + 1);
      throw conditional ? changedMeanwhile(done.resource?.modifiedIndex ?? 0)
        : refuse(409, 'others change the same resource all the time, nothing was written; try again');
    }
    attempt?.written(done.revision);
    const refused = await this.#apply(planned.map(idOf), before);
    // Who deletes by force what others use has asked for it: they serve as they did until they are put right.
    if (refused.length > 0 && !(force && planned.every(({ value }) => value === null))) {
      await this.#takeBack(planned, done.revision);
      throw refusalOfWorkers(refused, nested ? [] : planned.map(idOf));
    }
    const outcomes = planned.map((each): Outcome => ({
      row: each.change.row, id: each.change.id, outcome: outcomeOf(each),
      resource: store.get(each.change.row.kind, each.change.id) ?? null,
    }));
    return { outcomes, revision: done.revision };
  }

  /** What becomes of each; problems of those of which that cannot be said. */
  #planAll(changes: readonly Change[], nested: boolean): { readonly planned: readonly Planned[]; readonly wrong: readonly Problem[] } {
    const planned: Planned[] = [];
    const wrong: Problem[] = [];
    for (const change of changes) {
      const found = this.#plan(change);
      if ('change' in found) planned.push(found);
      else wrong.push(...(nested ? nest([change.row.kind, change.id], found) : found));
    }
    return { planned: this.#withDependents(planned), wrong };
  }

  #plan(change: Change): Planned | readonly Problem[] {
    const { row, id } = change;
    const early = row.checkId?.(id, this.#options.registry) ?? [];
    if (early.length > 0) return early;
    const old = this.#options.store.get(row.kind, id);
    const sent = change.make(old?.value);
    if (sent === undefined) return { change, old, value: null };
    // Only nothing at all deletes: a body that is `null` is a wrong value like any other.
    if (typeof sent !== 'object' || sent === null || Array.isArray(sent)) return checkResource(row.kind, id, sent, this.#options.references);
    const kept = withSecretsKept(row.kind, id, sent as Value, old?.value, this.#options.registry);
    return 'wrong' in kept ? [kept.wrong] : { change, old, value: kept.value };
  }

  /** What goes with a resource that is deleted. */
  #withDependents(planned: readonly Planned[]): readonly Planned[] {
    const gone = planned.filter(({ change, value }) => value === null && change.row.kind === 'consumers').map(idOf);
    if (gone.length === 0) return planned;
    const row = resourceRows.find(({ kind }) => kind === 'credentials')!;
    const named = new Set(planned.map(idOf).filter(({ kind }) => kind === 'credentials').map(({ id }) => id));
    const credentials = this.#options.store.list('credentials')
      .filter(({ id }) => !named.has(id) && gone.some((consumer) => id.startsWith(`${consumer.id}/`)))
      .map((old): Planned => ({ change: { row, id: old.id, make: () => undefined }, old, value: null }));
    return [...planned, ...credentials];
  }

  /** Throws when it is not ours to change, or not what the caller saw. */
  #admit({ change, old, value }: Planned, nested: boolean): void {
    const { row, id, revision } = change;
    if (this.#options.config.config.resources[row.kind].get(id)?.origin === 'file') {
      throw refuse(409, `${row.singular} ${id} stands in the resources file; it is read-only here, change it there`);
    }
    if (value === null && old === undefined) throw nested ? notFoundAmong(row.kind, id) : notFound;
    if (revision === undefined || (revision === -1 ? old !== undefined : revision === (old?.modifiedIndex ?? 0))) return;
    throw changedMeanwhile(old?.modifiedIndex ?? 0);
  }

  /** `partly`: others that were sent with them are missing here, and no reference to them is wrong for that. */
  #problems(planned: readonly Planned[], { force, nested, partly }: { force: boolean; nested: boolean; partly: boolean }): Problem[] {
    const preview = this.#preview(planned);
    const references = this.#referencesIn(preview);
    const graph = new ReferenceGraph(preview, this.#refers);
    return planned.flatMap(({ change, old, value }) => {
      const { row: { kind }, id } = change;
      const problems = value !== null ? checkResource(kind, id, value, references)
        : force ? [] : checkUnused(kind, id, graph.usersOf(kind, id));
      if (value !== null && problems.length === 0 && old !== undefined && roleOf(kind, value) !== roleOf(kind, old.value)) {
        problems.push(...usersThatBreak(graph.usersOf(kind, id), preview, references));
      }
      const certain = partly ? problems.filter(({ text }) => !text.startsWith('failed to fetch ')) : problems;
      return nested ? nest([kind, id], certain) : certain;
    });
  }

  /** The configuration as it would be. */
  #preview(planned: readonly Planned[]): Config {
    const { config } = this.#options.config;
    const copies = new Map<Kind, Map<string, Resource>>();
    for (const { change, old, value } of planned) {
      const { row: { kind }, id } = change;
      const map = copies.get(kind) ?? new Map(config.resources[kind]);
      copies.set(kind, map);
      if (value === null) map.delete(id);
      else map.set(id, foreseen(kind, id, value, old));
    }
    const resources = { ...config.resources, ...Object.fromEntries(copies) };
    return { revision: config.revision + 1, resources };
  }

  #foreseen(planned: readonly Planned[]): Result {
    const routes = [this.#options.config.config, this.#preview(planned)].flatMap(
      (config) => new ReferenceGraph(config, this.#refers).routesOf(planned.map(idOf)));
    return {
      outcomes: planned.map((each) => ({
        row: each.change.row, id: each.change.id, outcome: outcomeOf(each),
        resource: each.value === null ? null : foreseen(each.change.row.kind, each.change.id, withoutId(each.value), each.old),
      })),
      revision: this.#options.store.config.revision,
      routes: [...new Set(routes)].toSorted(),
    };
  }

  // Resources that were wrong before are no reason to refuse another one. Asked anew each time: a secret's file or a
  // plugin's may have changed since the last write.
  #rejectionsNow(): Promise<readonly Rejection[]> {
    return this.#run(this.#options.config.config, 'nothing was changed, because not every worker answers');
  }

  /** Returns what the write broke. */
  async #apply(written: readonly { readonly kind: Kind; readonly id: string }[], before: readonly Rejection[]): Promise<readonly Rejection[]> {
    const { config } = this.#options.config;
    const rejections = await this.#run(config);
    if (rejections.length === 0) return [];
    const own = rejections.filter((each) => written.some(({ kind, id }) => each.kind === kind && each.id === id));
    if (own.length > 0) return own;
    // What goes wrong at the same time elsewhere is not this write's fault.
    const concerned = new ReferenceGraph(config, this.#refers).concernedBy(written);
    const known = new Set(before.map(nameOf));
    return rejections.filter((each) => concerned.has(`${each.kind}/${each.id}`) && !known.has(nameOf(each)));
  }

  async #run(
    config: Config, failure = 'the change is stored, but not every worker could be told',
  ): Promise<readonly Rejection[]> {
    try {
      return await this.#options.plane.apply(config);
    } catch (error) {
      throw new ProxyError('WORKER_LOST', failure, { cause: error });
    }
  }

  async #takeBack(planned: readonly Planned[], revision: number): Promise<void> {
    const { store, log, config } = this.#options;
    const done = await store.write(planned.map(({ change, old, value }): Write => ({
      kind: change.row.kind, id: change.id, value: old?.value ?? null, revision: value === null ? 0 : revision,
      ...(old?.expiresAt === undefined ? {} : { expiresAt: old.expiresAt }),
    })));
    if (done.outcome === 'conflict') throw new ProxyError('STORE_FAILED', 'a change that the workers refused was changed again before it was taken back');
    await this.#run(config.config);
    for (const { change: { row, id } } of planned) {
      log.warn({ code: 'CONFIG_INVALID', kind: row.kind, id }, 'a change that the workers refused was taken back');
    }
  }

  // The form of the reference: the revision that the write makes, in 20 digits.
  #freeId(kind: Kind): string {
    const { store, config } = this.#options;
    for (let number = store.config.revision + 1; ; number++) {
      const id = String(number).padStart(20, '0');
      if (!config.config.resources[kind].has(id)) return id;
    }
  }

  readonly #refers: Refers = (plugin, conf) => this.#options.references.refers?.(plugin, conf) ?? [];

  #referencesIn(config: Config): References {
    const { references } = this.#options;
    return references.within?.(config) ?? { ...references, ...resourcesIn(() => config) };
  }
}

function idOf({ change: { row: { kind }, id } }: Planned): { readonly kind: Kind; readonly id: string } {
  return { kind, id };
}

/** What makes a resource fit for those that name it, beside being there. */
function roleOf(kind: Kind, value: Value): unknown {
  if (kind === 'ssls') return value['type'] ?? 'server';
  if (kind === 'stream_routes') return (value['protocol'] as Value | undefined)?.['name'];
  return undefined;
}

function usersThatBreak(users: readonly User[], config: Config, references: References): Problem[] {
  return users.flatMap(({ kind, id }) => {
    const user = config.resources[kind].get(id);
    const [first] = user === undefined ? [] : checkReferences(kind, id, user.value, references);
    return first === undefined ? [] : [problem([], 'a change that those who name it can follow', 'another',
      `${kinds[kind].singular} [${id}] is still using it: ${first.text}`)];
  });
}

function writeOf({ change, old, value }: Planned): Write {
  const { row: { kind }, id, expiresAt = change.keepsEnd === true ? old?.expiresAt : undefined } = change;
  return {
    kind, id, value: value === null ? null : withoutId(value), revision: old?.modifiedIndex ?? 0,
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

function auditOf(planned: Planned): ReturnType<typeof auditedChange> {
  const { change: { row: { kind }, id }, old, value } = planned;
  return auditedChange({ kind, id, outcome: outcomeOf(planned) }, old?.value ?? null, value === null ? null : withoutId(value));
}

function withoutId({ id: _id, ...value }: Value): Value {
  return value;
}

function outcomeOf({ old, value }: Planned): Outcome['outcome'] {
  return value === null ? 'deleted' : old === undefined ? 'created' : 'replaced';
}

function foreseen(kind: Kind, id: string, value: Value, old: Resource | undefined): Resource {
  return {
    kind, id, value, origin: 'store', createdIndex: old?.createdIndex ?? 0, modifiedIndex: old?.modifiedIndex ?? 0,
  };
}

const onlyWhole = refuse(405, 'resources come as a whole here (admin.standalone): PUT /apisix/admin/configs');

/** Of several, it must be said which one is meant. */
function notFoundAmong(kind: Kind, id: string): Refusal {
  return new Refusal(404, { message: 'Key not found', error_msg: `${kind}.${id}: expected an existing ${kinds[kind].singular}, got the id of none` });
}

/** `own`: the paths of their problems are those in what was sent. */
function refusalOfWorkers(rejections: readonly Rejection[], own: readonly { readonly kind: Kind; readonly id: string }[]): Refusal {
  const problems = rejections.map(({ kind, id, text, at = [], expected = 'what the workers can run', got = 'this' }) => {
    const sentence = at.length === 0 ? text : text.slice(formatPath(at).length + 2);
    const isOwn = own.some((each) => each.kind === kind && each.id === id);
    return problem(isOwn ? at : [kind, id, ...at], expected, got, sentence);
  });
  // Several workers say the same.
  return refusalOf(problems.filter(({ message }, index) => problems.findIndex((each) => each.message === message) === index))!;
}

/** The caller's picture of it is old: 412, as for a condition that does not hold. */
function changedMeanwhile(revision: number): Refusal {
  return new Refusal(412, {
    error_msg: revision === 0 ? 'the resource does not exist' : `the resource was changed meanwhile, its ETag is "${revision}"`,
  });
}

function configChangedMeanwhile(revision: number): Refusal {
  return new Refusal(412, { error_msg: `the configuration was changed meanwhile, its ETag is "${revision}"` });
}

function nameOf({ kind, id, text }: Rejection): string {
  return `${kind} ${id} ${text}`;
}
