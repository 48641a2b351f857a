// What the `insight` plugin found, of each route and of all workers together.
import type { FastifyInstance } from 'fastify';
import type { Plane } from '../core/plane.ts';

interface Slow { readonly took: number }
interface Hot { readonly key: string; readonly count: number; readonly error: number }
interface Big { readonly command: string; readonly key: string; readonly direction: string; readonly bytes: number }

/** What a place of the plugin says of itself. */
interface Found {
  readonly top: number;
  readonly slow_entries: number;
  readonly observed: number;
  readonly slow_total: number;
  readonly keys_counted: number;
  readonly slow: readonly Slow[];
  readonly hot_keys: readonly Hot[];
  readonly big_values: readonly Big[];
}

export function addInsightRoutes(server: FastifyInstance, prefix: string, plane: Pick<Plane, 'status'>): void {
  server.get<{ Querystring: { route?: unknown } }>(`${prefix}/insight`, async ({ query: { route } }) => {
    const places = (await plane.status()).flatMap((each) => each.places)
      // One that failed to say anything has an error only.
      .filter(({ plugin, status, route: id }) => plugin === 'insight' && Array.isArray(status['slow'])
        && (typeof route !== 'string' || id === route));
    const list = [...Map.groupBy(places, (place) => place.route)]
      .map(([id, ofRoute]) => ({ route: id, ...joined(ofRoute.map(({ status, worker }) => ({ worker, found: status as unknown as Found }))) }));
    return { total: list.length, list };
  });
}

interface Part { readonly worker: number; readonly found: Found }

function joined(parts: readonly Part[]): object {
  const sum = (count: (found: Found) => number): number => tenths(parts.reduce((total, { found }) => total + count(found), 0));
  const counted = sum((found) => found.keys_counted);
  const { top, slow_entries: slowEntries } = parts[0]!.found;
  const slow = parts.flatMap(({ worker, found }) => found.slow.map((each) => ({ ...each, worker })));
  return {
    workers: parts.map(({ worker }) => worker),
    observed: sum((found) => found.observed), slow_total: sum((found) => found.slow_total), keys_counted: counted,
    slow: slow.toSorted((a, b) => b.took - a.took).slice(0, slowEntries),
    hot_keys: hottest(parts).slice(0, top).map((each) => ({ ...each, share: counted === 0 ? 0 : Math.round(each.count / counted * 1000) / 1000 })),
    big_values: biggest(parts).slice(0, top),
  };
}

function hottest(parts: readonly Part[]): Hot[] {
  const byKey = Map.groupBy(parts.flatMap(({ found }) => found.hot_keys), ({ key }) => key);
  const all = [...byKey].map(([key, counts]) => ({
    key, count: tenths(counts.reduce((sum, { count }) => sum + count, 0)), error: tenths(counts.reduce((sum, { error }) => sum + error, 0)),
  }));
  return all.toSorted((a, b) => b.count - a.count);
}

/** The biggest of each command and key. */
function biggest(parts: readonly Part[]): Big[] {
  const all = parts.flatMap(({ found }) => found.big_values).toSorted((a, b) => b.bytes - a.bytes);
  const first = Map.groupBy(all, ({ direction, command, key }) => `${direction} ${command} ${key}`);
  return [...first.values()].map(([each]) => each!);
}

// Sums of tenths are not tenths otherwise.
function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
