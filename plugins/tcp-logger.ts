// Records as lines over a TCP connection, configured as APISIX's plugin of this name is.
import { definePlugin } from '../core/plugin.ts';
import { presetLogger, type PresetConf } from './logger/preset.ts';
import { TcpSink } from './logger/sinks/tcp.ts';
import { checkTarget } from './logger/targets.ts';

interface Conf extends PresetConf {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly tls_options?: string;
  readonly ssl_verify: boolean;
  readonly timeout: number;
}

export default definePlugin<Conf>(presetLogger<Conf>({
  name: 'tcp-logger',
  priority: 405,
  required: ['host', 'port'],
  properties: {
    host: { type: 'string', minLength: 1, maxLength: 255, description: 'Host name or address.' },
    port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Port.' },
    tls: { type: 'boolean', default: false, description: 'TLS.' },
    tls_options: {
      type: 'string', minLength: 1, maxLength: 255,
      description: 'Name that is asked for and that the certificate must carry; default `host`.',
    },
    ssl_verify: { type: 'boolean', default: true, description: 'Whether the certificate is checked.' },
    timeout: {
      type: 'integer', minimum: 1, maximum: 3_600_000, default: 1000,
      description: 'Milliseconds to connect and to write.',
    },
  },
  check: ({ host, port }, targets) => checkTarget(targets, 'host', host, port),
  sink: ({ host, port, tls, tls_options: serverName, ssl_verify: verify, timeout }, targets) =>
    new TcpSink({ targets, host, port, tls, verify, timeout, ...(serverName === undefined ? {} : { serverName }) }),
}));
