// IP addresses and networks as texts that can be compared and cut: two hex digits per byte.
import { isIPv4, isIPv6 } from 'node:net';

export interface Network {
  readonly family: 4 | 6;
  /** Of the prefix: 0..32 or 0..128. */
  readonly bits: number;
  /** The first `bits` of the address, as `prefixOf` cuts them. */
  readonly prefix: string;
}

/** `10.0.0.0/8`, or one address. The text was checked before. */
export function parseNetwork(text: string): Network {
  const [address = '', digits] = text.split('/');
  const hex = hexOf(address);
  const family = hex.length === 8 ? 4 : 6;
  const bits = digits === undefined ? hex.length * 4 : Number(digits);
  return { family, bits, prefix: prefixOf(hex, bits) };
}

/** 8 digits of an IPv4 address, 32 of an IPv6 one, none of anything else. */
export function hexOf(address: string): string {
  if (isIPv4(address)) return address.split('.').map((part) => byte(Number(part))).join('');
  if (!isIPv6(address)) return '';
  const [plain = ''] = address.split('%');
  const [head = '', tail] = plain.split('::');
  const first = groups(head);
  if (tail === undefined) return first;
  const last = groups(tail);
  return first + '0'.repeat(32 - first.length - last.length) + last;
}

/** Who has one IPv6 address has its whole /64: counted as one. Anything else is counted as it is. */
export function holderOf(address: string): string {
  const hex = hexOf(address);
  // IPv4 in IPv6 is one address.
  return hex.length !== 32 || hex.startsWith(mapped) ? address : `${prefixOf(hex, 64)}/64`;
}
const mapped = '00000000000000000000ffff';

/** The first bits of an address; those behind them in the last digit are 0. */
export function prefixOf(hex: string, bits: number): string {
  const whole = bits >> 2;
  const rest = bits & 3;
  if (rest === 0) return hex.slice(0, whole);
  const digit = Number.parseInt(hex[whole] ?? '0', 16) & (0xf << (4 - rest));
  return hex.slice(0, whole) + (digit & 0xf).toString(16);
}

function groups(text: string): string {
  if (text === '') return '';
  return text.split(':').map((group) => (group.includes('.') ? hexOf(group) : group.padStart(4, '0'))).join('').toLowerCase();
}

function byte(value: number): string {
  return value.toString(16).padStart(2, '0');
}
