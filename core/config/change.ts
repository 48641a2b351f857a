// What one configuration has that another one has not: ten thousand routes are not sent to every worker because one of
// them changed.
import { kindNames, type Kind, type Resource } from './resource.ts';
import { emptyConfig, type Config } from './source.ts';

export interface ConfigChange {
  /** Revision of the configuration that it starts from; null: from nothing. */
  readonly from: number | null;
  readonly revision: number;
  readonly changed: readonly Resource[];
  readonly removed: readonly (readonly [Kind, string])[];
}

/** Resources that did not change are the same objects in both. */
export function changeOf(old: Config | null, next: Config): ConfigChange {
  const changed: Resource[] = [];
  const removed: [Kind, string][] = [];
  for (const kind of kindNames) {
    const [before, after] = [old?.resources[kind], next.resources[kind]];
    if (before === after) continue;
    for (const [id, resource] of after) if (before?.get(id) !== resource) changed.push(resource);
    for (const id of before?.keys() ?? []) if (!after.has(id)) removed.push([kind, id]);
  }
  return { from: old?.revision ?? null, revision: next.revision, changed, removed };
}

/** Kinds of which nothing changed keep their map, resources that did not change stay the same objects. */
export function applyChange(base: Config | null, { from, revision, changed, removed }: ConfigChange): Config {
  if (from !== null && base?.revision !== from) {
    throw new Error(`expected a change of revision ${base?.revision ?? 'none'}, got one of ${from}`);
  }
  const start = from === null ? emptyConfig() : base!;
  const resources = { ...start.resources };
  const copies = new Map<Kind, Map<string, Resource>>();
  const copy = (kind: Kind): Map<string, Resource> => {
    let made = copies.get(kind);
    if (made === undefined) {
      made = new Map(start.resources[kind]);
      copies.set(kind, made);
      resources[kind] = made;
    }
    return made;
  };
  for (const [kind, id] of removed) copy(kind).delete(id);
  for (const resource of changed) copy(resource.kind).set(resource.id, resource);
  return { revision, resources };
}
