import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { commandLine } from '../../../../protocols/redis/commands/command-line.ts';
import { secretIndexes } from '../../../../protocols/redis/commands/secrets.ts';
import { commandNamed, commands, named } from '../../../../protocols/redis/commands/table.ts';

function line(words: readonly (string | Buffer)[], limits?: Parameters<typeof commandLine>[3]): string {
  const call = words.map((word) => Buffer.from(word));
  return commandLine(commandNamed(String(words[0])), call.length, (index) => call[index]!, limits);
}

// Each secret is the word "hush" followed by a digit, or stands in a rule with it.
test.each([
  ['AUTH hush1', 'auth (redacted)'],
  ['auth hush1 hush2', 'auth (redacted) (redacted)'],
  ['AUTH hush1 hush2 hush3', 'auth (redacted) (redacted) (redacted)'],
  ['HELLO 3', 'hello 3'],
  ['HELLO 3 AUTH hush1 hush2 SETNAME app', 'hello 3 AUTH (redacted) (redacted) SETNAME app'],
  ['HELLO 3 SETNAME app auth hush1 hush2', 'hello 3 SETNAME app auth (redacted) (redacted)'],
  ['HELLO AUTH hush1 hush2', 'hello AUTH (redacted) (redacted)'],
  ['CONFIG SET requirepass hush1', 'config SET requirepass (redacted)'],
  ['config set maxmemory 100 MasterAuth hush1 masteruser hush2',
    'config set maxmemory 100 MasterAuth (redacted) masteruser (redacted)'],
  ['CONFIG SET tls-key-file-pass hush1 tls-client-key-file-pass hush2',
    'config SET tls-key-file-pass (redacted) tls-client-key-file-pass (redacted)'],
  ['CONFIG SET primaryauth hush1', 'config SET primaryauth (redacted)'],
  ['CONFIG SETT requirepass hush1', 'config SETT requirepass (redacted)'],
  ['CONFIG SET timeout requirepass hush1', 'config SET timeout requirepass (redacted)'],
  ['CONFIG GET requirepass maxmemory', 'config GET requirepass maxmemory'],
  ['CONFIG SET maxmemory 100', 'config SET maxmemory 100'],
  ['ACL SETUSER bob on >hush1 <hush2 #hush3 !hush4 ~keys:* +@all',
    'acl SETUSER bob on (redacted) (redacted) (redacted) (redacted) ~keys:* +@all'],
  ['acl setuserr bob >hush1', 'acl setuserr bob (redacted)'],
  ['ACL SETROLE reader >hush1', 'acl SETROLE reader (redacted)'],
  ['ACL DRYRUN bob GET a', 'acl DRYRUN bob GET a'],
  ['ACL DRYRUN bob AUTH hush1', 'acl DRYRUN bob AUTH (redacted)'],
  ['COMMAND GETKEYS MIGRATE host 6379 a 0 10 AUTH hush1',
  'command GETKEYS MIGRATE host 6379 a 0 10 AUTH (redacted)'],
  ['MIGRATE host 6379 a 0 10 COPY AUTH hush1', 'migrate host 6379 a 0 10 COPY AUTH (redacted)'],
  ['MIGRATE host 6379 a 0 10 auth2 hush1 hush2', 'migrate host 6379 a 0 10 auth2 (redacted) (redacted)'],
  ['SENTINEL SET mymaster auth-pass hush1', 'sentinel SET mymaster auth-pass (redacted)'],
  ['MODULE LOADEX m.so CONFIG m.password hush1', 'module LOADEX m.so CONFIG m.password (redacted)'],
  ['SET auth hush0', 'set auth hush0'],
  ['GET a', 'get a'],
  ['PING', 'ping'],
  ['NoSuch A B', 'nosuch A B'],
])('%s is shown as %s', (call, shown) => {
  expect(line(call.split(' '))).toBe(shown);
  expect(shown).not.toMatch(/hush[1-9]/);
});

test('a password rule inside one argument with others is hidden with them', () => {
  expect(line(['ACL', 'SETUSER', 'bob', 'on >hush'])).toBe('acl SETUSER bob (redacted)');
});

test('the subcommand of a container has the same secrets as the container', () => {
  const call = ['CONFIG', 'SET', 'requirepass', 'x'].map((word) => Buffer.from(word));
  const argument = (index: number): Buffer => call[index]!;
  const container = commandNamed('config');
  const set = named(container, 4, argument);
  expect(set.name).toBe('config|set');
  expect([secretIndexes(container, 4, argument), secretIndexes(set, 4, argument)]).toEqual([[3], [3]]);
});

test('an argument of 128 bytes is shown whole, a longer one is cut and its length told', () => {
  const whole = 'v'.repeat(128);
  expect(line(['SET', 'a', whole])).toBe(`set a ${whole}`);
  expect(line(['SET', 'a', `${whole}w`])).toBe(`set a ${whole}...(129 bytes)`);
  expect(line(['SET', 'k'.repeat(200), 'v'])).toBe(`set ${'k'.repeat(128)}...(200 bytes) v`);
});

test('the length told is in bytes, not characters', () => {
  expect(line(['SET', 'a', 'é'.repeat(100)])).toBe(`set a ${'é'.repeat(64)}...(200 bytes)`);
});

test('control characters can\'t forge a log line', () => {
  expect(line(['GET\r\n', 'a\nb\x00\x1b[0m\x7f\tc'])).toBe('get\\x0D\\x0A a\\x0Ab\\x00\\x1B[0m\\x7F\\x09c');
  expect(line(['GET', 'a\u2028b\u0085'])).toBe('get a\\u2028b\\x85');
});

test('a line with too many arguments ends early and says how many are missing', () => {
  const call = ['MSET', ...Array.from({ length: 100_000 }, () => 'x')];
  const shown = line(call);
  expect(shown).toMatch(/^mset( x)+ \.\.\.\(\d+ more arguments\)$/);
  expect(shown.length).toBeLessThan(4096 + 40);
  expect(line(['MSET', 'a', '1', 'b', '2'], { argumentBytes: 128, lineCharacters: 8 }))
    .toBe('mset a 1 ...(2 more arguments)');
  expect(line(['SET', 'abcdef', 'v'], { argumentBytes: 3,
    lineCharacters: 100 })).toBe('set abc...(6 bytes) v');
});

test('a secret behind thousands of empty arguments is hidden as well', () => {
  const empty = Array.from({ length: 4000 }, () => '');
  const shown = line(['HELLO', ...empty, 'AUTH', 'hush1', 'hush2']);
  expect(shown).not.toContain('hush');
  expect(shown).toMatch(/ AUTH \(redacted\) \(redacted\)$/);
});

test('random arguments never throw, show no control character and stay in the limit', () => {
  const word = fc.oneof(
    fc.constantFrom('AUTH', 'auth2', 'SET', 'requirepass', '>x', 'SETUSER', 'DRYRUN', 'GETKEYS', 'HELLO',
      'KEYS')
      .map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(fc.property(fc.constantFrom(...commands), fc.array(word, { maxLength: 40 }), (command, rest) => {
    const call = [Buffer.from(command.name), ...rest];
    const at = (index: number): Buffer => {
      const value = call[index];
      if (value === undefined) throw new RangeError(`argument ${index} of ${call.length} was asked for`);
      return value;
    };
    const secrets = secretIndexes(command, call.length, at);
    expect(secrets).toEqual([...new Set(secrets)].toSorted((a, b) => a - b));
    expect(secrets.every((index) => index > 0 && index < call.length)).toBe(true);
    const shown = commandLine(command, call.length, at);
    // oxlint-disable-next-line no-control-regex
    expect(shown).not.toMatch(/[\x00-\x1f\x7f]/);
    expect(shown.length).toBeLessThan(4096 + 40);
  }), { numRuns: 2000 });
});

test('a secret of an authenticating call is never in its line, wherever it stands', () => {
  const secret = 'S3cr3tS3cr3t';
  const option = fc.constantFrom('AUTH', 'SETNAME', 'auth', 'x', '3');
  fc.assert(fc.property(fc.array(option, { maxLength: 6 }), (before) => {
    expect(line(['HELLO', '3', ...before, 'AUTH', secret, secret])).not.toContain(secret);
    expect(line(['MIGRATE', 'h', '1', 'k', '0', '1', ...before, 'AUTH2', 'user',
      secret])).not.toContain(secret);
    expect(line(['AUTH', ...before, secret])).not.toContain(secret);
  }));
});
