// What of the configuration was different between two revisions.
import { isDeepStrictEqual } from 'node:util';
import type { Kind, Value } from '../core/config/resource.ts';
import type { Store, Version } from '../core/config/source.ts';
import { refuse } from './refusal.ts';

export interface State {
  /** Null: it was not there. */
  readonly value: Value | null;
  /** Unix seconds. */
  readonly expiresAt?: number;
}

export interface Difference {
  readonly kind: Kind;
  readonly id: string;
  readonly from: State;
  readonly to: State;
}

/** Throws a Refusal when one of the two is not known, any more or yet. */
export async function differences(store: Store, from: number, to: number): Promise<Difference[]> {
  const [older, newer] = from < to ? [from, to] : [to, from];
  const { since, versions } = await store.history(undefined, { after: older, before: newer + 1 });
  const now = store.config.revision;
  if (newer > now) throw refuse(400, `revision: expected at most ${now}, got ${newer}`);
  if (older < since) throw refuse(410, `revision: expected ${since} or later, changes before it are not kept, got ${older}`);
  const found = new Map<string, Difference>();
  // Newest first: what is found last was there right after the older revision.
  for (const version of versions) {
    const { kind, id } = version;
    const name = `${kind} ${id}`;
    found.set(name, { kind, id, from: stateBefore(version), to: found.get(name)?.to ?? stateAfter(version) });
  }
  return [...found.values()]
    .filter(({ from: one, to: other }) => !isDeepStrictEqual(one, other))
    .map((each) => (from < to ? each : { ...each, from: each.to, to: each.from }));
}

function stateBefore({ before: value, beforeExpiresAt: expiresAt }: Version): State {
  return { value, ...(expiresAt === undefined ? {} : { expiresAt }) };
}

function stateAfter({ value, expiresAt }: Version): State {
  return { value, ...(expiresAt === undefined ? {} : { expiresAt }) };
}
