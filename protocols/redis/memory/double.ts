// Doubles as Redis 7.0 reads (strtod) and prints (%.17g) them.

const decimal = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?$/i;
const hexadecimal = /^([+-]?)0x([0-9a-f]*)\.?([0-9a-f]*)(?:p([+-]?[0-9]+))?$/i;
const infinite = /^([+-]?)inf(?:inity)?$/i;

/**
 * Reads what strtod accepts as a whole, except NaN and texts that overflow or underflow; null for the rest.
 */
export function parseDouble(text: string): number | null {
  if (decimal.test(text)) return parseDecimal(text);
  const sign = infinite.exec(text);
  if (sign !== null) return sign[1] === '-' ? -Infinity : Infinity;
  return parseHexadecimal(text);
}

function parseDecimal(text: string): number | null {
  const value = Number(text);
  if (!Number.isFinite(value)) return null;
  return value === 0 && /[1-9]/.test(text.split(/e/i)[0] ?? '') ? null : value;
}

function parseHexadecimal(text: string): number | null {
  const parts = hexadecimal.exec(text);
  if (parts === null) return null;
  const [, sign, whole = '', fraction = '', exponent = '0'] = parts;
  if (whole === '' && fraction === '') return null;
  const digits = Number(BigInt(`0x${whole}${fraction}`));
  const value = digits * 2 ** (Number(exponent) - 4 * fraction.length);
  if (!Number.isFinite(value)) return null;
  return sign === '-' ? -value : value;
}

/** Prints like C's `%.17g`, with `inf` and `-inf`. */
export function formatDouble(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const [mantissa = '', power = '0'] = Math.abs(value).toExponential(16).split('e');
  const exponent = Number(power);
  const sign = value < 0 ? '-' : '';
  const digits = mantissa.replace('.', '').replace(/0+$/, '');
  return sign + (exponent < -4 || exponent >= 17 ? scientific(digits, exponent) : plain(digits, exponent));
}

function scientific(digits: string, exponent: number): string {
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
  const power = String(Math.abs(exponent)).padStart(2, '0');
  return `${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${power}`;
}

function plain(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const fraction = digits.slice(exponent + 1);
  return fraction === '' ? whole : `${whole}.${fraction}`;
}
