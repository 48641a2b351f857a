import type { LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../core/errors.ts';
import { silentLogger } from '../../core/log.ts';
import { refusalLog, TargetRules } from '../../core/targets.ts';

const usual = new TargetRules({ admin: { address: '127.0.0.1', port: 9180 } });
const everywhere = new TargetRules({ admin: { address: '::', port: 9180 } });
const outside = Object.values(networkInterfaces()).flatMap((list = []) => list).find(({ internal }) => !internal);

describe('addresses as they are written', () => {
  test.for([
    ['169.254.169.254', 80], ['169.254.0.1', 6379], ['fe80::1', 6379], ['[fe80::1]', 6379], ['febf::1%eth0', 6379], ['fd00:ec2::254', 80],
    ['FD00:EC2:0:0::254', 80], ['fd20:ce::254', 80], ['100.100.100.200', 80], ['168.63.129.16', 80], ['::ffff:169.254.169.254', 80],
    ['::ffff:a9fe:a9fe', 80], ['64:ff9b::169.254.169.254', 80],
  ] as const)('%s is refused at port %i', ([host, port]) => {
    expect(usual.refusal(host, port)).toContain(`got ${host}, which is a`);
  });

  test.for([
    ['127.0.0.1', 6379], ['10.0.0.1', 80], ['169.253.255.255', 80], ['169.255.0.0', 80], ['fec0::1', 80], ['fd00:ec3::254', 80], ['::1', 6379],
    ['redis.internal', 80], ['metadata.google.internal', 80], ['0.0.0.0', 6379], ['unix:/run/redis.sock', 0],
    // Nobody of the Admin API's listens there.
    ['127.0.0.2', 9180], ['::1', 9180], ['10.0.0.1', 9180],
  ] as const)('%s is not refused at port %i', ([host, port]) => {
    expect(usual.refusal(host, port)).toBeNull();
  });

  test.for(['127.0.0.1', '0.0.0.0', 'localhost', 'LOCALHOST.', 'a.localhost', '::ffff:127.0.0.1', '::ffff:0:0'])('the Admin API is not reached by %s', (host) => {
    expect(usual.refusal(host, 9180)).toMatch(/, which is that of the Admin API$/);
    expect(usual.refusal(host, 9181)).toBeNull();
  });

  test('one that listens everywhere is reached by no address of this machine', () => {
    const hosts = ['127.0.0.1', '127.9.9.9', '::1', '::', '[::]', ...(outside === undefined ? [] : [outside.address])];
    for (const host of hosts) expect([host, everywhere.refusal(host, 9180)]).toEqual([host, expect.stringContaining('Admin API')]);
    expect(everywhere.refusal('192.0.2.1', 9180)).toBeNull();
  });

  test('what the settings allow is never refused, what they refuse is, but for that', () => {
    const rules = new TargetRules({
      allow: ['169.254.10.0/24', '10.20.0.0/16', '127.0.0.1'], refuse: ['0.0.0.0/0', '::/0'], admin: { address: '127.0.0.1', port: 9180 },
    });
    for (const host of ['169.254.10.7', '10.20.3.4', '::ffff:10.20.3.4', '127.0.0.1']) expect([host, rules.refusal(host, 9180)]).toEqual([host, null]);
    expect(rules.refusal('169.254.11.7', 80)).toContain('link-local');
    for (const host of ['10.21.0.1', '2001:db8::1', '127.0.0.2']) expect([host, rules.refusal(host, 80)]).toEqual([host, expect.stringContaining('targets.refuse')]);
  });
});

describe('names when they were looked up', () => {
  const leadingTo = (...found: string[]): LookupFunction => (_host, options, done) => {
    expect(options.all).toBe(true);
    done(null, found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));
  };
  const looked = (rules: TargetRules, found: readonly string[], all: boolean): Promise<unknown> => new Promise((resolve, reject) => {
    const { host, lookup } = rules.dial('node.test', 9180, leadingTo(...found));
    lookup(host, { all }, (cause, address) => (cause === null ? resolve(address) : reject(cause)));
  });

  test('those that no connection may go to are left out, those beside them stay in order', async () => {
    const mixed = ['169.254.169.254', '10.0.0.2', 'fe80::1', '10.0.0.1', '127.0.0.1'];
    expect(await looked(usual, mixed, true)).toEqual([{ address: '10.0.0.2', family: 4 }, { address: '10.0.0.1', family: 4 }]);
    expect(await looked(usual, mixed, false)).toBe('10.0.0.2');
  });

  test('where none is left, connecting fails and says where the name led', async () => {
    for (const all of [true, false]) {
      const failure: unknown = await looked(usual, ['169.254.169.254'], all).catch((cause: unknown) => cause);
      expect(failure).toBeInstanceOf(ProxyError);
      expect(failure).toMatchObject({ code: 'TARGET_REFUSED', message: expect.stringContaining('node.test leads to 169.254.169.254, which is') });
    }
    await expect(looked(usual, [], true)).rejects.toThrow('no address for node.test');
  });

  test('a literal address that is refused is nowhere to be connected to, whatever does not ask', async () => {
    const { host, lookup } = usual.dial('169.254.169.254', 80);
    expect(host).toBe('refused.invalid');
    await expect(new Promise((_, reject) => { lookup(host, { all: true }, reject); })).rejects.toMatchObject({ code: 'TARGET_REFUSED' });
  });

  test('a literal address is nobody\'s question', async () => {
    const { host, lookup } = usual.dial('10.0.0.1', 80, () => { throw new Error('asked'); });
    expect(await new Promise((resolve) => { lookup(host, {}, (_cause, address) => resolve(address)); })).toBe('10.0.0.1');
  });

  test('the log has one line a minute of a target, however often it is asked for', () => {
    const lines: unknown[] = [];
    const told = refusalLog({ ...silentLogger, warn: (line: unknown) => { lines.push(line); } } as typeof silentLogger);
    for (let i = 0; i < 5; i++) told('node.test', 80, 'why');
    told('node.test', 81, 'why');
    expect(lines).toEqual([80, 81].map((port) => ({ code: 'TARGET_REFUSED', host: 'node.test', port })));
  });
});
