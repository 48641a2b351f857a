// What every resource may carry beside its meaning.
import type { JsonSchema } from '../../schema.ts';

const idWords = '1..64 letters, digits, -, _, . or an integer from 1';

export const idSchema: JsonSchema = {
  description: 'Name of the resource in its kind: 1 to 64 letters, digits, `-_.`, or an integer from 1.',
  'x-expected': idWords,
  anyOf: [
    { type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}$', 'x-expected': idWords },
    { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER, 'x-expected': idWords },
  ],
};

/** Two ids in one, with a slash between them. */
export function pairSchema(first: string, second: string): JsonSchema {
  const words = `${first}/${second}, each 1..64 letters, digits, -, _ or .`;
  return {
    type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,64}$', 'x-expected': words, description: words,
  };
}

export const nameSchema: JsonSchema = {
  type: 'string', minLength: 1, maxLength: 256, description: 'A name for people.',
};

export const descSchema: JsonSchema = { type: 'string', maxLength: 256, description: 'What it is for.' };

export const labelsSchema: JsonSchema = {
  type: 'object',
  description: 'Labels to find resources by: text values of 1 to 256 characters without white space.',
  additionalProperties: {
    type: 'string', pattern: '^\\S{1,256}$', 'x-expected': 'text of 1..256 characters without white space',
  },
};

/** Times that the server writes. */
export const timesSchema: Readonly<Record<'create_time' | 'update_time', JsonSchema>> = {
  create_time: {
    not: {}, 'x-refused': 'the property is forbidden:  create_time',
    description: 'Written by the server; not accepted.',
  },
  update_time: {
    not: {}, 'x-refused': 'the property is forbidden:  update_time',
    description: 'Written by the server; not accepted.',
  },
};
