import type { Value } from '../core/config/resource.ts';

/** Paths at which two values differ; of a new or deleted one, none. */
export function changedPlaces(before: unknown, after: unknown, at = ''): string[] {
  if (Object.is(before, after) || before === null || after === null) return at === '' || Object.is(before, after) ? [] : [at];
  if (typeof before !== 'object' || typeof after !== 'object' || Array.isArray(before) !== Array.isArray(after)) return [at];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((name) => {
    const place = at === '' ? name : `${at}.${name}`;
    const [old, now] = [(before as Value)[name], (after as Value)[name]];
    return old === undefined || now === undefined ? [place] : changedPlaces(old, now, place);
  });
}
