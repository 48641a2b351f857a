// What waits in places that send records somewhere, asked when somebody reads the page.
import { labelText, type FamilySnapshot, type SeriesSnapshot } from './metrics.ts';
import type { Place } from './plan.ts';
import type { Hooks } from './plugin.ts';

/** The page must stay readable. */
const mostPlaces = 1000;

export function waitingRecords(places: readonly (readonly [route: string, place: Place])[]): FamilySnapshot {
  const series = new Map<string, SeriesSnapshot>();
  for (const [route, { plugin, hooks }] of places) {
    if (hooks.waiting === undefined) continue;
    const labels = { name: plugin, route_id: route };
    const id = labelText(labels);
    const known = series.get(id);
    if (known !== undefined) known.value += countOf(hooks);
    else if (series.size < mostPlaces) series.set(id, { id, labels, value: countOf(hooks) });
  }
  return {
    name: 'apisix_batch_process_entries', help: 'Records that wait to be sent.', type: 'gauge', bounds: [], merge: 'sum',
    series: [...series.values()],
  };
}

function countOf(hooks: Hooks): number {
  try {
    return hooks.waiting!();
  } catch {
    // A plugin that cannot say it must not cost the page.
    return 0;
  }
}
