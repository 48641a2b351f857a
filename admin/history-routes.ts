// What was changed when, what is different between two revisions, and the way back.
import type { FastifyInstance } from 'fastify';
import type { Value } from '../core/config/resource.ts';
import type { Store, Version } from '../core/config/source.ts';
import { changedPlaces } from './changed-places.ts';
import type { Audit } from './audit.ts';
import { wholeOptions } from './conditions.ts';
import { differences, type Difference } from './differences.ts';
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
  readonly audit: Audit;
}

/** A page ends with the revision that makes it this many changes. */
const pageSize = 100;

export function addHistoryRoutes(server: FastifyInstance, prefix: string, options: HistoryRoutesOptions): void {
  const { store, registry, writer, audit } = options;
  const page = async (before: string | undefined, of?: Parameters<Store['history']>[0]): Promise<Record<string, unknown>> => {
    const { since, versions } = await store.history(of, {
      limit: pageSize, ...(before === undefined ? {} : { before: revisionOf(before) }),
    });
    return { revision: store.config.revision, since, list: versions.map((each) => shown(each, registry)) };
  };
  server.get<{ Querystring: Query }>(`${prefix}/history`, ({ query }) => page(query.before));
  for (const row of resourceRows) {
    server.get<{ Params: Record<string, string>; Querystring: Query }>(`${prefix}/${row.path}/:id/history`, ({ params, query }) =>
      page(query.before, { kind: row.kind, id: idIn(row, params, params['id'] ?? '') }));
  }
  server.get<{ Querystring: Query }>(`${prefix}/history/diff`, async ({ query: { from, to } }) => {
    if (from === undefined) throw refusalText('missing from: expected /history/diff?from=<revision>&to=<revision>', ['from'], 'nothing');
    const range = { from: revisionOf(from), to: to === undefined ? store.config.revision : revisionOf(to) };
    const found = await differences(store, range.from, range.to);
    return { ...range, list: found.map((each) => shownDifference(each, registry)) };
  });
  server.post<{ Params: { revision: string } }>(`${prefix}/history/:revision/rollback`, async (request) => {
    const to = revisionOf(request.params.revision);
    const how = wholeOptions(request, audit);
    const result = await writer.write(() => changesBackTo(to, store), { ...how, force: true });
    if (how.dryRun === true) return showDryRun(result, options);
    return {
      revision: result.revision, restored: to,
      changes: result.outcomes.map(({ row, id, outcome }) => ({ key: keyOf(row, id), outcome })),
    };
  });
}

interface Query { readonly before?: string; readonly from?: string; readonly to?: string }

async function changesBackTo(revision: number, store: Store): Promise<Change[]> {
  const now = Date.now() / 1000;
  const changes = (await differences(store, store.config.revision, revision)).flatMap(({ kind, id, from, to }): Change[] => {
    // What had an end that is over by now does not come back.
    const value = (to.expiresAt ?? Infinity) > now ? to.value : null;
    if (value === null && from.value === null) return [];
    const row = resourceRows.find((each) => each.kind === kind)!;
    return [{ row, id, make: () => value ?? undefined, ...(to.expiresAt === undefined ? {} : { expiresAt: to.expiresAt }) }];
  });
  if (changes.length === 0) throw refuse(400, `nothing to do: since revision ${revision} nothing was changed`);
  return changes;
}

function shown({ revision, kind, id, value, before, time }: Version, registry: Registry): Record<string, unknown> {
  return {
    revision, time, kind, id, outcome: outcomeOf(before, value), ...bothSides(kind, id, before, value, registry),
  };
}

function shownDifference({ kind, id, from, to }: Difference, registry: Registry): Record<string, unknown> {
  return { kind, id, outcome: outcomeOf(from.value, to.value), ...bothSides(kind, id, from.value, to.value, registry) };
}

function outcomeOf(before: Value | null, value: Value | null): string {
  return value === null ? 'deleted' : before === null ? 'created' : 'replaced';
}

function bothSides(
  kind: Version['kind'], id: string, before: Value | null, value: Value | null, registry: Registry,
): Record<string, unknown> {
  const hide = (each: Value | null): Value | null => (each === null ? null : withoutSecrets(kind, id, each, registry));
  // Of the values themselves: a changed secret is a change, too.
  return { before: hide(before), value: hide(value), changed: changedPlaces(before, value) };
}

function revisionOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw refusalText(`revision: expected a whole number, got ${JSON.stringify(text.slice(0, 32))}`, ['revision'], text.slice(0, 32));
}
