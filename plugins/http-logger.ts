// Records in POSTs to a web server, configured as APISIX's plugin of this name is.
import { definePlugin } from '../core/plugin.ts';
import { presetLogger, type PresetConf } from './logger/preset.ts';
import { HttpSink } from './logger/sinks/http.ts';

interface Conf extends PresetConf {
  readonly uri: string;
  readonly auth_header?: string;
  readonly timeout: number;
  readonly concat_method: 'json' | 'new_line';
  readonly ssl_verify: boolean;
}

export default definePlugin<Conf>(presetLogger<Conf>({
  name: 'http-logger',
  priority: 410,
  required: ['uri'],
  properties: {
    uri: {
      type: 'string', pattern: '^https?://', maxLength: 2048, 'x-expected': 'http:// or https:// address',
      description: 'Address.',
    },
    auth_header: {
      type: 'string', maxLength: 4096, writeOnly: true, description: 'Value of the Authorization header.',
    },
    timeout: {
      type: 'number', exclusiveMinimum: 0, maximum: 3600, default: 3, description: 'Seconds for one POST.',
    },
    concat_method: {
      type: 'string', enum: ['json', 'new_line'], default: 'json',
      description: 'Records as a JSON array, or one a line.',
    },
    ssl_verify: { type: 'boolean', default: false, description: 'Whether the certificate is checked.' },
  },
  sink: ({ uri, auth_header: authHeader, timeout, concat_method: concat, ssl_verify: verify, batch_max_size: most }) =>
    new HttpSink({
      uri, timeout: timeout * 1000, concat, verify, single: most === 1,
      ...(authHeader === undefined ? {} : { authHeader }),
    }),
}));
