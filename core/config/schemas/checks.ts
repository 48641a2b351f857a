// `checks` of an upstream: how its nodes are found well or unwell. Defaults are the reference's; they stand here for
// readers, the data plane has its own list (core/upstream/check-conf.ts), and a test compares the two.
import type { JsonSchema } from '../../schema.ts';

const count = (value: number, least: number, description: string): JsonSchema => ({
  type: 'integer', minimum: least, maximum: 254, default: value, description,
});

const statuses = (value: readonly number[], description: string): JsonSchema => ({
  type: 'array', minItems: 1, maxItems: 500, items: { type: 'integer', minimum: 200, maximum: 599 }, default: value,
  description,
});

const interval = (description: string): JsonSchema => ({
  type: 'number', minimum: 1, maximum: 2147483, default: 1, description,
});

const section = (properties: Readonly<Record<string, JsonSchema>>, description: string): JsonSchema => ({
  type: 'object', additionalProperties: false, properties, description,
});

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE', 'PATCH', 'PURGE'];

const active = section({
  type: {
    type: 'string', minLength: 1, maxLength: 128, default: 'http', 'x-expected': 'http, https, tcp, or a protocol such as redis',
    description: '`tcp`: a connection. `http`, `https`: a request. `redis`: PING, after AUTH where the upstream has `auth`.',
  },
  timeout: { type: 'number', exclusiveMinimum: 0, maximum: 86400, default: 1, description: 'Seconds for one probe.' },
  concurrency: { type: 'integer', minimum: 1, maximum: 1000, default: 10, description: 'Probes at the same time.' },
  host: {
    type: 'string', minLength: 1, maxLength: 253, pattern: '^[A-Za-z0-9._-]+$', 'x-expected': 'host name or IPv4 address',
    description: 'Host header, and the name in a TLS handshake; default the node\'s own.',
  },
  port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Port to probe; default the node\'s own.' },
  http_method: { type: 'string', enum: methods, default: 'GET', description: 'Method of an HTTP probe.' },
  http_path: {
    type: 'string', minLength: 1, maxLength: 4096, pattern: '^/[\\x21-\\x7e]*$', 'x-expected': 'a path that begins with /',
    default: '/', description: 'Path of an HTTP probe.',
  },
  http_req_body: { type: 'string', maxLength: 65536, default: '', description: 'Body of an HTTP probe.' },
  https_verify_certificate: { type: 'boolean', default: true, description: 'Whether an HTTPS probe checks the certificate.' },
  req_headers: {
    type: 'array', minItems: 1, maxItems: 64, description: 'Further headers, each `Name: value`. They are never shown: one may be `Authorization`.',
    items: {
      writeOnly: true, type: 'string', minLength: 3, maxLength: 8192, pattern: '^[A-Za-z0-9!#$%&\'*+.^_`|~-]+:[^\\r\\n\\0]*$',
      'x-expected': 'Name: value',
    },
  },
  role: {
    type: 'string', enum: ['master', 'replica'],
    description: 'Of a `redis` probe: what the node must be. A primary that became a replica is unwell then.',
  },
  reply: {
    type: 'string', minLength: 1, maxLength: 512,
    description: 'Of a `redis` probe: what the answer to PING must begin with, such as `+PONG`; default: any answer but '
      + 'LOADING, MASTERDOWN and CLUSTERDOWN.',
  },
  healthy: section({
    interval: interval('Seconds between probes of a node that is used.'),
    http_statuses: statuses([200, 302], 'Statuses that are a success.'),
    successes: count(2, 1, 'Successes in a row after which an unwell node is used again.'),
  }, 'When a node is well.'),
  unhealthy: section({
    interval: interval('Seconds between probes of a node that is left out.'),
    http_statuses: statuses([429, 404, 500, 501, 502, 503, 504, 505], 'Statuses that are a failure.'),
    http_failures: count(5, 1, 'Such statuses after which it is left out.'),
    tcp_failures: count(2, 1, 'Failed connections after which it is left out.'),
    timeouts: count(3, 1, 'Probes without an answer in time after which it is left out.'),
    protocol_failures: count(2, 1, 'Answers that are not those of a node that is well (LOADING, wrong `role`) after which it is left out.'),
  }, 'When a node is unwell.'),
}, 'Probes. They begin as soon as a route uses the upstream.');

const passive = section({
  type: {
    type: 'string', enum: ['http', 'https', 'tcp'], default: 'http',
    description: 'Accepted for configurations that exist; what is observed depends on the route.',
  },
  healthy: section({
    http_statuses: statuses([200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308],
      'For HTTP; has no effect on streams.'),
    successes: count(5, 0, 'Connections made after which it is wholly well; 0: they don\'t count.'),
  }, 'When a node is well.'),
  unhealthy: section({
    http_statuses: statuses([429, 500, 503], 'For HTTP; has no effect on streams.'),
    http_failures: count(5, 0, 'For HTTP; has no effect on streams.'),
    tcp_failures: count(2, 0, 'Clients\' connections that failed after which it is left out; 0: they don\'t count.'),
    timeouts: count(7, 0, 'Connects and requests that timed out after which it is left out; 0: they don\'t count.'),
    protocol_failures: count(5, 0, 'Redis: LOADING, MASTERDOWN and CLUSTERDOWN replies to clients after which it is left out; 0: '
      + 'they don\'t count.'),
  }, 'When a node is unwell.'),
}, 'What is learnt from clients\' traffic.');

export const checksSchema: JsonSchema = {
  type: 'object', additionalProperties: false, required: ['active'],
  description: 'Health checks. Without them a node that refuses is left out at once, and probed until it is back.',
  properties: { active, passive },
};
