// The kinds of resources: one row each. A later kind is a row, its schema, and its rules in check.ts.
import type { JsonSchema } from '../schema.ts';
import { consumerSchema, credentialSchema, usernameSchema } from './schemas/consumer.ts';
import { globalRuleSchema } from './schemas/global-rule.ts';
import { idSchema, pairSchema } from './schemas/naming.ts';
import { pluginConfigSchema } from './schemas/plugin-config.ts';
import { pluginMetadataSchema } from './schemas/plugin-metadata.ts';
import { secretSchema } from './schemas/secret.ts';
import { serviceSchema } from './schemas/service.ts';
import { sslSchema } from './schemas/ssl.ts';
import { streamRouteSchema } from './schemas/stream-route.ts';
import { upstreamSchema } from './schemas/upstream.ts';

export type Kind =
  | 'stream_routes' | 'upstreams' | 'services' | 'consumers' | 'credentials' | 'ssls' | 'global_rules'
  | 'plugin_configs' | 'plugin_metadata' | 'secrets';

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
  /** Unix seconds at which it is taken away; absent: never. */
  readonly expiresAt?: number;
}

export interface KindRow {
  /** The word in error texts: `wrong stream route id`. */
  readonly singular: string;
  /** The name under `/schema/`. */
  readonly schemaName: string;
  readonly schema: JsonSchema;
  /** What an id of the kind looks like. */
  readonly id: JsonSchema;
  /**
   * What tells a file's items without id apart: an edit of anything else leaves their generated id as it is.
   */
  readonly identity: readonly string[];
}

export const kinds: Readonly<Record<Kind, KindRow>> = {
  stream_routes: {
    singular: 'stream route', schemaName: 'stream_route', schema: streamRouteSchema, id: idSchema,
    identity: ['server_addr', 'server_port', 'remote_addr', 'sni'],
  },
  upstreams: {
    singular: 'upstream', schemaName: 'upstream', schema: upstreamSchema, id: idSchema, identity: ['nodes', 'type'],
  },
  services: {
    singular: 'service', schemaName: 'service', schema: serviceSchema, id: idSchema,
    identity: ['upstream', 'upstream_id'],
  },
  consumers: {
    singular: 'consumer', schemaName: 'consumer', schema: consumerSchema, id: usernameSchema, identity: ['username'],
  },
  credentials: {
    singular: 'credential', schemaName: 'credential', schema: credentialSchema, id: pairSchema('consumer', 'credential'),
    identity: ['plugins'],
  },
  ssls: { singular: 'ssl', schemaName: 'ssl', schema: sslSchema, id: idSchema, identity: ['sni', 'snis', 'type'] },
  global_rules: {
    singular: 'global rule', schemaName: 'global_rule', schema: globalRuleSchema, id: idSchema, identity: ['plugins'],
  },
  plugin_configs: {
    singular: 'plugin config', schemaName: 'plugin_config', schema: pluginConfigSchema, id: idSchema,
    identity: ['plugins'],
  },
  plugin_metadata: {
    singular: 'plugin_metadata', schemaName: 'plugin_metadata', schema: pluginMetadataSchema, id: idSchema, identity: [],
  },
  secrets: {
    singular: 'secret', schemaName: 'secret', schema: secretSchema, id: pairSchema('manager', 'id'), identity: [],
  },
};

export const kindNames = Object.keys(kinds) as readonly Kind[];

export function isKind(name: string): name is Kind {
  return Object.hasOwn(kinds, name);
}
