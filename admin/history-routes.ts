// What was changed when, and the way back.
import type { FastifyInstance } from 'fastify';
import type { Kind, Value } from '../core/config/resource.ts';
import type { Store, Version } from '../core/config/source.ts';
import { changeConditions, writeOptions } from './conditions.ts';
import { showDryRun, type LiveSessions } from './dry-run.ts';
import { refusalText, refuse } from './refusal.ts';
import type { Registry } from './registry.ts';
import { idIn, keyOf, resourceRows } from './resources.ts';
import { withoutSecrets } from './secrets.ts';
import type { Change, Writer } from './writer.ts';

export interface HistoryRoutesOptions {
  readonly store: Store;
  readonly registry: Registry;
  readonly writer: Writer;
  readonly sessions: LiveSessions;
}

const pageSize = 100;

export function addHistoryRoutes(server: FastifyInstance, prefix: string, options: HistoryRoutesOptions): void {
  const { store, registry, writer } = options;
  const show = (version: Version): Record<string, unknown> => shown(version, registry);
  server.get<{ Querystring: { before?: string } }>(`${prefix}/history`, async ({ query }) => {
    const { since, versions } = await store.history();
    const before = query.before === undefined ? Infinity : revisionOf(query.before);
    return {
      revision: store.config.revision, since,
      list: versions.filter(({ revision }) => revision < before).slice(0, pageSize).map(show),
    };
  });
  for (const row of resourceRows) {
    server.get<{ Params: Record<string, string> }>(`${prefix}/${row.path}/:id/history`, async ({ params }) => {
      const { since, versions } = await store.history({ kind: row.kind, id: idIn(row, params, params['id'] ?? '') });
      return { since, list: versions.map(show) };
    });
  }
  server.post<{ Params: { revision: string } }>(`${prefix}/history/:revision/rollback`, async (request) => {
    const to = revisionOf(request.params.revision);
    const { revision: expected } = changeConditions(request);
    const how = { ...writeOptions(request), ...(expected === undefined ? {} : { revision: expected }) };
    const result = await writer.write(await changesBackTo(to, store), { ...how, force: true });
    if (how.dryRun === true) return showDryRun(result, options);
    return {
      revision: result.revision, restored: to,
      changes: result.outcomes.map(({ row, id, outcome }) => ({ key: keyOf(row, id), outcome })),
    };
  });
}

/** Throws a Refusal when so old a configuration is not known any more. */
async function changesBackTo(revision: number, store: Store): Promise<Change[]> {
  const { since, versions } = await store.history();
  const now = store.config.revision;
  if (revision > now) throw refuse(400, `revision: expected at most ${now}, got ${revision}`);
  if (revision < since) throw refuse(410, `revision: expected ${since} or later, changes before it are not kept, got ${revision}`);
  // Newest first: what is found last was there right after that revision.
  const then = new Map<string, { readonly kind: Kind; readonly id: string; readonly value: Value | null }>();
  for (const { revision: at, kind, id, before } of versions) {
    if (at > revision) then.set(`${kind} ${id}`, { kind, id, value: before });
  }
  const changes = [...then.values()].filter(({ kind, id, value }) => value !== null || store.get(kind, id) !== undefined)
    .map(({ kind, id, value }): Change => ({
      row: resourceRows.find((row) => row.kind === kind)!, id, make: () => value ?? undefined,
    }));
  if (changes.length === 0) throw refuse(400, `nothing to do: since revision ${revision} nothing was changed`);
  return changes;
}

function shown({ revision, kind, id, value, before, time }: Version, registry: Registry): Record<string, unknown> {
  const hide = (each: Value | null): Value | null => (each === null ? null : withoutSecrets(kind, id, each, registry));
  return {
    revision, time, kind, id, outcome: value === null ? 'deleted' : before === null ? 'created' : 'replaced',
    before: hide(before), value: hide(value), changed: changedPlaces(before, value),
  };
}

/** Paths at which two values differ; of a new or deleted one, none. */
function changedPlaces(before: unknown, after: unknown, at = ''): string[] {
  if (Object.is(before, after) || before === null || after === null) return at === '' || Object.is(before, after) ? [] : [at];
  if (typeof before !== 'object' || typeof after !== 'object' || Array.isArray(before) !== Array.isArray(after)) return [at];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((name) => {
    const place = at === '' ? name : `${at}.${name}`;
    const [old, now] = [(before as Value)[name], (after as Value)[name]];
    return old === undefined || now === undefined ? [place] : changedPlaces(old, now, place);
  });
}

function revisionOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw refusalText(`revision: expected a whole number, got ${JSON.stringify(text.slice(0, 32))}`, ['revision'], text.slice(0, 32));
}
