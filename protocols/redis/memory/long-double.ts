// INCRBYFLOAT and HINCRBYFLOAT add in x86 `long double` (64 bits of mantissa) and print with `%.17Lf`; in
// doubles, 10.5 + 0.1 would print as 10.59999999999999964. A value is mantissa * 2^exponent, mantissa below
// 2^64.

export interface LongDouble {
  readonly mantissa: bigint;
  readonly exponent: number;
}

const MANTISSA_BITS = 64;
/** Above 2^16384 an x86 long double is infinite. */
const MAX_BITS = 16_384;
const decimal = /^([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)(?:e([+-]?[0-9]+))?$/i;
const hexadecimal = /^([+-]?)0x([0-9a-f]*)\.?([0-9a-f]*)(?:p([+-]?[0-9]{1,6}))?$/i;
const infinite = /^[+-]?inf(?:inity)?$/i;

/**
 * Reads a decimal number; 'infinite' for the words strtold knows; null when it is no number or out of range.
 */
export function parseLongDouble(text: string): LongDouble | 'infinite' | null {
  if (infinite.test(text)) return 'infinite';
  const parts = decimal.exec(text);
  if (parts === null) return parseHexadecimal(text);
  const [, sign, number = '', power = '0'] = parts;
  const [whole = '', fraction = ''] = number.split('.');
  const digits = BigInt(whole + fraction);
  if (digits === 0n) return { mantissa: 0n, exponent: 0 };
  const scale = Number(power) - fraction.length;
  if (Math.abs(scale) + number.length > 5000 + 2 * number.length) return null;
  const signed = sign === '-' ? -digits : digits;
  const value = scale >= 0 ? round(signed * 10n ** BigInt(scale), 1n) : round(signed, 10n ** BigInt(-scale));
  return isFinite(value) ? value : null;
}

function parseHexadecimal(text: string): LongDouble | null {
  const parts = hexadecimal.exec(text);
  if (parts === null) return null;
  const [, sign, whole = '', fraction = '', power = '0'] = parts;
  const exponent = Number(power) - 4 * fraction.length;
  if (whole + fraction === '' || Math.abs(exponent) > MAX_BITS) return null;
  const digits = BigInt(`0x${whole}${fraction}`);
  const signed = sign === '-' ? -digits : digits;
  const value = exponent >= 0
    ? round(signed << BigInt(exponent), 1n)
    : round(signed, 1n << BigInt(-exponent));
  return isFinite(value) ? value : null;
}

/** Adds and rounds; null when the sum is infinite. */
export function addLongDoubles(a: LongDouble, b: LongDouble): LongDouble | null {
  const exponent = Math.min(a.exponent, b.exponent);
  const sum = (a.mantissa << BigInt(a.exponent - exponent)) + (b.mantissa << BigInt(b.exponent - exponent));
  const rounded = exponent >= 0 ? round(sum << BigInt(exponent), 1n) : round(sum, 1n << BigInt(-exponent));
  return isFinite(rounded) ? rounded : null;
}

/** Prints 17 decimals, then drops the zeros at the end. */
export function formatLongDouble({ mantissa, exponent }: LongDouble): string {
  const negative = mantissa < 0n;
  const scaled = (negative ? -mantissa : mantissa) * 10n ** 17n;
  const units = exponent >= 0 ? scaled << BigInt(exponent) : halfEven(scaled, 1n << BigInt(-exponent));
  const digits = units.toString().padStart(18, '0');
  const fraction = digits.slice(-17).replace(/0+$/, '');
  const text = digits.slice(0, -17) + (fraction === '' ? '' : `.${fraction}`);
  return negative && text !== '0' ? `-${text}` : text;
}

function isFinite({ mantissa, exponent }: LongDouble): boolean {
  return bitLength(mantissa < 0n ? -mantissa : mantissa) + exponent <= MAX_BITS;
}

function round(numerator: bigint, denominator: bigint): LongDouble {
  if (numerator === 0n) return { mantissa: 0n, exponent: 0 };
  const positive = numerator < 0n ? -numerator : numerator;
  let shift = MANTISSA_BITS - bitLength(positive) + bitLength(denominator);
  let mantissa = quotient(positive, denominator, shift);
  if (bitLength(mantissa) > MANTISSA_BITS) mantissa = quotient(positive, denominator, --shift);
  return { mantissa: numerator < 0n ? -mantissa : mantissa, exponent: -shift };
}

function quotient(numerator: bigint, denominator: bigint, shift: number): bigint {
  return shift >= 0
    ? halfEven(numerator << BigInt(shift), denominator)
    : halfEven(numerator, denominator << BigInt(-shift));
}

function halfEven(numerator: bigint, denominator: bigint): bigint {
  const whole = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  const up = twice > denominator || (twice === denominator && (whole & 1n) === 1n);
  return up ? whole + 1n : whole;
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(16).length * 4 - leadingZeros(value);
}

function leadingZeros(value: bigint): number {
  return Math.clz32(Number.parseInt(value.toString(16)[0] ?? '0', 16)) - 28;
}
