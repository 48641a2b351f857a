import type { JsonSchema } from '../../schema.ts';
import { descSchema, idSchema, labelsSchema, nameSchema, timesSchema } from './naming.ts';
import { pluginsSchema, type PluginConfs } from './plugins.ts';
import { upstreamSchema, type UpstreamValue } from './upstream.ts';

/** A service that was checked: what several routes have in common. */
export interface ServiceValue {
  readonly name?: string;
  readonly upstream?: UpstreamValue;
  readonly upstream_id?: string | number;
  readonly plugins?: PluginConfs;
}

export const serviceSchema: JsonSchema = {
  type: 'object', additionalProperties: false,
  properties: {
    id: idSchema, name: nameSchema, desc: descSchema, labels: labelsSchema, ...timesSchema,
    upstream: { ...upstreamSchema, description: 'Where requests go of routes that name no upstream.' },
    upstream_id: { ...idSchema, description: 'Upstream resource instead of `upstream`.' },
    plugins: pluginsSchema('Plugins of all its routes; a route that configures the same plugin has its own.'),
  },
};
