// Records appended to a file, configured as APISIX's plugin of this name is.
import { definePlugin } from '../core/plugin.ts';
import { presetLogger, type PresetConf } from './logger/preset.ts';
import { FileSink } from './logger/sinks/file.ts';

interface Conf extends PresetConf {
  readonly path: string;
}

export default definePlugin<Conf>(presetLogger<Conf>({
  name: 'file-logger',
  priority: 399,
  required: ['path'],
  properties: {
    path: { type: 'string', minLength: 1, maxLength: 4096, description: 'Path; missing folders are made.' },
  },
  sink: ({ path }) => new FileSink(path),
}));
