// Texts that stand for a secret elsewhere: `$env://NAME`, `$secret://manager/id/name`, each with a further `/member`
// of what is found there, as JSON.
import type { At } from './problem.ts';

export interface SecretReference {
  /** Null: the environment itself. Else manager and id of a resource of the kind `secrets`. */
  readonly secret: string | null;
  readonly name: string;
  /** Member of the JSON object that the name leads to; null: the whole text. */
  readonly member: string | null;
}

const start = /^\$(env|secret):\/\//i;
const word = '[A-Za-z0-9._-]{1,128}';
const form = new RegExp(`^\\$(?:env://|secret://(${word}/${word})/)(${word})(?:/(${word}))?$`, 'i');

export function isSecretReference(text: unknown): text is string {
  return typeof text === 'string' && start.test(text);
}

/** Null: it begins like one, but is none. */
export function parseSecretReference(text: string): SecretReference | null {
  const found = form.exec(text);
  return found === null ? null : { secret: found[1] ?? null, name: found[2]!, member: found[3] ?? null };
}

// What people call things is never looked up.
const names = new Set(['id', 'username', 'name', 'desc', 'labels']);
const placesBefore = new WeakMap<object, readonly At[]>();

/** Where references stand in a resource's value. */
export function secretPlaces(value: Readonly<Record<string, unknown>>): readonly At[] {
  const before = placesBefore.get(value);
  if (before !== undefined) return before;
  const places = Object.entries(value).flatMap(([name, child]) => (names.has(name) ? [] : placesIn(child, [name])));
  if (Object.isFrozen(value)) placesBefore.set(value, places);
  return places;
}

function placesIn(value: unknown, at: At): At[] {
  if (isSecretReference(value)) return [at];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, child]) => placesIn(child, [...at, Array.isArray(value) ? Number(name) : name]));
}

export function valueAt(value: unknown, at: At): unknown {
  let found = value;
  for (const name of at) found = (found as Record<string | number, unknown> | null | undefined)?.[name];
  return found;
}
