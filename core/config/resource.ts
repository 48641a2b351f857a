// The kinds of resources: one row each. A later kind is a row, its schema, and its rules in check.ts.
import type { JsonSchema } from '../schema.ts';
import { pluginMetadataSchema } from './schemas/plugin-metadata.ts';
import { streamRouteSchema } from './schemas/stream-route.ts';
import { upstreamSchema } from './schemas/upstream.ts';

export type Kind = 'stream_routes' | 'upstreams' | 'plugin_metadata';

/** A resource's value: what was sent, without id and times. */
export type Value = Readonly<Record<string, unknown>>;

/** Plain data; frozen where it is made, posted to workers as it is. */
export interface Resource {
  readonly kind: Kind;
  readonly id: string;
  readonly value: Value;
  readonly origin: 'store' | 'file';
  /** The source's revision at which it was created, and last changed. Comparable within one origin only. */
  readonly createdIndex: number;
  readonly modifiedIndex: number;
  /** Unix seconds; only the store knows them. */
  readonly createTime?: number;
  readonly updateTime?: number;
}

export interface KindRow {
  /** The word in error texts: `wrong stream route id`. */
  readonly singular: string;
  /** The name under `/schema/`. */
  readonly schemaName: string;
  readonly schema: JsonSchema;
  /**
   * What tells a file's items without id apart: an edit of anything else leaves their generated id as it is.
   */
  readonly identity: readonly string[];
}

export const kinds: Readonly<Record<Kind, KindRow>> = {
  stream_routes: {
    singular: 'stream route', schemaName: 'stream_route', schema: streamRouteSchema,
    identity: ['server_addr', 'server_port', 'remote_addr', 'sni'],
  },
  upstreams: {
    singular: 'upstream', schemaName: 'upstream', schema: upstreamSchema, identity: ['nodes', 'type'],
  },
  plugin_metadata: {
    singular: 'plugin_metadata', schemaName: 'plugin_metadata', schema: pluginMetadataSchema, identity: [],
  },
};

export const kindNames = Object.keys(kinds) as readonly Kind[];

export function isKind(name: string): name is Kind {
  return Object.hasOwn(kinds, name);
}
