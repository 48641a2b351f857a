import type { JsonSchema } from '../../schema.ts';
import { descSchema, idSchema, labelsSchema, nameSchema, timesSchema } from './naming.ts';
import { pluginsSchema, type PluginConfs } from './plugins.ts';

/** Plugins with their settings, for routes that name it with `plugin_config_id`. */
export interface PluginConfigValue {
  readonly plugins: PluginConfs;
}

export const pluginConfigSchema: JsonSchema = {
  type: 'object', additionalProperties: false, required: ['plugins'],
  properties: {
    id: idSchema, name: nameSchema, desc: descSchema, labels: labelsSchema, ...timesSchema,
    plugins: pluginsSchema('Plugin name → its configuration.'),
  },
};
