// A text that is made to be expensive is refused, or read, in time that grows with its size.
import { expect, test } from 'vitest';
import { readDocument } from '../../../core/config/document.ts';
import { readResources, type FileReading } from '../../../core/config/resource-file.ts';
import { emptyConfig } from '../../../core/config/source.ts';
import { knownThings } from './references.ts';

const megabyte = 1024 * 1024;
const read = (text: string, format: 'yaml' | 'json'): FileReading =>
  readResources(text, emptyConfig(), { name: 'body', format, environment: {}, references: knownThings() });
const listOf = (count: number, item: (index: number) => string): string =>
  `{"stream_routes":[${Array.from({ length: count }, (_, index) => item(index)).join(',')}]}`;

function timed(work: () => FileReading): [FileReading, number] {
  const from = performance.now();
  const reading = work();
  return [reading, performance.now() - from];
}

const deep: readonly (readonly ['yaml' | 'json', string, string])[] = [
  ['json', 'arrays', '['.repeat(megabyte / 2) + ']'.repeat(megabyte / 2)],
  ['json', 'objects', '{"a":'.repeat(megabyte / 6) + '1' + '}'.repeat(megabyte / 6)],
  ['yaml', 'brackets', '['.repeat(megabyte)],
  ['yaml', 'braces', '{a: '.repeat(megabyte / 4)],
  ['yaml', 'brackets behind a quotation mark', `# "\n${'['.repeat(megabyte)}`],
  ['yaml', 'dashes', '- '.repeat(megabyte / 2)],
  ['yaml', 'question marks', '? '.repeat(megabyte / 2)],
  ['yaml', 'indentation', Array.from({ length: 1400 }, (_, depth) => `${' '.repeat(depth)}a:\n`).join('')],
];

test.each(deep)('%s: a megabyte of nested %s is refused in little time', (format, _what, text) => {
  const [reading, took] = timed(() => read(text, format));
  expect([reading.readable, reading.problems.length]).toEqual([false, 1]);
  expect(reading.problems[0]!.message).toMatch(/nested too deeply|call stack/);
  expect(took).toBeLessThan(2500);
});

test('what is as deep as anybody writes is read; brackets in texts open nothing', () => {
  const nested = '['.repeat(100) + ']'.repeat(100);
  expect(readDocument(nested, 'json', {}).value).toEqual(JSON.parse(nested));
  expect(readDocument(`a: ${nested}`, 'yaml', {}).value).toEqual({ a: JSON.parse(nested) });
  expect(readDocument(JSON.stringify({ a: '['.repeat(9000), b: '\\"[' }), 'json', {}).value).toEqual({ a: '['.repeat(9000), b: '\\"[' });
  expect(readDocument(`a: "${'['.repeat(2000)}"`, 'yaml', {}).value).toEqual({ a: '['.repeat(2000) });
});

const wide: readonly (readonly [what: string, text: (count: number) => string])[] = [
  ['equal items without id', (count) => listOf(count, () => '{}')],
  ['items of one id', (count) => listOf(count, () => '{"id":"a"}')],
  ['wrong items', (count) => listOf(count, (index) => `{"id":"i${index}","server_port":0}`)],
  ['items that refer to what is nowhere', (count) => listOf(count, (index) => `{"id":"i${index}","upstream_id":"u${index}"}`)],
  ['items that no item could be', (count) => listOf(count, () => '7')],
  ['unknown kinds', (count) => `{${Array.from({ length: count }, (_, index) => `"stream_route${index}":[]`).join(',')}}`],
  ['unknown properties', (count) => listOf(1, () => `{${Array.from({ length: count }, (_, index) => `"p${index}":1`).join(',')}}`)],
  ['variables that are not set', (count) => listOf(count, (index) => `{"id":"i${index}","desc":"\${NOT_SET_${index}}"}`)],
];

test.each(wide)('many %s are told up to a thousand times, in time that grows with their number', (_what, text) => {
  const [few, many] = [text(4000), text(16_000)];
  timed(() => read(few, 'json'));
  const [, short] = timed(() => read(few, 'json'));
  const [reading, long] = timed(() => read(many, 'json'));
  expect(reading.problems.length + reading.warnings.length).toBeGreaterThan(0);
  expect(Math.max(reading.problems.length, reading.warnings.length)).toBeLessThanOrEqual(2000);
  // Four times as many; a square would be sixteen times as long. Very short times say nothing.
  expect(long).toBeLessThan(Math.max(short * 11, 1500));
});
