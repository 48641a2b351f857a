// Records as messages of a Kafka topic, configured as APISIX's plugin of this name is.
import { definePlugin } from '../core/plugin.ts';
import type { JsonSchema } from '../core/schema.ts';
import { missingPackages } from './logger/optional-package.ts';
import { checkTarget } from './logger/targets.ts';
import { KafkaSink, type KafkaOptions } from './kafka-logger/sink.ts';
import { presetLogger, type PresetConf } from './logger/preset.ts';

interface Sasl {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
  readonly user: string;
  readonly password: string;
}

interface Conf extends PresetConf {
  readonly brokers: readonly { readonly host: string; readonly port: number; readonly sasl_config?: Sasl }[];
  readonly kafka_topic: string;
  readonly key?: string;
  readonly required_acks: 1 | -1;
  readonly timeout: number;
  readonly meta_refresh_interval: number;
  readonly tls: boolean;
  readonly ssl_verify: boolean;
}

const ignored = (type: 'integer' | 'string', why: string): JsonSchema => ({ type, description: `Accepted; ${why}` });
const batched = 'the `batch_*` fields decide what is sent together.';

export default definePlugin<Conf>(presetLogger<Conf>({
  name: 'kafka-logger',
  priority: 403,
  required: ['brokers', 'kafka_topic'],
  properties: {
    brokers: {
      type: 'array', minItems: 1, maxItems: 100, description: 'Brokers to ask first; the others they name.',
      items: {
        type: 'object', additionalProperties: false, required: ['host', 'port'],
        properties: {
          host: { type: 'string', minLength: 1, maxLength: 255, description: 'Host name or address.' },
          port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Port.' },
          sasl_config: {
            type: 'object', additionalProperties: false, required: ['user', 'password'],
            description: 'How we log in; the same for all brokers.',
            properties: {
              mechanism: { type: 'string', enum: ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'], default: 'PLAIN', description: 'Mechanism.' },
              user: { type: 'string', minLength: 1, maxLength: 512, description: 'User.' },
              password: { type: 'string', minLength: 1, maxLength: 4096, writeOnly: true, description: 'Password.' },
            },
          },
        },
      },
    },
    kafka_topic: {
      type: 'string', pattern: '^[A-Za-z0-9._-]{1,249}$', 'x-expected': '1..249 letters, digits, ., _ or -', description: 'Topic.',
    },
    key: { type: 'string', minLength: 1, maxLength: 1024, description: 'Key of all messages, which puts them into one partition; default: partitions in turn.' },
    required_acks: {
      type: 'integer', enum: [1, -1], default: 1,
      description: 'Who must have a message before it counts as sent: 1 the leader, -1 all replicas in sync.',
    },
    timeout: { type: 'number', exclusiveMinimum: 0, maximum: 3600, default: 3, description: 'Seconds to connect, and for each answer.' },
    meta_refresh_interval: {
      type: 'integer', minimum: 1, maximum: 86_400, default: 30, description: 'Seconds after which it is asked who leads which partition.',
    },
    tls: { type: 'boolean', default: false, description: 'TLS.' },
    ssl_verify: { type: 'boolean', default: true, description: 'Whether the certificate is checked.' },
    producer_type: { type: 'string', enum: ['async', 'sync'], description: `Accepted; requests never wait, ${batched}` },
    producer_batch_num: ignored('integer', batched),
    producer_batch_size: ignored('integer', batched),
    producer_max_buffering: ignored('integer', '`max_pending_entries` bounds what waits.'),
    producer_time_linger: ignored('integer', batched),
    cluster_name: ignored('integer', 'each place has a client of its own.'),
    api_version: ignored('integer', 'the version is agreed with the broker.'),
  },
  check({ brokers }, targets) {
    const [first, ...others] = brokers.map(({ sasl_config: sasl }) => JSON.stringify(sasl));
    return [
      ...(others.every((each) => each === first) ? [] : ['brokers: expected the same sasl_config for all, got different ones']),
      ...brokers.flatMap(({ host, port }, index) => checkTarget(targets, `brokers[${index}].host`, host, port)),
      ...missingPackages('kafka-logger', '@platformatic/kafka'),
    ];
  },
  sink: (conf, targets) => new KafkaSink({ ...optionsOf(conf), targets }),
}));

function optionsOf(conf: Conf): Omit<KafkaOptions, 'targets'> {
  const sasl = conf.brokers[0]!.sasl_config;
  return {
    brokers: conf.brokers, topic: conf.kafka_topic, acks: conf.required_acks, timeout: conf.timeout * 1000,
    metadataAge: conf.meta_refresh_interval * 1000, tls: conf.tls, verify: conf.ssl_verify,
    ...(conf.key === undefined ? {} : { key: conf.key }),
    ...(sasl === undefined ? {} : { sasl: { mechanism: sasl.mechanism, username: sasl.user, password: sasl.password } }),
  };
}
