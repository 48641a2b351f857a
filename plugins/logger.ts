// Writes one JSON record per request or connection to a file, a TCP or UDP port, a web server or syslog.
import { definePlugin, type Targets } from '../core/plugin.ts';
import type { JsonSchema } from '../core/schema.ts';
import { logPlace, type BatchConf, type NamedSink } from './logger/place.ts';
import {
  batchProperties, checkLogging, checkUri, formatSchema, httpProperties, loggerMetadataSchema, pendingProperty,
} from './logger/schema.ts';
import { FileSink } from './logger/sinks/file.ts';
import { HttpSink } from './logger/sinks/http.ts';
import { TcpSink } from './logger/sinks/tcp.ts';
import { UdpSink } from './logger/sinks/udp.ts';
import { checkTarget, checkUrlTarget } from './logger/targets.ts';
import { syslogFrame } from './logger/syslog-frame.ts';

interface Address {
  readonly host: string;
  readonly port: number;
  readonly timeout: number;
}

interface Stream extends Address {
  readonly tls: boolean;
  readonly ssl_verify: boolean;
}

interface Conf extends BatchConf {
  readonly per: 'request' | 'connection';
  readonly log_format?: Readonly<Record<string, unknown>>;
  readonly filter?: readonly unknown[];
  readonly sample: number;
  readonly file?: { readonly path: string };
  readonly tcp?: Stream;
  readonly udp?: Address;
  readonly syslog?: Stream & { readonly sock_type: 'tcp' | 'udp' };
  readonly http?: {
    readonly uri: string;
    readonly auth_header?: string;
    readonly timeout: number;
    readonly concat_method: 'json' | 'new_line';
    readonly ssl_verify: boolean;
  };
}

const addressProperties: Record<string, JsonSchema> = {
  host: { type: 'string', minLength: 1, maxLength: 255, description: 'Host name or address.' },
  port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Port.' },
  timeout: {
    type: 'integer', minimum: 1, maximum: 3_600_000, default: 3000,
    description: 'Milliseconds to connect and to write.',
  },
};

const verify: JsonSchema = { type: 'boolean', default: true, description: 'Whether the certificate is checked.' };

const streamProperties: Record<string, JsonSchema> = {
  ...addressProperties,
  tls: { type: 'boolean', default: false, description: 'TLS.' },
  ssl_verify: verify,
};

function sinkSchema(
  description: string, required: readonly string[], properties: Readonly<Record<string, JsonSchema>>,
): JsonSchema {
  return { type: 'object', description, required, additionalProperties: false, properties };
}

const sinkProperties: Record<string, JsonSchema> = {
  file: sinkSchema('Appends to a file, one record a line; opened anew on SIGHUP or when moved.', ['path'], {
    path: { type: 'string', minLength: 1, maxLength: 4096, description: 'Path; missing folders are made.' },
  }),
  tcp: sinkSchema('One record a line over a TCP connection.', ['host', 'port'], streamProperties),
  udp: sinkSchema('One record a datagram.', ['host', 'port'], addressProperties),
  http: sinkSchema('A POST per group of records.', ['uri'], {
    ...httpProperties,
    ssl_verify: verify,
  }),
  syslog: sinkSchema('RFC 5424 messages with the record in them.', ['host', 'port'], {
    ...streamProperties,
    sock_type: { type: 'string', enum: ['tcp', 'udp'], default: 'tcp', description: 'How they travel.' },
  }),
};

export default definePlugin<Conf>({
  name: 'logger',
  version: '1.0.0',
  priority: 398,
  schema: {
    type: 'object', additionalProperties: false,
    properties: {
      per: {
        type: 'string', enum: ['request', 'connection'], default: 'request', description: 'What a record is of.',
      },
      log_format: formatSchema,
      filter: { type: 'array', description: 'Expression over variables; absent or empty: everything.' },
      sample: {
        type: 'number', minimum: 0, maximum: 1, default: 1, description: 'Part of the requests that is logged.',
      },
      ...sinkProperties,
      ...batchProperties,
      ...pendingProperty,
    },
  },
  metadataSchema: loggerMetadataSchema,
  check(conf, { targets }) {
    const names = Object.keys(sinkProperties);
    const none = !names.some((name) => Object.hasOwn(conf, name));
    const wrongTls = conf.syslog?.tls === true && conf.syslog.sock_type === 'udp';
    return [
      ...(none ? [`expected one of ${names.join(', ')}, got none`] : []),
      ...(wrongTls ? ['syslog.tls: expected only with sock_type tcp, got sock_type udp'] : []),
      ...(conf.http === undefined ? [] : [...checkUri(conf.http.uri, 'http.uri'), ...checkUrlTarget(targets, 'http.uri', conf.http.uri)]),
      ...(['tcp', 'udp', 'syslog'] as const).flatMap((name) => {
        const sink = conf[name];
        return sink === undefined ? [] : checkTarget(targets, `${name}.host`, sink.host, sink.port);
      }),
      ...checkLogging(conf),
    ];
  },
  setup(conf, context) {
    return logPlace({
      context, per: conf.per, format: conf.log_format, filter: conf.filter, sample: conf.sample, batch: conf,
      sinks: sinksOf(conf, context.targets),
    });
  },
});

function sinksOf(conf: Conf, targets: Targets): NamedSink[] {
  const sinks: NamedSink[] = [];
  if (conf.file !== undefined) sinks.push({ name: 'file', sink: new FileSink(conf.file.path) });
  if (conf.tcp !== undefined) sinks.push({ name: 'tcp', sink: tcpSink(conf.tcp, targets) });
  if (conf.udp !== undefined) sinks.push({ name: 'udp', sink: new UdpSink({ ...conf.udp, targets }) });
  if (conf.http !== undefined) {
    const { uri, auth_header: authHeader, timeout, concat_method: concat, ssl_verify: verified } = conf.http;
    sinks.push({
      name: 'http',
      sink: new HttpSink({
        targets, uri, timeout: timeout * 1000, concat, verify: verified, single: conf.batch_max_size === 1,
        ...(authHeader === undefined ? {} : { authHeader }),
      }),
    });
  }
  if (conf.syslog !== undefined) {
    const sink = conf.syslog.sock_type === 'udp' ? new UdpSink({ ...conf.syslog, targets }) : tcpSink(conf.syslog, targets);
    sinks.push({ name: 'syslog', sink, frame: syslogFrame });
  }
  return sinks;
}

function tcpSink({ host, port, tls, ssl_verify: verified, timeout }: Stream, targets: Targets): TcpSink {
  return new TcpSink({ targets, host, port, tls, verify: verified, timeout });
}
