// JSON is read by the engine, YAML's reader knows where it stands: both must see the same.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readDocument } from '../../../core/config/document.ts';

test('any JSON is what the engine reads, and each place is found', () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { minKeys: 1 }), fc.nat(8), (value, indent) => {
    const text = JSON.stringify(value, null, indent);
    fc.pre(!text.includes('${'));
    const document = readDocument(text, 'json', {});
    expect(document.value).toEqual(JSON.parse(text));
    const [name] = Object.keys(value);
    const { line, column } = document.locate({ at: [name!, 'nothing'], text: 'unknown property' });
    expect(text.split('\n')[line - 1]!.slice(column - 1).startsWith(JSON.stringify(name))).toBe(true);
  }));
});

test.each([
  ['{"a": 1, "a": 2}', 1, 10], ['{"a": [\n{"b": 1, "\\u0062": 2}]}', 2, 10], ['{"a": ":::", "b": 1,\n "b": 1}', 2, 2],
])('a name twice in one object is refused where it stands: %s', (text, line, column) => {
  expect(() => readDocument(text, 'json', {})).toThrow(expect.objectContaining({
    message: 'Map keys must be unique', position: { line, column },
  }));
});

test('colons in texts and names are none between them', () => {
  expect(readDocument('{"a:b": "c:\\":d", "e": [":"]}', 'json', {}).value).toEqual({ 'a:b': 'c:":d', e: [':'] });
});
