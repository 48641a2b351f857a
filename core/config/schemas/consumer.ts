import type { JsonSchema } from '../../schema.ts';
import { descSchema, idSchema, labelsSchema, nameSchema, timesSchema } from './naming.ts';
import { pluginsSchema, type PluginConfs } from './plugins.ts';

/** Who calls: a user with plugins of its own. */
export interface ConsumerValue {
  readonly username: string;
  readonly plugins?: PluginConfs;
}

const words = '1..100 letters, digits, _ or -';

export const usernameSchema: JsonSchema = {
  type: 'string', pattern: '^[A-Za-z0-9_-]{1,100}$', 'x-expected': words, description: `Name and id: ${words}.`,
};

export const consumerSchema: JsonSchema = {
  type: 'object', additionalProperties: false, required: ['username'],
  properties: {
    username: usernameSchema, desc: descSchema, labels: labelsSchema, ...timesSchema,
    plugins: pluginsSchema('Plugins for the requests of this consumer.'),
  },
};

/** By what a consumer proves who it is. The id is `consumer/credential`. */
export const credentialSchema: JsonSchema = {
  type: 'object', additionalProperties: false, required: ['plugins'],
  properties: {
    id: idSchema, name: nameSchema, desc: descSchema, labels: labelsSchema, ...timesSchema,
    plugins: pluginsSchema('The authentication plugin and what it checks.'),
  },
};
