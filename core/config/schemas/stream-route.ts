import type { JsonSchema } from '../../schema.ts';
import { descSchema, idSchema, labelsSchema, nameSchema, timesSchema } from './naming.ts';
import { pluginsSchema, type PluginConfs } from './plugins.ts';
import { upstreamSchema, type UpstreamValue } from './upstream.ts';

/** A stream route that was checked. */
export interface StreamRouteValue {
  readonly name?: string;
  readonly desc?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly remote_addr?: string;
  readonly server_addr?: string;
  readonly server_port?: number;
  readonly sni?: string;
  readonly upstream?: UpstreamValue;
  readonly upstream_id?: string | number;
  readonly service_id?: string | number;
  readonly plugin_config_id?: string | number;
  readonly plugins?: PluginConfs;
  readonly protocol?: {
    readonly name: string;
    readonly conf?: Readonly<Record<string, unknown>>;
    readonly logger?: readonly LoggerValue[];
    readonly superior_id?: string | number;
    readonly metric?: { readonly enable?: boolean };
  };
  readonly status?: 0 | 1;
  readonly priority?: number;
}

export interface LoggerValue {
  readonly name: string;
  readonly filter?: readonly unknown[];
  readonly conf?: Readonly<Record<string, unknown>>;
}

const address: JsonSchema = {
  type: 'string', minLength: 1, maxLength: 64, 'x-expected': 'IPv4 or IPv6 address or CIDR',
};

const loggerSchema: JsonSchema = {
  type: 'object', required: ['name'], additionalProperties: false,
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 128, description: 'Plugin whose log hook runs.' },
    filter: {
      type: 'array', description: 'Expression over request variables; empty or absent: every request.',
    },
    conf: { type: 'object', description: 'Configuration of that plugin.' },
  },
};

const protocolSchema: JsonSchema = {
  type: 'object', required: ['name'], additionalProperties: false,
  description: 'What is spoken on the connection; without it bytes are passed as they are.',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 128, description: 'Protocol, for example `redis`.' },
    conf: { type: 'object', description: 'Configuration of the protocol.' },
    logger: {
      type: 'array', items: loggerSchema, maxItems: 32, description: 'Logs of this route, in order.',
    },
    superior_id: {
      ...idSchema,
      description: 'Makes this a subordinate of another route of the same protocol: that one chooses.',
    },
    metric: {
      type: 'object', additionalProperties: false, description: 'Metrics of the protocol.',
      properties: {
        enable: { type: 'boolean', description: 'Whether requests of this route are measured.' },
      },
    },
  },
};

export const streamRouteSchema: JsonSchema = {
  type: 'object', additionalProperties: false,
  properties: {
    id: idSchema, name: nameSchema, desc: descSchema, labels: labelsSchema, ...timesSchema,
    remote_addr: { ...address, description: 'Clients that the route is for: address or CIDR.' },
    server_addr: {
      ...address, maxLength: 112, 'x-expected': 'IPv4 or IPv6 address, CIDR or unix:/path',
      description: 'Addresses of ours that the client connected to: address, CIDR, or `unix:/path` of a listener.',
    },
    server_port: {
      type: 'integer', minimum: 1, maximum: 65535, description: 'Port of ours that the client connected to.',
    },
    sni: {
      type: 'string', minLength: 1, maxLength: 253, pattern: '^(\\*|\\*?[A-Za-z0-9._:\\[\\]-]+)$',
      'x-expected': 'host name, *.host name or *',
      description: 'TLS server name; `*.` in front stands for any host.',
    },
    upstream: { ...upstreamSchema, description: 'Where requests go; wins over `upstream_id`.' },
    upstream_id: { ...idSchema, description: 'Upstream resource where requests go.' },
    service_id: { ...idSchema, description: 'Service whose plugins and upstream it uses where it has none of its own.' },
    plugin_config_id: { ...idSchema, description: 'Plugin config whose plugins it uses where it has none of its own.' },
    plugins: pluginsSchema('Plugin name → its configuration.'),
    protocol: protocolSchema,
    status: { type: 'integer', enum: [0, 1], description: '1 (default): in use; 0: kept, but not matched.' },
    priority: {
      type: 'integer', minimum: -1000000, maximum: 1000000,
      description: 'Among routes that match equally well the higher one is taken; default 0.',
    },
  },
};
