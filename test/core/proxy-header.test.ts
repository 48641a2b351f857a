import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseProxyHeader, writeProxyHeader } from '../../core/proxy-header.ts';

const port = fc.integer({ min: 0, max: 65535 });
const pair = fc.oneof(fc.tuple(fc.ipV4(), fc.ipV4()), fc.tuple(fc.ipV6(), fc.ipV6()));
/** One way to write an address. */
const same = (address: string): string => (address.includes(':') ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address);

test('what is written is read again, cut anywhere and with bytes behind it, in both versions', () => {
  fc.assert(fc.property(pair, port, port, fc.constantFrom(1 as const, 2 as const), fc.uint8Array({ maxLength: 20 }), (addresses, remotePort, localPort, version, more) => {
    const [remoteAddress, localAddress] = addresses.map(same) as [string, string];
    const header = writeProxyHeader(version, { remoteAddress, localAddress, remotePort, localPort });
    for (let end = 0; end < header.length; end++) expect(parseProxyHeader(header.subarray(0, end))).toBe(null);
    expect(parseProxyHeader(Buffer.concat([header, more]))).toEqual({
      length: header.length, addresses: { remoteAddress, localAddress, remotePort, localPort },
    });
  }), { numRuns: 200 });
});

test('any other bytes are refused or waited for, and never read beyond the limit', () => {
  fc.assert(fc.property(fc.oneof(
    fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([Buffer.from('PROXY '), bytes])),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a', 'hex'), bytes])),
  ), (bytes) => {
    let header;
    try {
      header = parseProxyHeader(Buffer.from(bytes));
    } catch (error) {
      expect((error as Error).message).toMatch(/expected|too short/);
      return;
    }
    if (header !== null) expect(header.length).toBeLessThanOrEqual(bytes.length);
  }), { numRuns: 2000 });
});

test.each(['PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n', 'PROXY TCP4 ::1 ::1 1 1\r\n', 'PROXY TCP6 1.1.1.1 ::1 1 1\r\n', 'PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n', 'PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n', 'GET / HTTP/1.1\r\n'])(
  'the line %j is no header', (line) => expect(() => parseProxyHeader(Buffer.from(line))).toThrow(/^(PROXY: )?expected /));
