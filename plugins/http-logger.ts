// Records in POSTs to a web server, configured as APISIX's plugin of this name is.
import { definePlugin } from '../core/plugin.ts';
import { presetLogger, type PresetConf } from './logger/preset.ts';
import { checkUri, httpProperties } from './logger/schema.ts';
import { HttpSink } from './logger/sinks/http.ts';
import { checkUrlTarget } from './logger/targets.ts';

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
    ...httpProperties,
    ssl_verify: { type: 'boolean', default: false, description: 'Whether the certificate is checked.' },
  },
  check: ({ uri }, targets) => [...checkUri(uri), ...checkUrlTarget(targets, 'uri', uri)],
  sink: ({ uri, auth_header: authHeader, timeout, concat_method: concat, ssl_verify: verify, batch_max_size: most }, targets) =>
    new HttpSink({
      targets, uri, timeout: timeout * 1000, concat, verify, single: most === 1,
      ...(authHeader === undefined ? {} : { authHeader }),
    }),
}));
