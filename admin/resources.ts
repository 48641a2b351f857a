// The one table of what the Admin API serves. A new kind is a row here, and a row, a schema and rules in
// core/config.
import { idText } from '../core/config/check.ts';
import { kinds, type Kind } from '../core/config/resource.ts';
import { problem, show, type Problem } from '../core/problem.ts';
import type { Registry } from './registry.ts';
import { findByName } from './registry.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
/** What a resource may or may not answer to; anything else is unknown. */
export const methods: readonly Method[] = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE'];

export interface ResourceRow {
  readonly kind: Kind;
  /** Behind the prefix; names after a colon are parts of the id. */
  readonly path: string;
  readonly methods: readonly Method[];
  /** Where all of the kind are listed, when `path` has a part of the id in it. */
  readonly all?: string;
  /** In error texts: `wrong stream route id`. */
  readonly singular: string;
  readonly missingId: string;
  /** Checks of the id that come before those of the value. */
  readonly checkId?: (id: string, registry: Registry) => readonly Problem[];
  /** The member of the value that is its id. */
  readonly idMember: 'id' | 'username';
}

const all = methods;
const withoutPost: readonly Method[] = ['GET', 'PUT', 'PATCH', 'DELETE'];

export const resourceRows: readonly ResourceRow[] = [
  row('stream_routes', all),
  row('upstreams', all),
  row('services', all),
  { ...row('consumers', withoutPost), idMember: 'username', missingId: 'missing consumer username' },
  { ...row('credentials', withoutPost), path: 'consumers/:consumer/credentials' },
  row('ssls', all),
  row('global_rules', withoutPost),
  row('plugin_configs', withoutPost),
  {
    ...row('plugin_metadata', withoutPost),
    missingId: 'missing plugin name',
    checkId: (name, registry) => (findByName(registry.plugins(), name) === undefined
      ? [problem(['id'], 'the name of a plugin', show(name), 'invalid plugin name')] : []),
  },
  { ...row('secrets', withoutPost), path: 'secrets/:manager', all: 'secrets' },
];

function row(kind: Kind, allowed: readonly Method[]): ResourceRow {
  const { singular } = kinds[kind];
  return { kind, path: kind, methods: allowed, singular, missingId: `missing ${singular} id`, idMember: 'id' };
}

/** Where a resource is found: `/apisix/consumers/jack/credentials/1`. */
export function keyOf(row: ResourceRow, id: string): string {
  const [own = '', ...rest] = id.split('/').toReversed();
  const [outer = ''] = rest;
  return `/apisix/${row.path.replace(/:\w+/, outer)}/${rest.length > 0 ? own : id}`;
}

type Params = Readonly<Record<string, string | undefined>>;

/** What stands before the own part of ids: `jack/`; empty for most kinds, and where all are listed. */
export function outerIn(row: ResourceRow, params: Params): string {
  const name = /:(\w+)/.exec(row.path)?.[1];
  const outer = name === undefined ? undefined : params[name];
  return outer === undefined ? '' : `${outer}/`;
}

/** The id in full; empty when its own part is. */
export function idIn(row: ResourceRow, params: Params, own: string): string {
  return own === '' ? '' : outerIn(row, params) + own;
}

/** The id that a body gives itself; empty when it gives none. */
export function givenId({ idMember }: ResourceRow, body: unknown): string {
  if (typeof body !== 'object' || body === null) return '';
  const text = idText((body as Record<string, unknown>)[idMember]);
  return text.includes('/') ? text.slice(text.lastIndexOf('/') + 1) : text;
}
