import type { JsonSchema } from '../../schema.ts';
import { timesSchema } from './naming.ts';

/** Where `$secret://manager/id/name` is looked up. The id is `manager/id`. */
export const secretSchema: JsonSchema = {
  // What else there is, the manager says.
  type: 'object',
  properties: {
    ...timesSchema,
    id: { type: 'string', maxLength: 160, description: '`manager/id`.' },
    prefix: { type: 'string', maxLength: 128, description: 'With `env`: stands before the name of each variable.' },
    path: { type: 'string', minLength: 1, maxLength: 4096, description: 'With `file`: the folder that the files lie in, as an absolute path.' },
  },
};
