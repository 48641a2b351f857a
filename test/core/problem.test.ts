import { expect, test } from 'vitest';
import { problemOf } from '../../core/problem.ts';

const properties = { abort: {}, redis_host: {} };

test.each<[string, string, string, string, string]>([
  ['redis_host: expected because policy is redis, got nothing', 'redis_host', 'because policy is redis', 'nothing',
    'redis_host: expected because policy is redis, got nothing'],
  ['abort.vars[0][1]: expected one of == ~=, got "==="', 'abort.vars[0][1]', 'one of == ~=', '"==="',
    'abort.vars[0][1]: expected one of == ~=, got "==="'],
  ['abort: expected error or close: true', 'abort', 'error or close: true', 'this one', 'abort: expected error or close: true'],
  ['expected abort, delay or both, got neither', '', 'abort, delay or both', 'neither', 'expected abort, delay or both, got neither'],
  ['toString: is no property', '', 'a sensible combination', 'this one', 'toString: is no property'],
  ['no good', '', 'a sensible combination', 'this one', 'no good'],
])('what a plugin\'s own check tells has a place, an expectation and a value: %s', (text, path, expected, got, message) => {
  expect(problemOf(text, properties)).toMatchObject({ path, expected, got, message });
});
