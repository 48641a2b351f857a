import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../core/errors.ts';
import { compileTemplate, compileVariable, findVariable, isWellFormedVariable } from '../../core/variables.ts';
import { LineRequest, lineSession } from '../support/line-request.ts';

const read = (name: string, request: LineRequest): string => compileVariable(name)(request);
const keyed = (...keys: Buffer[]): LineRequest => new LineRequest('get', lineSession(), {}, keys);

describe('variables', () => {
  test.each([
    ['remote_addr', '127.0.0.1'], ['remote_port', '40001'], ['server_addr', '127.0.0.1'], ['server_port', '9100'],
    ['route_id', '1'], ['protocol', 'line'], ['command', 'get'], ['key', 'a'], ['keys', 'a,b'], ['bytes_in', '8'],
    ['bytes_out', '4'], ['upstream_addr', ''], ['outcome', 'ok'], ['session_id', '7'], ['user', ''],
    ['rpc_time', '0.0125'], ['nobody_knows', ''],
  ])('%s of a simple request is %j', (name, value) => {
    expect(read(name, new LineRequest('GET a b').finish('+ok', 12.5))).toBe(value);
  });

  test('outcome tells how it ended', () => {
    expect(read('outcome', new LineRequest('get a'))).toBe('unfinished');
    expect(read('outcome', new LineRequest('get a').finish('-ERR no'))).toBe('error');
    const failed = new LineRequest('get a');
    failed.settle(new ProxyError('UPSTREAM_TIMEOUT'));
    expect(read('outcome', failed)).toBe('upstream_timeout');
  });

  test('the request knows better than its door', () => {
    const session = lineSession({ variables: { a: 'door', b: 'door' }, user: 'ann' });
    const request = new LineRequest('get a', session, { a: 'request' });
    expect([read('a', request), read('b', request), read('user', request)]).toEqual(['request', 'door', 'ann']);
  });

  test('names of object members are not variables', () => {
    for (const name of ['constructor', 'toString', '__proto__']) expect(read(name, new LineRequest('get'))).toBe('');
  });

  test('time is the time of day', () => {
    expect(Math.abs(Date.parse(read('time', new LineRequest('get'))) - Date.now())).toBeLessThan(1000);
    expect(Math.abs(Number(read('time_ms', new LineRequest('get'))) - Date.now())).toBeLessThan(1000);
  });

  test('only letters, digits and underscores make a name', () => {
    expect(['a', 'http_x_1', '_'].map(isWellFormedVariable)).toEqual([true, true, true]);
    expect(['', '1a', 'a-b', 'a b', 'a\n', 'a'.repeat(101)].some(isWellFormedVariable)).toBe(false);
    expect(() => compileVariable('a-b')).toThrow('variable: expected letters, digits and _, got "a-b"');
  });

  test('what is known only with the answer says so', () => {
    const late = ['rpc_time', 'outcome', 'bytes_out', 'upstream_addr', 'reply_type'];
    expect(late.every((name) => findVariable(name).afterAnswer)).toBe(true);
    expect(['key', 'command', 'bytes_in', 'rpc_len'].some((name) => findVariable(name).afterAnswer)).toBe(false);
  });
});

describe('keys as text', () => {
  test.each([
    ['plain', Buffer.from('a:1 "b"'), 'a:1 "b"'],
    ['UTF-8', Buffer.from('käse 🧀'), 'käse 🧀'],
    ['line ends', Buffer.from('a\r\nb'), 'a\\r\\nb'],
    ['escapes and unicode line ends', Buffer.from('\x1b[1m\u2028\u0085'), '\\x1b[1m\\u2028\\u0085'],
    ['a backslash', Buffer.from('a\\x00'), 'a\\\\x00'],
    ['bytes that are not UTF-8', Buffer.from([0x61, 0xff, 0x5c, 0x00]), 'a\\xff\\\\\\x00'],
    ['nothing', Buffer.alloc(0), ''],
  ])('%s', (_name, bytes, text) => {
    expect(read('key', keyed(bytes))).toBe(text);
  });

  test('a long key is cut, and two long keys with the same beginning stay two', () => {
    const [a, b] = [Buffer.alloc(5000, 'k'), Buffer.alloc(5000, 'k')];
    b[4999] = 0x61;
    const show = compileVariable('key', { keyLimit: 64 });
    expect(show(keyed(a))).toMatch(/^k{64}\.\.\.\(5000 bytes, [0-9a-f]{16}\)$/);
    expect(show(keyed(a))).not.toBe(show(keyed(b)));
    expect(show(keyed(a))).toBe(show(keyed(Buffer.alloc(5000, 'k'))));
  });

  test('of very many keys some are shown', () => {
    const keys = Array.from({ length: 1000 }, () => Buffer.from('k'));
    expect(read('keys', keyed(...keys)).split(',')).toHaveLength(64);
  });
});

describe('templates', () => {
  const request = new LineRequest('get a b').finish('+ok', 2);
  test.each([
    ['no variables', 'no variables'], ['$command', 'get'], ['${command}_$key!', 'get_a!'], ['$$5 $1', '$5 $1'],
    ['$nobody', ''], ['', ''], ['cost: $', 'cost: $'],
  ])('%j reads as %j', (text, made) => {
    expect(compileTemplate(text).read(request)).toBe(made);
  });

  test('one variable alone keeps its type', () => {
    expect(compileTemplate('$rpc_time').read(request)).toBe(0.002);
    expect(compileTemplate(' $rpc_time').read(request)).toBe(' 0.002');
  });

  test('a bad name and too much of it are refused', () => {
    expect(() => compileTemplate('${a b}')).toThrow('got "a b"');
    expect(() => compileTemplate('x'.repeat(5000))).toThrow('template: expected at most 4096 characters, got 5000');
    expect(() => compileTemplate('$a'.repeat(65))).toThrow('template: expected at most 64 variables, got 65');
  });
});
