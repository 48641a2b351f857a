// One schema error as a sentence: a row per keyword.
import type { ErrorObject } from 'ajv';
import { cut, nearest, problem, show, type At, type Problem } from './problem.ts';

type Schema = Readonly<Record<string, unknown>>;

interface Sentence {
  readonly expected: string;
  readonly got?: string;
  readonly text?: string;
  /** The property below the value that is meant. */
  readonly below?: string;
}

/** Null when another error of the same value says it better. */
export function sentence(error: ErrorObject, at: At, secret: boolean): Problem | null {
  const schema = (typeof error.parentSchema === 'object' ? error.parentSchema : {}) as Schema;
  if (typeof schema['x-refused'] === 'string') return problem(at, 'nothing', 'a value', schema['x-refused']);
  const row = rows[error.keyword];
  const said = row === undefined ? other(error) : row(error, schema);
  if (said === null) return null;
  const place = said.below === undefined ? at : [...at, said.below];
  const wanted = typeof schema['x-expected'] === 'string' && plainWords.has(error.keyword);
  const expected = wanted ? String(schema['x-expected']) : said.expected;
  if (secret && said.below === undefined) return problem(place, expected, hidden(error.data));
  return problem(place, expected, said.got ?? show(error.data), said.text);
}

// Keywords for which `x-expected` reads better than what the keyword itself could say.
const plainWords = new Set([
  'pattern', 'anyOf', 'oneOf', 'not', 'format', 'enum', 'const', 'type', 'minimum', 'maximum',
]);

const rows: Readonly<Record<string, (error: ErrorObject, schema: Schema) => Sentence | null>> = {
  type: (error, schema) => ({ expected: typeNames(schema['type']), ...typed(error) }),
  minimum: range, maximum: range, exclusiveMinimum: range, exclusiveMaximum: range,
  minLength: length, maxLength: length,
  minItems: entries, maxItems: entries,
  minProperties: properties, maxProperties: properties,
  uniqueItems: (error) => ({
    expected: 'entries that differ', got: `the same at [${error.params['i']}] and [${error.params['j']}]`,
  }),
  pattern: (error) => ({ expected: `text like ${error.params['pattern']}` }),
  format: ({ params }) => ({ expected: formats[String(params['format'])] ?? String(params['format']) }),
  enum: oneOfValues,
  const: (_error, schema) => ({ expected: show(schema['const']) }),
  required: (error, schema) => missing(schema, String(error.params['missingProperty'])),
  dependencies: (error, schema) => ({
    ...missing(schema, String(error.params['missingProperty'])),
    text: `expected beside ${error.params['property']}, got nothing`,
  }),
  additionalProperties: (error, schema) => unknown(schema, String(error.params['additionalProperty'])),
  multipleOf: (error) => ({ expected: `a multiple of ${error.params['multipleOf']}` }),
  anyOf: union, oneOf: union,
  not: () => ({ expected: 'another value' }),
  propertyNames: (error) => ({
    expected: 'another name', got: JSON.stringify(cut(String(error.params['propertyName']))),
    text: `the name ${JSON.stringify(cut(String(error.params['propertyName'])))} is not allowed here`,
  }),
  'false schema': () => ({ expected: 'nothing' }),
  // What failed inside `then` or `else` is reported by itself.
  if: () => null,
};

const formats: Readonly<Record<string, string>> = {
  ip: 'IP address', ipv4: 'IPv4 address', ipv6: 'IPv6 address', cidr: 'IP address or CIDR', uri: 'URL',
};

function other(error: ErrorObject): Sentence {
  return { expected: (error.message ?? error.keyword).replace(/^must (be )?/, '') };
}

function typeNames(types: unknown): string {
  return Array.isArray(types) ? types.join(' or ') : String(types);
}

// `got string "5"`: with a wrong type the type matters more than the value.
function typed(error: ErrorObject): { got?: string } {
  const value: unknown = error.data;
  if (typeof value === 'number' || typeof value === 'object') return {};
  return { got: `${typeof value} ${show(value)}` };
}

function hidden(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array (hidden)' : `${typeof value} (hidden)`;
}

function properties(error: ErrorObject, schema: Schema): Sentence {
  return count(schema, 'Properties', 'properties', Object.keys(error.data as object).length);
}

function entries(error: ErrorObject, schema: Schema): Sentence {
  return count(schema, 'Items', 'entries', (error.data as unknown[]).length);
}

function range(_error: ErrorObject, schema: Schema): Sentence {
  const bound = (word: string, keyword: string): string[] =>
    (typeof schema[keyword] === 'number' ? [`${word} ${schema[keyword]}`] : []);
  const { minimum, maximum } = schema;
  if (typeof minimum === 'number' && typeof maximum === 'number') {
    return { expected: `${minimum}..${maximum}` };
  }
  return {
    expected: [
      ...bound('at least', 'minimum'), ...bound('more than', 'exclusiveMinimum'),
      ...bound('at most', 'maximum'), ...bound('less than', 'exclusiveMaximum'),
    ].join(' and '),
  };
}

function length(error: ErrorObject, schema: Schema): Sentence {
  // Counted as the schema counts: code points.
  return count(schema, 'Length', 'characters', Array.from(String(error.data)).length);
}

function count(schema: Schema, suffix: string, unit: string, got: number): Sentence {
  const least = Number(schema[`min${suffix}`] ?? 0);
  const most = schema[`max${suffix}`];
  const bounded = least === 0 ? `at most ${String(most)}` : `${least}..${String(most)}`;
  const expected = typeof most === 'number' ? bounded : `at least ${least}`;
  return { expected: `${expected} ${unit}`, got: String(got) };
}

function oneOfValues(error: ErrorObject, schema: Schema): Sentence {
  const values = schema['enum'] as readonly unknown[];
  const expected = `${values.length > 1 ? 'one of ' : ''}${values.map(show).join(', ')}`;
  const meant = typeof error.data === 'string'
    ? nearest(error.data, values.filter((value) => typeof value === 'string')) : undefined;
  if (meant === undefined) return { expected };
  return { expected, text: `expected ${expected}, got ${show(error.data)}, did you mean ${show(meant)}?` };
}

function missing(schema: Schema, name: string): Sentence {
  const child = (schema['properties'] as Readonly<Record<string, Schema>> | undefined)?.[name];
  return { expected: describe(child), got: 'nothing', below: name };
}

function describe(schema: Schema | undefined): string {
  if (schema === undefined) return 'a value';
  if (typeof schema['x-expected'] === 'string') return schema['x-expected'];
  if (Array.isArray(schema['enum'])) return `one of ${schema['enum'].map(show).join(', ')}`;
  if (schema['type'] !== undefined) return typeNames(schema['type']);
  const forms = (schema['oneOf'] ?? schema['anyOf']) as readonly Schema[] | undefined;
  return forms === undefined ? 'a value' : [...new Set(forms.map(describe))].join(' or ');
}

function unknown(schema: Schema, name: string): Sentence {
  const known = Object.entries((schema['properties'] ?? {}) as Readonly<Record<string, Schema>>)
    .filter(([, child]) => child['x-refused'] === undefined).map(([key]) => key);
  const meant = nearest(name, known);
  const shown = JSON.stringify(cut(name));
  return {
    expected: 'known property', got: shown, below: name,
    text: `unknown property ${shown}${meant === undefined ? '' : `, did you mean "${meant}"?`}`,
  };
}

function union(error: ErrorObject): Sentence {
  const forms = error.schema as readonly Schema[];
  const names = forms.map((form) => form['required']).filter(Array.isArray)
    .map((list) => list.join(' with '));
  if (error.params['passingSchemas'] != null) {
    const several = names.length === forms.length ? names.join(' or ') : 'the accepted forms';
    return { expected: `exactly one of ${several}`, got: 'several' };
  }
  if (names.length === forms.length && forms.every((form) => form['type'] === undefined)) {
    return { expected: names.join(' or '), got: names.length === 2 ? 'neither' : 'none' };
  }
  return { expected: [...new Set(forms.map(describe))].join(' or ') };
}
