import type { JsonSchema } from '../../core/schema.ts';

const host: JsonSchema = {
  type: 'string', minLength: 1, maxLength: 255, pattern: '^[A-Za-z0-9._:\\[\\]-]+$',
  'x-expected': 'host name or IP address',
};
const hostPort: JsonSchema = {
  type: 'string', minLength: 3, maxLength: 262, pattern: '^[A-Za-z0-9._:\\[\\]-]+:[0-9]{1,5}$',
  'x-expected': 'host:port',
};

export const limitCountSchema: JsonSchema = {
  type: 'object', additionalProperties: false, required: ['count', 'time_window'],
  properties: {
    count: {
      type: 'integer', minimum: 1, maximum: 2_147_483_647, description: 'Requests let through per window.',
    },
    time_window: {
      type: 'integer', minimum: 1, maximum: 31_536_000, description: 'Length of the window in seconds.',
    },
    window_type: {
      type: 'string', enum: ['fixed', 'sliding'], default: 'fixed',
      description: '`fixed`: begins with the first request. `sliding`: the one before counts as far as it overlaps.',
    },
    key: {
      type: 'string', minLength: 1, maxLength: 1024, default: 'remote_addr',
      description: 'What is counted apart: a variable, a text with $variables or a constant; see `key_type`.',
    },
    key_type: {
      type: 'string', enum: ['var', 'var_combination', 'constant'], default: 'var',
      description: 'How `key` is read. A key that reads as empty counts for the client address.',
    },
    group: {
      type: 'string', minLength: 1, maxLength: 100,
      description: 'Places with the same group share their counts; all must be configured alike.',
    },
    rejected_msg: {
      type: 'string', minLength: 1, maxLength: 1024,
      description: 'Text of the error; default `rate limit exceeded`.',
    },
    rejected_code: {
      type: 'integer', minimum: 200, maximum: 599,
      description: 'Accepted for configurations written for HTTP; other doors send the text only.',
    },
    show_limit_quota_header: {
      type: 'boolean', description: 'Accepted for configurations written for HTTP; has no effect on streams.',
    },
    policy: {
      type: 'string', enum: ['local', 'redis', 'redis-cluster'], default: 'local',
      description: 'Where counts are kept: in this process, exact over its workers, or in a Redis.',
    },
    allow_degradation: {
      type: 'boolean', default: false,
      description: 'Lets requests pass when the Redis does not answer within 50 ms; else they are refused.',
    },
    redis_host: { ...host, description: 'Host of the Redis.' },
    redis_port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Its port; default 6379.' },
    redis_username: {
      type: 'string', minLength: 1, maxLength: 512, description: 'User, if not the default one.',
    },
    redis_password: {
      type: 'string', minLength: 1, maxLength: 4096, writeOnly: true, description: 'Password.',
    },
    redis_database: { type: 'integer', minimum: 0, maximum: 1_000_000, description: 'Database; default 0.' },
    redis_timeout: {
      type: 'integer', minimum: 1, maximum: 3_600_000,
      description: 'Milliseconds to wait for the Redis; more than 50 counts as 50.',
    },
    redis_ssl: { type: 'boolean', description: 'TLS to the Redis; default false.' },
    redis_ssl_verify: { type: 'boolean', description: 'Whether its certificate is checked; default true.' },
    redis_keepalive_timeout: {
      type: 'integer', minimum: 1000, description: 'Accepted; connections are shared and stay open.',
    },
    redis_keepalive_pool: {
      type: 'integer', minimum: 1, description: 'Accepted; connections are shared and stay open.',
    },
    redis_cluster_nodes: {
      type: 'array', minItems: 1, maxItems: 100, items: hostPort, description: 'Some members of the cluster.',
    },
    redis_cluster_name: {
      type: 'string', minLength: 1, maxLength: 100, description: 'Accepted; has no effect.',
    },
    redis_cluster_ssl: { type: 'boolean', description: 'TLS to the members; default false.' },
    redis_cluster_ssl_verify: {
      type: 'boolean', description: 'Whether certificates are checked; default true.',
    },
  },
};
