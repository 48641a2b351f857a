// Whatever comes, the answer is a sentence: no exception, no endless work, nothing changed.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkResource } from '../../../core/config/check.ts';
import { kindNames } from '../../../core/config/resource.ts';
import { readResources } from '../../../core/config/resource-file.ts';
import { emptyConfig } from '../../../core/config/source.ts';
import { knownThings } from './references.ts';

const names = [
  'id', 'name', 'nodes', 'upstream', 'upstream_id', 'plugins', 'protocol', 'conf', 'logger', 'filter',
    'superior_id',
  'host', 'port', 'weight', 'key', 'type', 'limit-count', 'redis', '127.0.0.1:6379', '__proto__', '',
];
const leaf = fc.oneof(
  fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.constantFrom(...names, 'chash',
    'memory'),
);
const object = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 5 }, leaf, fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), tie('value'),
      { maxKeys: 5, noNullPrototype: true })),
})).value;

test('any value is checked without an exception, and a refusal has a text', () => {
  fc.assert(fc.property(fc.constantFrom(...kindNames), fc.string(), object, (kind, id, value) => {
    const before = JSON.stringify(value);
    const problems = checkResource(kind, id, value, knownThings());
    expect(problems.every((each) => each.message.length > 0 && each.message.length < 1000)).toBe(true);
    expect(JSON.stringify(value)).toBe(before);
  }), { numRuns: 2000 });
});

test('any text is read without an exception', () => {
  const resources = fc.record({ stream_routes: fc.array(object), upstreams: fc.array(object) }).map((each) =>
    JSON.stringify(each));
  const options = { name: 'f', environment: {}, references: knownThings() };
  fc.assert(fc.property(fc.oneof(fc.string(), resources), fc.constantFrom('yaml', 'json'), fc.nat(),
    (text, format, cut) => {
    const last = emptyConfig();
    for (const part of [text, text.slice(0, cut % (text.length + 1))]) {
      const reading = readResources(part, last, { ...options, format });
      expect(reading.readable || reading.config === last).toBe(true);
      expect(reading.problems.every(({ line, column }) => line >= 1 && column >= 1)).toBe(true);
    }
  }), { numRuns: 1000 });
});
