// The one grammar of integers in Redis: no sign but a minus, no leading zeros, no spaces, within 64 bits.

const shape = /^(?:0|-?[1-9][0-9]{0,18})$/;

export const INT64_MAX = 2n ** 63n - 1n;
export const INT64_MIN = -(2n ** 63n);

/** Reads a signed 64-bit integer; null when the text is none. */
export function parseInt64(text: string): bigint | null {
  if (!shape.test(text)) return null;
  const value = BigInt(text);
  return value > INT64_MAX || value < INT64_MIN ? null : value;
}

/** Same grammar as `parseInt64`, as a number: exact up to 2^53, rounded beyond. For indices and counts. */
export function parseInteger(text: string): number | null {
  if (text.length < 16) return shape.test(text) ? Number(text) : null;
  const value = parseInt64(text);
  return value === null ? null : Number(value);
}
