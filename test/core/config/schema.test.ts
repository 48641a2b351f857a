import { expect, test } from 'vitest';
import { compileSchema, hideSecrets, Invalid, nest, type JsonSchema } from '../../../core/schema.ts';

const schema: JsonSchema = {
  type: 'object', additionalProperties: false, required: ['name'],
  properties: {
    name: { type: 'string', minLength: 2, maxLength: 5 },
    count: { type: 'integer', minimum: 1, maximum: 9 },
    delay: { type: 'number', exclusiveMinimum: 0 },
    mode: { type: 'string', enum: ['fixed', 'sliding'] },
    list: { type: 'array', minItems: 1, maxItems: 2, uniqueItems: true, items: { type: 'string' } },
    address: { type: 'string', format: 'cidr' },
    word: { type: 'string', pattern: '^[a-z]+$', 'x-expected': 'lower case letters' },
    secret: { type: 'string', minLength: 10, writeOnly: true },
    inside: { type: 'object', additionalProperties: false, properties: { secret: { enum: ['abc'],
      writeOnly: true } } },
    either: { oneOf: [{ type: 'object', required: ['a'], properties: { a: { type: 'integer' } } },
      { type: 'array', maxItems: 0 }] },
    later: { not: {}, 'x-refused': 'comes later' },
    tagged: {
      type: 'object',
      oneOf: [
        { properties: { kind: { const: 'x' }, size: { type: 'integer' } }, required: ['kind'] },
        { properties: { kind: { const: 'y' }, text: { type: 'string' } }, required: ['kind'] },
      ],
    },
  },
};
const check = compileSchema(schema);
const messages = (value: unknown): string[] => check(value).map((each) => each.message);

test.each<[unknown, string[]]>([
  [{ name: 'ab' }, []],
  [{ nam: 'ab', name: 'ab' }, ['unknown property "nam", did you mean "name"?']],
  [{ nmae: 'ab', name: 'ab' }, ['unknown property "nmae", did you mean "name"?']],
  [{ name: 'ab', zzzzz: 1 }, ['unknown property "zzzzz"']],
  [{}, ['name: expected string, got nothing']],
  [{ name: 5 }, ['name: expected string, got 5']],
  [{ name: 'a' }, ['name: expected 2..5 characters, got 1']],
  [{ name: 'ab', count: 0 }, ['count: expected 1..9, got 0']],
  [{ name: 'ab', count: '5' }, ['count: expected integer, got string "5"']],
  [{ name: 'ab', count: 1.5 }, ['count: expected integer, got 1.5']],
  [{ name: 'ab', count: true }, ['count: expected integer, got boolean true']],
  [{ name: 'ab', count: null }, ['count: expected integer, got null']],
  [{ name: 'ab', count: Number.NaN }, ['count: expected integer, got NaN']],
  [{ name: 'ab', delay: 0 }, ['delay: expected more than 0, got 0']],
  [{ name: 'ab', mode: 'fixd' }, ['mode: expected one of "fixed", "sliding", got "fixd", did you mean "fixed"?']],
  [{ name: 'ab', list: [] }, ['list: expected 1..2 entries, got 0']],
  [{ name: 'ab', list: ['a', 'a'] }, ['list: expected entries that differ, got the same at [0] and [1]']],
  [{ name: 'ab', list: ['a', 7] }, ['list[1]: expected string, got 7']],
  [{ name: 'ab', address: '10.0.0.0/33' }, ['address: expected IP address or CIDR, got "10.0.0.0/33"']],
  [{ name: 'ab', word: 'A' }, ['word: expected lower case letters, got "A"']],
  [{ name: 'ab', either: 'x' }, ['either: expected object or array, got "x"']],
  [{ name: 'ab', either: {} }, ['either.a: expected integer, got nothing']],
  [{ name: 'ab', either: [1] }, ['either: expected at most 0 entries, got 1']],
  [{ name: 'ab', tagged: { kind: 'y', text: 1 } }, ['tagged.text: expected string, got 1']],
  [{ name: 'ab', later: {} }, ['later: comes later']],
  [[], ['expected object, got array of 0']],
  ['x'.repeat(100), [`expected object, got string "${'x'.repeat(40)}…"`]],
])('a wrong value is told by a sentence: %j', (value, expected) => {
  expect(messages(value)).toEqual(expected);
});

test('all problems are told at once', () => {
  expect(messages({ count: 0, delay: -1, mode: 1 })).toHaveLength(4);
});

test.each([
  [{ name: 'ab', secret: 'S3CR3T' }], [{ name: 'ab', secret: 31337 }], [{ name: 'ab', secret: ['S3CR3T'] }],
  [{ name: 'ab', inside: { secret: 'S3CR3T' } }], [{ name: 'ab', inside: { secret: 'ab' } }],
])('the value of a secret never appears in a text: %j', (value) => {
  const [only] = check(value);
  expect(JSON.stringify(only)).toContain('hidden');
  expect(JSON.stringify(only)).not.toMatch(/S3CR3T|31337|did you mean/);
});

test.each(['__proto__', 'prototype', 'constructor'])('the name %s is refused at any depth', (name) => {
  const value: unknown = JSON.parse(`{"name":"ab","list":[{"a":{"${name}":{"polluted":1}}}]}`);
  expect(messages(value)).toEqual([`list[0].a.${name}: the name is forbidden`]);
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
});

test('a value that contains itself is refused', () => {
  const value: Record<string, unknown> = { name: 'ab' };
  value['list'] = [value];
  expect(messages(value)[0]).toContain('at most 64 levels');
});

test('a hostile array makes a bounded number of problems', () => {
  expect(check({ name: 'ab', list: Array.from({ length: 50_000 }, (_, index) =>
    index) }).length).toBeLessThanOrEqual(100);
});

test('defaults are filled in only when asked for, and nothing is coerced', () => {
  const withDefault: JsonSchema = { type: 'object', properties: { size: { type: 'integer', default: 3 } } };
  const [plain, filled] = [{}, {}];
  compileSchema(withDefault)(plain);
  compileSchema(withDefault, { defaults: true })(filled);
  expect([plain, filled]).toEqual([{}, { size: 3 }]);
  expect(compileSchema(withDefault, { defaults: true })({ size: '3' })).toHaveLength(1);
});

test('a schema with an unknown keyword is refused when it is compiled', () => {
  expect(() => compileSchema({ type: 'object', propertis: {} })).toThrow(/propertis/);
});

test('the same schema compiles again after a reload, also with an $id', () => {
  const named = (): JsonSchema => ({ $id: 'one', type: 'object' });
  expect(compileSchema(named())({})).toEqual([]);
  expect(compileSchema(named())([])).toHaveLength(1);
});

test('problems can be seen from an outer object', () => {
  expect(nest(['plugins', 'limit-count'], check({ name: 'ab', nme: 1, count: 0 })).map((each) =>
    each.message)).toEqual([
    'plugins.limit-count: unknown property "nme", did you mean "name"?',
    'plugins.limit-count.count: expected 1..9, got 0',
  ]);
});

test('secrets are hidden in a copy', () => {
  expect(hideSecrets(schema, { name: 'ab', secret: 'x', inside: { secret: 'y' } }))
    .toEqual({ name: 'ab', secret: '***', inside: { secret: '***' } });
});

test('Invalid carries the problems and a code', () => {
  const error = new Invalid(check({}));
  expect([error.code, error.message, error.problems.length]).toEqual(['CONFIG_INVALID',
    'name: expected string, got nothing', 1]);
});
