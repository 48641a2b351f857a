import type { JsonSchema } from '../../schema.ts';

/** Plugin name → its configuration, `_meta` included. */
export type PluginConfs = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export function pluginsSchema(description: string): JsonSchema {
  return { type: 'object', additionalProperties: { type: 'object' }, description };
}
