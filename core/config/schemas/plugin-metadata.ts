// One plugin's settings for all places where it is used; the plugin's own metadata schema says what may stand
// here.
import type { JsonSchema } from '../../schema.ts';
import { timesSchema } from './naming.ts';

export const pluginMetadataSchema: JsonSchema = { type: 'object', properties: timesSchema };
