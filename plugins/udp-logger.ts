// One record a datagram, configured as APISIX's plugin of this name is.
import { definePlugin } from '../core/plugin.ts';
import { presetLogger, type PresetConf } from './logger/preset.ts';
import { UdpSink } from './logger/sinks/udp.ts';
import { checkTarget } from './logger/targets.ts';

interface Conf extends PresetConf {
  readonly host: string;
  readonly port: number;
  readonly timeout: number;
}

export default definePlugin<Conf>(presetLogger<Conf>({
  name: 'udp-logger',
  priority: 400,
  required: ['host', 'port'],
  properties: {
    host: { type: 'string', minLength: 1, maxLength: 255, description: 'Host name or address.' },
    port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Port.' },
    timeout: {
      type: 'number', exclusiveMinimum: 0, maximum: 3600, default: 3, description: 'Seconds to send one.',
    },
  },
  check: ({ host, port }, targets) => checkTarget(targets, 'host', host, port),
  sink: ({ host, port, timeout }, targets) => new UdpSink({ targets, host, port, timeout: timeout * 1000 }),
}));
