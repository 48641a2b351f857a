import type { JsonSchema } from '../../schema.ts';
import { timesSchema } from './naming.ts';

/** Where `$secret://manager/id/name` is looked up. The id is `manager/id`. */
export const secretSchema: JsonSchema = {
  type: 'object', additionalProperties: false,
  properties: {
    ...timesSchema,
    id: { type: 'string', maxLength: 160, description: '`manager/id`.' },
    prefix: { type: 'string', maxLength: 128, description: 'With `env`: stands before the name of each variable.' },
    path: { type: 'string', minLength: 1, maxLength: 4096, description: 'With `file`: the folder that the files lie in.' },
  },
};
