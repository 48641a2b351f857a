// What a list of resources shows of all there are: filters first, then a page.
import { RE2JS } from 're2js';
import { idText } from '../core/config/check.ts';
import type { Resource } from '../core/config/resource.ts';
import { Refusal, refusalText } from './refusal.ts';

export type Query = Readonly<Record<string, unknown>>;

/** Throws a Refusal when a filter or the page cannot be read. */
export function select(resources: readonly Resource[], query: Query): { total: number; page: readonly Resource[] } {
  const filters = [byName(query['name']), byLabel(query['label']), byFields(query['filter'])];
  const matching = resources.filter((resource) => filters.every((fits) => fits(resource)));
  // Those of the file count for themselves, so they come last.
  const ordered = matching.toSorted((a, b) =>
    Number(a.origin === 'file') - Number(b.origin === 'file') || a.createdIndex - b.createdIndex);
  return { total: ordered.length, page: pageOf(ordered, query) };
}

type Filter = (resource: Resource) => boolean;
const everything: Filter = () => true;

/** A regular expression, searched in names; what has no name does not match. */
function byName(pattern: unknown): Filter {
  if (typeof pattern !== 'string' || pattern === '') return everything;
  let compiled: RE2JS;
  try {
    if (pattern.length > 1000) throw new Error('it is longer than 1000 characters');
    compiled = RE2JS.compile(pattern);
  } catch (error) {
    throw refusalText(`name: expected a regular expression, ${(error as Error).message}`, ['name'], pattern.slice(0, 64));
  }
  return ({ value }) => typeof value['name'] === 'string' && compiled.matcher(value['name']).find();
}

/** A label's key, `key:value` or `key=value`; several with commas, of which one is enough. */
function byLabel(text: unknown): Filter {
  if (typeof text !== 'string' || text === '') return everything;
  const wanted = text.split(',').map((each) => /^([^:=]*)(?:[:=](.*))?$/s.exec(each)!.slice(1));
  return ({ value }) => {
    const labels = (value['labels'] ?? {}) as Readonly<Record<string, unknown>>;
    return wanted.some(([key = '', expected]) =>
      Object.hasOwn(labels, key) && (expected === undefined || labels[key] === expected));
  };
}

const filterable = ['service_id', 'upstream_id'];

/** `service_id=1&upstream_id=2`; other fields are ignored. */
function byFields(text: unknown): Filter {
  if (typeof text !== 'string' || text === '') return everything;
  const wanted = [...new URLSearchParams(text)].filter(([name]) => filterable.includes(name));
  return ({ value }) => wanted.every(([name, expected]) => idText(value[name]) === expected);
}

// The reference pages only when both are numbers.
function pageOf(all: readonly Resource[], query: Query): readonly Resource[] {
  const [number, size] = [query['page'], query['page_size']].map(
    (text) => (typeof text === 'string' && /^-?\d{1,9}$/.test(text) ? Number(text) : Number.NaN));
  if (number === undefined || size === undefined || Number.isNaN(number) || Number.isNaN(size)) return all;
  if (size < 10 || size > 500) throw new Refusal(400, 'page_size must be between 10 and 500');
  const first = (Math.max(1, number) - 1) * size;
  return all.slice(first, first + size);
}
