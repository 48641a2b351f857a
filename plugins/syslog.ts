// Records as RFC 5424 messages, configured as APISIX's plugin of this name is.
import { definePlugin } from '../core/plugin.ts';
import { logPlace, type BatchConf } from './logger/place.ts';
import { batchProperties, checkLogging, formatSchema, loggerMetadataSchema } from './logger/schema.ts';
import { TcpSink } from './logger/sinks/tcp.ts';
import { UdpSink } from './logger/sinks/udp.ts';
import { checkTarget } from './logger/targets.ts';
import { syslogFrame } from './logger/syslog-frame.ts';

interface Conf extends BatchConf {
  readonly host: string;
  readonly port: number;
  readonly sock_type: 'tcp' | 'udp';
  readonly tls: boolean;
  readonly timeout: number;
  readonly flush_limit: number;
  readonly drop_limit: number;
  readonly log_format?: Readonly<Record<string, unknown>>;
}

export default definePlugin<Conf>({
  name: 'syslog',
  version: '1.0.0',
  priority: 401,
  schema: {
    type: 'object', additionalProperties: false, required: ['host', 'port'],
    properties: {
      host: { type: 'string', minLength: 1, maxLength: 255, description: 'Host name or address.' },
      port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Port.' },
      sock_type: { type: 'string', enum: ['tcp', 'udp'], default: 'tcp', description: 'How messages travel.' },
      tls: {
        type: 'boolean', default: false,
        description: 'TLS, with `sock_type: tcp`; the certificate is checked.',
      },
      timeout: {
        type: 'integer', minimum: 1, maximum: 3_600_000, default: 3000,
        description: 'Milliseconds to connect and to write.',
      },
      flush_limit: {
        type: 'integer', minimum: 1, default: 4096,
        description: 'Accepted; `batch_max_size` decides when records are sent.',
      },
      drop_limit: {
        type: 'integer', minimum: 1, maximum: 1_073_741_824, default: 1_048_576,
        description: 'Bytes of records that may wait per worker; more are dropped and counted.',
      },
      pool_size: {
        type: 'integer', minimum: 5, description: 'Accepted; one connection per place and worker is enough.',
      },
      log_format: formatSchema,
      ...batchProperties,
    },
  },
  metadataSchema: loggerMetadataSchema,
  check(conf, { targets }) {
    const wrong = [...checkLogging(conf), ...checkTarget(targets, 'host', conf.host, conf.port)];
    if (conf.tls && conf.sock_type === 'udp') {
      wrong.push('tls: expected only with sock_type tcp, got sock_type udp');
    }
    return wrong;
  },
  setup(conf, context) {
    const { host, port, timeout, tls } = conf;
    const { targets } = context;
    const sink = conf.sock_type === 'udp'
      ? new UdpSink({ targets, host, port, timeout })
      : new TcpSink({ targets, host, port, timeout, tls, verify: true });
    return logPlace({
      context, per: 'request', format: conf.log_format, filter: undefined, sample: 1, batch: conf,
      maxPendingSize: conf.drop_limit, sinks: [{ name: 'syslog', sink, frame: syslogFrame }],
    });
  },
});
