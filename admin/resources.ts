// The one table of what the Admin API serves. A new kind is a row here, and a row, a schema and rules in
// core/config.
import { kinds, type Kind } from '../core/config/resource.ts';
import type { Registry } from './registry.ts';
import { findByName } from './registry.ts';
import { refusalText, type Refusal } from './refusal.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
/** What a resource may or may not answer to; anything else is unknown. */
export const methods: readonly Method[] = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE'];

export interface ResourceRow {
  readonly kind: Kind;
  /** Behind the prefix, and in keys: `/apisix/<path>/<id>`. */
  readonly path: string;
  readonly methods: readonly Method[];
  /** In error texts: `wrong stream route id`. */
  readonly singular: string;
  readonly missingId: string;
  /** Checks of the id that come before those of the value. */
  readonly checkId?: (id: string, registry: Registry) => Refusal | null;
}

export const resourceRows: readonly ResourceRow[] = [
  row('stream_routes', ['GET', 'PUT', 'POST', 'DELETE']),
  row('upstreams', ['GET', 'PUT', 'POST', 'DELETE']),
  row('services', ['GET', 'PUT', 'POST', 'DELETE']),
  row('ssls', ['GET', 'PUT', 'POST', 'DELETE']),
  row('global_rules', ['GET', 'PUT', 'DELETE']),
  row('plugin_configs', ['GET', 'PUT', 'DELETE']),
  {
    ...row('plugin_metadata', ['GET', 'PUT', 'DELETE']),
    missingId: 'missing plugin name',
    checkId: (name, registry) => (findByName(registry.plugins(), name) === undefined
      ? refusalText('invalid plugin name', ['id'], JSON.stringify(name.slice(0, 128))) : null),
  },
];

function row(kind: Kind, allowed: readonly Method[]): ResourceRow {
  const { singular } = kinds[kind];
  return { kind, path: kind, methods: allowed, singular, missingId: `missing ${singular} id` };
}
