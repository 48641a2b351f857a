import type { JsonSchema } from '../../schema.ts';
import { idSchema, timesSchema } from './naming.ts';
import { pluginsSchema, type PluginConfs } from './plugins.ts';

/** Plugins that run on every route, before its own. */
export interface GlobalRuleValue {
  readonly plugins: PluginConfs;
}

export const globalRuleSchema: JsonSchema = {
  type: 'object', additionalProperties: false, required: ['plugins'],
  properties: {
    id: idSchema, ...timesSchema,
    plugins: pluginsSchema('Plugin name → its configuration. A plugin stands in one rule only.'),
  },
};
