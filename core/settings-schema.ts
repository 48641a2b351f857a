// The static settings: every key, its default and what it means. The documentation's tables are made from
// this.
import type { JsonSchema } from './schema.ts';
import { adminKeysSchema } from './settings-admin.ts';

const port: JsonSchema = { type: 'integer', minimum: 1, maximum: 65535 };
const path: JsonSchema = { type: 'string', minLength: 1, maxLength: 4096 };

const whole = (value: number, minimum: number, description: string): JsonSchema => ({
  type: 'integer', minimum, maximum: Number.MAX_SAFE_INTEGER, default: value, description,
});
// Node's timers wait at most 2^31 ms.
const seconds = (value: number, description: string, minimum = 0.001): JsonSchema => ({
  type: 'number', minimum, maximum: 2147483, default: value, description,
});

type Properties = Readonly<Record<string, JsonSchema>>;

const object = (properties: Properties, description: string, rest: JsonSchema = {}): JsonSchema => ({
  type: 'object', additionalProperties: false, properties, description, ...rest,
});
/** An object that exists with its defaults when it is left out. */
const section = (properties: Properties, description: string): JsonSchema =>
  object(properties, description, { default: {} });

const certificate: Readonly<Record<string, JsonSchema>> = {
  cert: { ...path, description: 'File with the certificate chain (PEM).' },
  key: { ...path, description: 'File with the private key (PEM).' },
};

const tls = object({
  ...certificate,
  certificates: {
    type: 'array', minItems: 1, maxItems: 1000,
    description: 'Certificates by server name; one without `sni` is for all others.',
    items: object({
      sni: {
        type: 'string', minLength: 1, maxLength: 253, description: 'Server name, `*.` in front for any host.',
      },
      ...certificate,
    }, 'One certificate.', { required: ['cert', 'key'] }),
  },
  min_version: {
    type: 'string', enum: ['TLSv1.2', 'TLSv1.3'], default: 'TLSv1.2', description: 'Oldest TLS version that is spoken.',
  },
  max_version: {
    type: 'string', enum: ['TLSv1.2', 'TLSv1.3'], default: 'TLSv1.3', description: 'Newest TLS version that is spoken.',
  },
  ciphers: {
    type: 'string', minLength: 1, maxLength: 4096, description: 'Cipher list in the notation of OpenSSL; default that of Node.js.',
  },
  fallback_sni: {
    type: 'string', pattern: '^[A-Za-z0-9._-]{1,253}$', 'x-expected': 'host name',
    description: 'Server name that stands for none: for clients that send no name.',
  },
}, 'TLS with the certificates of `ssls`, with one from files (`cert`, `key`) or several (`certificates`).', {
  dependencies: { cert: ['key'], key: ['cert'] },
});

const mib = 1024 ** 2;

const limits = section({
  inline_bytes: whole(64 * 1024, 64, 'Longest inline command line.'),
  unauthenticated_arguments: whole(
    10, 1, 'Arguments of one command before the client logged in, where it must.',
  ),
  unauthenticated_bulk_bytes: whole(
    16 * 1024, 64, 'Longest argument before the client logged in, where it must.',
  ),
  unauthenticated_unsent_bytes: whole(
    1024, 1, 'Unsent replies before the client logged in, where it must: it is not read, and closed a second later.',
  ),
  bulk_bytes: whole(512 * mib, 1024, 'Longest argument or value.'),
  arguments: whole(1048576, 1, 'Arguments of one command.'),
  request_bytes: whole(
    64 * mib, 1024, 'Request in assembly per client; beyond it the client is not read until there is room.',
  ),
  stream_from_bytes: whole(mib, 1024, 'A value that long is passed on as it arrives, never assembled.'),
  reply_nesting: whole(128, 1, 'Levels of nested arrays in a reply.'),
  pipelined_requests: whole(1024, 1, 'Requests of one client under way; beyond it the client is not read.'),
  reply_window_bytes: whole(
    512 * 1024, 1024, 'Replies of one client that may be on their way on an upstream connection that it shares, '
      + 'judged by the size of its last ones; beyond it the client is not read. One request may always be under way.',
  ),
  unsent_reply_pause_bytes: whole(mib, 1024, 'Unsent replies of one client after which it is not read.'),
  unsent_reply_close_bytes: whole(64 * mib, 1024, 'Unsent replies of one client after which it is closed.'),
  slow_client_s: seconds(60, 'Seconds that a client may stay over `unsent_reply_pause_bytes` and take nothing.'),
  buffered_bytes: whole(
    256 * mib, mib, 'What all clients of a worker leave unsent and unfinished; beyond it the largest are closed.',
  ),
  memory_bytes: whole(
    0, 0, 'What the process may use; 0: what the machine or container has. At 80 % new clients are refused, at 90 % '
      + 'those that hold most are closed.',
  ),
  link_pending_bytes: whole(8 * mib, 1024, 'Bytes waiting to be written to one upstream connection.'),
  link_spent_slots: whole(
    100, 1, 'Requests given up on one upstream connection whose replies still come; beyond it, it is closed.',
  ),
  own_links_per_node: whole(256, 1, 'Upstream connections per node that belong to one client each.'),
  own_link_wait_s: seconds(1, 'Seconds to wait for such a connection.'),
  clients_per_listener: whole(10000, 1, 'Connections per listener.'),
  clients_per_address: whole(1000, 1, 'Connections per client address, or IPv6 /64.'),
  auth_failures_per_minute: whole(
    10, 1, 'Failed log-ins per client address, or IPv6 /64, and minute; from then on each closes its connection.',
  ),
  request_timeout_s: seconds(
    60, 'Seconds from a request to its reply; blocking commands have their own time in addition.',
  ),
  connect_timeout_s: seconds(2, 'Seconds to connect to an upstream node.'),
  tls_handshake_timeout_s: seconds(10, 'Seconds for a TLS handshake.'),
  client_idle_timeout_s: seconds(0, 'Seconds after which a silent client is closed; 0: never.', 0),
}, 'Limits on everything that comes from outside. Sizes in bytes, times in seconds.');

export const settingsSchema: JsonSchema = object({
  listeners: {
    type: 'array', maxItems: 1000, description: 'Where clients connect.',
    default: [{ address: '127.0.0.1', port: 9101, protocol: 'redis' }],
    items: object({
      address: {
        type: 'string', format: 'ip', default: '127.0.0.1',
        description: 'Local address; 0.0.0.0 or :: for all.',
      },
      port: { ...port, description: 'Port; or `unix`.' },
      unix: { ...path, description: 'Unix socket instead of address and port: absolute path of its file.' },
      mode: {
        type: 'string', pattern: '^0?[0-7]{3}$', 'x-expected': 'octal digits in quotes, such as "0660"',
        description: 'Rights of that file; default `0660`: who is not Millrace\'s user or in its group cannot connect.',
      },
      protocol: {
        type: 'string', minLength: 1, maxLength: 128,
        description: 'Protocol of the default route, used where no stream route matches.',
      },
      transport: {
        type: 'string', enum: ['tcp', 'udp'],
        description: 'Default `tcp`. With `udp`, the datagrams of one client are a session, for stream routes without `protocol`.',
      },
      proxy_protocol: {
        type: 'object', additionalProperties: false, required: ['trusted'],
        description: 'Balancers stand in front, which say with a PROXY header (version 1 or 2) who the client is.',
        properties: {
          trusted: {
            type: 'array', minItems: 1, maxItems: 256,
            items: { 'x-expected': 'IP address, CIDR or unix:', anyOf: [{ type: 'string', format: 'cidr' }, { const: 'unix:' }] },
            description: 'Their addresses or networks (CIDR); `unix:` for whoever connects to a Unix socket. They must send the header; connections from elsewhere are closed.',
          },
        },
      },
      tls,
    }, 'One listener.'),
  },
  stream_ports: section({
    open: {
      type: 'boolean', default: true,
      description: 'Whether a stream route opens its `server_port` if nobody listens there.',
    },
    range: {
      type: 'string', pattern: '^\\d{1,5}-\\d{1,5}$', 'x-expected': 'a port range such as 1024-65535',
      default: '1024-65535', description: 'Ports that may be opened so.',
    },
    address: {
      type: 'string', format: 'ip', default: '127.0.0.1', description: 'Local address of ports opened so.',
    },
  }, 'Listeners opened by stream routes.'),
  workers: {
    'x-expected': '1..256 or "auto"', default: 'auto',
    description: 'Worker threads; `auto`: one per processor core.',
    anyOf: [{ type: 'integer', minimum: 1, maximum: 256 }, { const: 'auto' }],
  },
  admin: section({
    address: {
      type: 'string', format: 'ip', default: '127.0.0.1', description: 'Local address of the Admin API.',
    },
    port: { ...port, default: 9180, description: 'Port of the Admin API.' },
    allow_remote: {
      type: 'boolean', default: false, description: 'Needed for an address other than loopback.',
    },
    key: {
      type: 'string', minLength: 16, maxLength: 1024, writeOnly: true,
      description: 'Admin key; without it, the one in `key_file`.',
    },
    key_file: {
      ...path, default: 'data/admin.key',
      description: 'File with the admin key; made at the first start, unless `keys` has one for everything and for ever.',
    },
    keys: adminKeysSchema,
    tls: object({
      ...certificate,
      client_ca: { ...path, description: 'File with certificates (PEM): clients must show one that these have signed.' },
    }, 'HTTPS instead of HTTP. The files are read again when they change.', { required: ['cert', 'key'] }),
    allow: {
      type: 'array', minItems: 1, maxItems: 1000, items: { type: 'string', format: 'cidr' },
      description: 'Addresses and networks (CIDR) that may ask anything at all, health and metrics too. Default: all.',
    },
    api: {
      type: 'boolean', default: true,
      description: '`false`: the port has health and metrics only, and resources come from files or from a store that others write.',
    },
    standalone: {
      type: 'boolean', default: false,
      description: 'Resources live in memory only and come as a whole: `PUT /apisix/admin/configs`.',
    },
    body_limit_bytes: whole(1572864, 1024, 'Largest request body.'),
  }, 'The Admin API.'),
  store: section({
    path: { ...path, default: 'data/millrace.db', description: 'File of the embedded store.' },
    key_file: {
      ...path,
      description: 'File with the key that values in the store are sealed with; made at the first start. Default: `path` with `.key` behind it.',
    },
    max_bytes: whole(1024 ** 3, 65536, 'Size beyond which the store refuses writes.'),
    etcd: {
      type: 'object', additionalProperties: false, required: ['endpoints'],
      description: 'Keeps resources in etcd instead, which several Millrace nodes share.',
      properties: {
        endpoints: {
          type: 'array', minItems: 1, maxItems: 16, description: 'Where it answers, for example `http://127.0.0.1:2379`.',
          items: { type: 'string', pattern: '^https?://[^/@]+$', 'x-expected': 'http://host:port or https://host:port' },
        },
        prefix: {
          type: 'string', pattern: '^(/[A-Za-z0-9._-]+)+$', 'x-expected': 'path such as /millrace', default: '/millrace',
          description: 'Before all keys.',
        },
        username: { type: 'string', minLength: 1, maxLength: 256, description: 'User, where etcd asks for one.' },
        password: { type: 'string', minLength: 1, maxLength: 1024, writeOnly: true, description: 'Its password.' },
        timeout_s: { type: 'number', exclusiveMinimum: 0, maximum: 60, default: 5, description: 'Seconds for an answer.' },
        snapshot: { ...path, default: 'data/etcd-snapshot.json', description: 'File with the last configuration that was seen.' },
        tls: {
          type: 'object', additionalProperties: false, description: 'For `https` endpoints.',
          properties: {
            verify: { type: 'boolean', default: true, description: 'Whether the certificate is checked.' },
            ca: { ...path, description: 'File with the certificates to check it by, instead of those of the system.' },
            cert: { ...path, description: 'File with the certificate that we show.' },
            key: { ...path, description: 'File with its private key.' },
          },
        },
      },
    },
  }, 'Where the Admin API keeps resources.'),
  dns: section({
    servers: {
      type: 'array', maxItems: 8, default: [],
      items: {
        type: 'string', pattern: '^(\\d{1,3}(\\.\\d{1,3}){3}|\\[[0-9A-Fa-f:.]+\\])(:\\d{1,5})?$|^[0-9A-Fa-f:.]+$',
        'x-expected': 'address or address:port',
      },
      description: 'Name servers, each `address` or `address:port`. With none, host names are looked up as the system does '
        + '(with /etc/hosts), and services at the system\'s name servers.',
    },
    timeout_s: seconds(2, 'Seconds for one question to one name server.'),
    refresh_s: seconds(30, 'Most seconds that an answer is used without asking again, also where nobody says how long it holds.'),
    min_ttl_s: seconds(1, 'Least seconds that an answer is used, whatever it says.'),
    negative_ttl_s: seconds(1, 'Seconds after a failed or empty answer until the name is asked again; doubled each time, up to `refresh_s`.'),
  }, 'How names of nodes and services are looked up.'),
  discovery: section({
    file: { ...path, description: 'YAML or JSON file with the nodes of services, for `discovery_type: file`. It is watched.' },
  }, 'Where services are found.'),
  targets: section({
    allow: {
      type: 'array', maxItems: 1000, items: { type: 'string', format: 'cidr' }, default: [],
      description: 'Addresses and networks (CIDR) that are never refused.',
    },
    refuse: {
      type: 'array', maxItems: 1000, items: { type: 'string', format: 'cidr' }, default: [],
      description: 'Further addresses and networks (CIDR) that are refused, but for those in `allow`.',
    },
  }, 'Where connections to nodes, in health checks, to log sinks and to stores of plugins may lead. Link-local addresses, those of '
    + 'cloud metadata, and the Admin API are refused.'),
  resources: {
    'x-expected': 'path or list of paths', anyOf: [path, { type: 'array', items: path, minItems: 1, maxItems: 1000 }],
    description: 'Resources file (YAML or JSON) that is watched, or a folder of such files, or several of both.',
  },
  plugins: {
    type: 'array', items: path, maxItems: 100, default: [], description: 'Folders with plugins of your own.',
  },
  protocols: {
    type: 'array', items: path, maxItems: 100, default: [],
    description: 'Folders with protocols of your own.',
  },
  log: section({
    level: {
      type: 'string', enum: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], default: 'info',
      description: 'Least level that is logged.',
    },
    file: { ...path, description: 'File to log to instead of standard error; reopened on SIGHUP.' },
  }, 'The log.'),
  limits,
  drain_timeout_s: seconds(30, 'Seconds that open connections have to end when Millrace stops.'),
}, 'Static settings of one Millrace process.');
