import fc from 'fast-check';
import { BlockList, isIPv4 } from 'node:net';
import { expect, test } from 'vitest';
import { hexOf, holderOf, parseNetwork, prefixOf } from '../../core/network.ts';

test.each([
  ['10.1.2.3', '0a010203'], ['255.255.255.255', 'ffffffff'],
  ['::', '0'.repeat(32)], ['::1', `${'0'.repeat(31)}1`], ['2001:DB8::5', '20010db8000000000000000000000005'],
  ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'], ['fe80::1%eth0', 'fe800000000000000000000000000001'],
  ['::ffff:10.1.2.3', '00000000000000000000ffff0a010203'], ['nowhere', ''], ['/run/redis.sock', ''],
])('%s is %s', (address, hex) => expect(hexOf(address)).toBe(hex));

test.each([
  ['10.1.2.3', '10.1.2.3'], ['::ffff:10.1.2.3', '::ffff:10.1.2.3'], ['2001:db8:1:2::5', '20010db800010002/64'], ['2001:db8:1:2:ffff::9', '20010db800010002/64'],
  ['2001:db8:1:3::5', '20010db800010003/64'], ['unix:/run/a.sock', 'unix:/run/a.sock'],
])('%s is counted as %s', (address, holder) => expect(holderOf(address)).toBe(holder));

test('an address is in a network exactly when the system\'s own list says so', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(fc.property(address, address, fc.nat(128), (base, other, any) => {
    const family = isIPv4(base) ? 'ipv4' : 'ipv6';
    if ((isIPv4(other) ? 'ipv4' : 'ipv6') !== family) return;
    const bits = any % (family === 'ipv4' ? 33 : 129);
    const list = new BlockList();
    list.addSubnet(base, bits, family);
    const network = parseNetwork(`${base}/${bits}`);
    for (const each of [base, other]) expect(prefixOf(hexOf(each), bits) === network.prefix).toBe(list.check(each, family));
  }), { numRuns: 2000 });
});
