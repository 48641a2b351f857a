import type { JsonSchema } from '../../schema.ts';
import { checksSchema } from './checks.ts';
import { descSchema, idSchema, labelsSchema, nameSchema, timesSchema } from './naming.ts';

/** An upstream that was checked. */
export interface UpstreamValue {
  readonly name?: string;
  readonly nodes?: Readonly<Record<string, number>> | readonly NodeValue[];
  readonly type?: 'roundrobin' | 'chash' | 'least_conn' | 'ewma' | 'none' | 'memory';
  readonly service_name?: string;
  readonly discovery_type?: string;
  readonly discovery_args?: Readonly<Record<string, string>>;
  readonly checks?: Readonly<Record<string, unknown>>;
  readonly when_all_down?: 'try' | 'refuse';
  readonly hash_on?: 'vars' | 'vars_combinations' | 'consumer';
  readonly key?: string;
  readonly retries?: number;
  readonly retry_timeout?: number;
  readonly timeout?: {
    readonly connect?: number; readonly send?: number; readonly read?: number; readonly idle?: number;
  };
  readonly keepalive_pool?: { readonly size?: number; readonly idle_timeout?: number; readonly requests?: number };
  readonly scheme?: string;
  readonly tls?: {
    readonly verify?: boolean; readonly server_name?: string; readonly ca?: string;
    readonly client_cert?: string; readonly client_key?: string; readonly client_cert_id?: string | number;
  };
  readonly auth?: { readonly username?: string; readonly password: string };
  readonly proxy_protocol?: 1 | 2;
  readonly integrity?: 'off' | 'check' | 'strict';
}

export interface NodeValue {
  readonly host: string;
  readonly port?: number;
  readonly weight: number;
  readonly priority?: number;
}

// Building a consistent hash ring of more would be felt.
const mostNodes = 1000;

// The longest time that Node's timers can wait, in seconds.
const longestSeconds = 2147483;

const seconds = (description: string): JsonSchema => ({
  type: 'number', exclusiveMinimum: 0, maximum: longestSeconds, description,
});

const pem = (description: string, secret = false): JsonSchema => ({
  type: 'string', minLength: 64, maxLength: 65536, description, ...(secret ? { writeOnly: true } : {}),
});

const weight: JsonSchema = {
  type: 'integer', minimum: 0, maximum: 1000000, description: 'Share of the traffic; 0: none.',
};

const nodesSchema: JsonSchema = {
  description: 'Where to connect: `{"host:port": weight}` or a list of objects. The port may be left out.',
  'x-expected': 'object of "host:port": weight, or array of nodes',
  oneOf: [
    { type: 'object', additionalProperties: weight, maxProperties: mostNodes },
    {
      type: 'array', maxItems: mostNodes,
      items: {
        type: 'object', required: ['host', 'weight'], additionalProperties: false,
        properties: {
          host: {
            type: 'string', minLength: 1, maxLength: 255, pattern: '^([A-Za-z0-9._:\\[\\]-]+|unix:/[^\\x00-\\x1f]+)$',
            'x-expected': 'host name, IP address, or unix:/path',
            description: 'Host name or address, IPv6 in brackets; or `unix:/path` of a Unix socket.',
          },
          port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Port; default that of the protocol.' },
          weight,
          priority: {
            type: 'integer', minimum: -1000000, maximum: 1000000,
            description: 'Higher first (default 0); lower ones only when all higher ones are down or tried.',
          },
          metadata: { type: 'object', description: 'Kept and shown; has no effect.' },
        },
      },
    },
  ],
};

const tlsSchema: JsonSchema = {
  type: 'object', additionalProperties: false, description: 'TLS towards the nodes, with `scheme: tls`.',
  dependencies: { client_cert: ['client_key'], client_key: ['client_cert'] },
  properties: {
    verify: { type: 'boolean', description: 'Whether the certificate of the node is checked; default true.' },
    server_name: {
      type: 'string', minLength: 1, maxLength: 253, description: 'Name to ask for and to check.',
    },
    ca: pem('Certificates (PEM) to check the node by, instead of those of the system.'),
    client_cert: pem('Certificate (PEM) that we show.'),
    client_key: pem('Its private key (PEM).', true),
    client_cert_id: {
      ...idSchema, description: 'Instead of the two: one of `ssls` whose `type` is `client`.',
    },
  },
};

export const upstreamSchema: JsonSchema = {
  type: 'object', additionalProperties: false,
  properties: {
    id: idSchema, name: nameSchema, desc: descSchema, labels: labelsSchema, ...timesSchema,
    nodes: nodesSchema,
    type: {
      type: 'string', enum: ['roundrobin', 'chash', 'least_conn', 'ewma', 'none', 'memory'],
      description: 'How a node is chosen; default `roundrobin`, which `none` means, too. '
        + '`memory`: the embedded demo server, which needs no nodes.',
    },
    hash_on: {
      type: 'string', enum: ['vars', 'vars_combinations', 'consumer', 'header', 'cookie'],
      description: 'What `chash` goes by: the variable that `key` names (default), `key` as a text with variables in it, or '
        + 'the user that the client is. `header` and `cookie` are for HTTP: streams go by the client\'s address then.',
    },
    key: {
      type: 'string', minLength: 1, maxLength: 1024,
      description: 'What `chash` hashes, for example `remote_addr`.',
    },
    retries: {
      type: 'integer', minimum: 0, maximum: 255, description: 'Further nodes to try; default all others.',
    },
    retry_timeout: {
      type: 'number', minimum: 0, maximum: longestSeconds,
      description: 'Seconds after which no other node is tried; 0: no limit.',
    },
    timeout: {
      type: 'object', additionalProperties: false, description: 'Seconds; each may be left out.',
      properties: {
        connect: seconds('For connecting.'), send: seconds('For writing a request.'),
        read: seconds(
          'From a request to its reply.'), idle: seconds('Without any byte on a plain TCP connection.',
        ),
      },
    },
    keepalive_pool: {
      type: 'object', additionalProperties: false, description: 'Connections that one client has for itself.',
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 65535, description: 'Most per node.' },
        idle_timeout: {
          type: 'number', minimum: 0, maximum: longestSeconds,
          description: 'Seconds unused before it is closed.',
        },
        requests: { type: 'integer', minimum: 1, description: 'Uses before it is closed.' },
      },
    },
    scheme: {
      type: 'string', enum: ['tcp', 'tls', 'udp', 'http', 'https', 'grpc', 'grpcs', 'kafka'],
      description: '`tls`: TLS towards the nodes. All others are plain on streams; those of HTTP are accepted because '
        + 'upstreams may be shared with other gateways.',
    },
    proxy_protocol: {
      type: 'integer', enum: [1, 2],
      description: 'Nodes are told who the client is, by a PROXY header of this version. On plain TCP routes: elsewhere clients share connections.',
    },
    integrity: {
      type: 'string', enum: ['off', 'check', 'strict'],
      description: 'Whether shared connections prove that replies are in step with requests, by a random token among '
        + 'them. `check`: one in 64 requests, the connection is closed on a mismatch. `strict`: replies reach '
        + 'clients only when the token behind them came back. A reply too many or too few shows, two that were exchanged '
        + 'do not.',
    },
    tls: tlsSchema,
    auth: {
      type: 'object', additionalProperties: false, required: ['password'],
      description: 'How we log in at the nodes.',
      properties: {
        username: {
          type: 'string', minLength: 1, maxLength: 512, description: 'User, if not the default one.',
        },
        password: {
          type: 'string', minLength: 1, maxLength: 4096, writeOnly: true, description: 'Password.',
        },
      },
    },
    pass_host: {
      type: 'string', enum: ['pass', 'node', 'rewrite'], description: 'For HTTP; has no effect on streams.',
    },
    upstream_host: { type: 'string', maxLength: 253, description: 'For HTTP; has no effect on streams.' },
    checks: checksSchema,
    when_all_down: {
      type: 'string', enum: ['try', 'refuse'],
      description: 'When no node is well: `try` uses all of them again and logs it (default with `checks`), `refuse` answers '
        + 'with an error at once (default without).',
    },
    service_name: {
      type: 'string', minLength: 1, maxLength: 256, pattern: '^[\\x21-\\x7e]+$', 'x-expected': 'a name without spaces',
      description: 'Instead of `nodes`: what to ask for at `discovery_type`.',
    },
    discovery_type: {
      type: 'string', minLength: 1, maxLength: 128, 'x-expected': 'dns, file, or what was added',
      description: 'Who knows the nodes of `service_name`: `dns` or `file`.',
    },
    discovery_args: {
      type: 'object', maxProperties: 16, additionalProperties: { type: 'string', maxLength: 256 },
      description: 'Further words for it; `dns` and `file` need none.',
    },
  },
};
