import { describe, expect, test } from 'vitest';
import { checkExpression, compileExpression } from '../../core/expression.ts';
import { cpuTime } from '../support/cpu-time.ts';
import { LineRequest, lineSession } from '../support/line-request.ts';

function holds(rules: unknown, line = 'get a b', variables: Record<string, string> = {}): boolean {
  return compileExpression(rules)(new LineRequest(line, lineSession(), variables).finish('+ok', 20));
}

describe('rules', () => {
  test.each<[unknown, boolean]>([
    [[], true],
    [[['command', '==', 'get']], true],
    [[['command', '==', 'set']], false],
    [[['command', '~=', 'set']], true],
    [['command', '==', 'get'], true],
    [[['rpc_time', '>=', 0.001]], true],
    [[['rpc_time', '>', 0.02]], false],
    [[['rpc_time', '>=', '0.02']], true],
    [[['bytes_in', '<', 9]], true],
    [[['bytes_in', '<', '10']], true],
    [[['bytes_in', '<=', 8]], true],
    [[['bytes_in', '==', 8]], true],
    [[['bytes_in', '==', '8']], true],
    [[['command', '>', 5]], false],
    [[['command', '>', 'geq']], true],
    [[['command', '<', 'geq']], false],
    [[['nobody', '<', 5]], false],
    [[['nobody', '<', 'a']], false],
    [[['nobody', '==', '']], true],
    [[['nobody', '==', null]], true],
    [[['command', '~~', '^g.t$']], true],
    [[['command', '~~', 'G']], false],
    [[['command', '~*', 'G']], true],
    [[['command', 'in', ['set', 'get']]], true],
    [[['bytes_in', 'in', [7, 8]]], true],
    [[['command', 'in', []]], false],
    [[['keys', 'has', 'b']], true],
    [[['keys', 'has', 'c']], false],
    [[['remote_addr', 'ipmatch', ['10.0.0.0/8', '127.0.0.0/8']]], true],
    [[['remote_addr', 'ipmatch', ['10.0.0.0/8', '2001:db8::/32']]], false],
    [[['command', 'ipmatch', '0.0.0.0/0']], false],
    [[['command', '!', '==', 'get']], false],
    [[['command', '!', 'in', ['set']]], true],
    [[['nobody', '!', '<', 5]], true],
    [[['command', '==', 'get'], ['key', '==', 'x']], false],
    [['AND', ['command', '==', 'get'], ['key', '==', 'a']], true],
    [['OR', ['command', '==', 'set'], ['key', '==', 'a']], true],
    [['OR', ['command', '==', 'set'], ['key', '==', 'b']], false],
    [['!AND', ['command', '==', 'get'], ['key', '==', 'a']], false],
    [['!AND', ['command', '==', 'get'], ['key', '==', 'b']], true],
    [['!OR', ['command', '==', 'set'], ['key', '==', 'b']], true],
    [['!OR', ['command', '==', 'get']], false],
    [['!AND', ['command', '==', 'get']], false],
    [['OR', ['AND', ['command', '==', 'get'], ['key', '==', 'z']], ['!OR', ['key', '==', 'z']]], true],
    [[['OR', ['key', '==', 'z'], ['key', '==', 'a']], ['command', '==', 'get']], true],
  ])('%j is %s for "get a b"', (rules, expected) => {
    expect(holds(rules)).toBe(expected);
  });

  test('XF-26 to XF-33: a length is compared as a number, and rules are joined by AND', () => {
    const length = { rpc_len: '13' };
    expect(holds([['rpc_len', '>', 10]], 'unary', length)).toBe(true);
    expect(holds([['rpc_len', '<', 10]], 'unary', length)).toBe(false);
    expect(holds([['rpc_len', '>', 12], ['rpc_len', '<', 14]], 'unary', length)).toBe(true);
    expect(holds([['rpc_len', '<', 10], ['rpc_len', '>', 12]], 'unary', length)).toBe(false);
  });

  test('numbers written as text stay text: "007" is another user than "7"', () => {
    expect(holds([['user', '==', '7']], 'get', {})).toBe(false);
    expect(holds([['who', '==', '7']], 'get', { who: '007' })).toBe(false);
    expect(holds([['who', '==', 7]], 'get', { who: '007' })).toBe(true);
  });
});

describe('what is refused when it is written', () => {
  test.each<[unknown, string]>([
    [[{}], 'filter[0]: rule too short: expected [variable, operator, value], got {}'],
    [[['a']], 'filter[0]: rule too short: expected [variable, operator, value], got ["a"]'],
    [[['a', '!', '==']], 'filter[0]: rule too short: expected [variable, operator, value], got ["a","!","=="]'],
    [[['a', '==', 1, 2]], 'filter[0]: rule too long: expected [variable, operator, value], got ["a","==",1,2]'],
    [[['a', '==', 1], 5], 'filter[1]: expected [variable, operator, value], got 5'],
    ['x', 'filter: expected a list of rules, got "x"'],
    [[['a', '=', 1]], 'filter[0][1]: expected one of == ~= > >= < <= ~~ ~* in has ipmatch, got "="'],
    [[['a', 'constructor', 1]], 'filter[0][1]: expected one of == ~= > >= < <= ~~ ~* in has ipmatch, got "constructor"'],
    [[['a b', '==', 1]], 'filter[0][0]: expected the name of a variable, got "a b"'],
    [[['a', '==', { b: 1 }]], 'filter[0][2]: expected a text or a number, got {"b":1}'],
    [[['a', 'in', 'b']], 'filter[0][2]: expected a list, got "b"'],
    [[['a', 'ipmatch', ['127.0.0.1', 'localhost']]], 'filter[0][2][1]: expected an IP address or CIDR, got "localhost"'],
    [['OR', ['a', '==', 1], ['AND', ['b']]],
      'filter[2][1]: rule too short: expected [variable, operator, value], got ["b"]'],
    [['AND'], 'filter: expected rules after AND, got ["AND"]'],
  ])('%j', (rules, message) => {
    expect(checkExpression(rules)).toEqual([message]);
    expect(() => compileExpression(rules)).toThrow(message);
  });

  test('a regular expression with look-around or back references', () => {
    expect(checkExpression([['a', '~~', '(?=b)c']])[0]).toMatch(
      /^filter\[0\]\[2\]: expected a regular expression in RE2's syntax \(.*`\(\?=`\), got/);
    expect(checkExpression([['a', '~~', '(b)\\1']])).toHaveLength(1);
    expect(checkExpression([['a', '~~', '(b']])).toHaveLength(1);
  });

  test('too much of anything', () => {
    let deep: unknown = [['a', '==', 1]];
    for (let i = 0; i < 9; i++) deep = ['OR', deep];
    expect(checkExpression(deep)[0]).toContain('expected at most 8 levels');
    expect(checkExpression(Array.from({ length: 300 }, () => ['a', '==', 1]))[0]).toContain('at most 256 rules');
    expect(checkExpression([['a', '~~', 'x'.repeat(2000)]])[0]).toContain('at most 1024 characters');
    expect(checkExpression([['a', 'in', Array.from({ length: 2000 }, () => 1)]])[0]).toContain('at most 1024 entries');
  });
});

test('a regular expression that blows up elsewhere takes linear time', () => {
  const attack = compileExpression([['key', '~~', '^(a+)+$']]);
  const request = new LineRequest('get', lineSession(), {}, [Buffer.from(`${'a'.repeat(1000)}!`)]);
  expect(cpuTime(() => expect(attack(request)).toBe(false))).toBeLessThan(500);
});

test('an expression knows whether it can be asked before the answer', () => {
  expect(compileExpression([['command', '==', 'get'], ['key', '~~', 'a']]).requestTimeOnly).toBe(true);
  expect(compileExpression(['OR', ['command', '==', 'get'], ['rpc_time', '>', 1]]).requestTimeOnly).toBe(false);
});
