// Log-linear latency histogram: 32 sub-buckets per power of two of microseconds, so 3 % off at most.

const subBuckets = 32;
const subBits = 5;
/** Longest time that is told apart: 2^27 µs, 134 s. Longer ones count there. */
const longest = 2 ** 27 - 1;
export const cellCount = (31 - Math.clz32(longest) - subBits + 2) * subBuckets;

/** Bucket bounds in seconds, unless a histogram asks for its own. */
export const defaultBounds: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10,
];

/** The cell that a time in ms counts in. */
export function cellOf(milliseconds: number): number {
  let v = milliseconds > 0 ? milliseconds * 1000 : 0;
  if (v > longest) v = longest;
  v |= 0;
  if (v < subBuckets) return v;
  const exponent = 31 - Math.clz32(v);
  // The top bit is implied by the exponent, the next five choose the sub-bucket.
  return (exponent - subBits + 1) * subBuckets + ((v >>> (exponent - subBits)) & (subBuckets - 1));
}

/** The largest time in µs that counts in the cell. */
export function cellEnd(cell: number): number {
  if (cell < subBuckets) return cell;
  const shift = Math.floor(cell / subBuckets) - 1;
  return (subBuckets + (cell % subBuckets) + 1) * 2 ** shift - 1;
}

/**
 * Which bucket each cell belongs to, for one list of bounds. A cell that straddles a bound counts above it: a
 * latency is never shown smaller than it was.
 */
export function cellBuckets(bounds: readonly number[]): Uint8Array {
  const buckets = new Uint8Array(cellCount);
  let bucket = 0;
  for (let cell = 0; cell < cellCount; cell++) {
    while (bucket < bounds.length && cellEnd(cell) > bounds[bucket]! * 1e6) bucket++;
    buckets[cell] = bucket;
  }
  return buckets;
}

/** The value in ms below or at which the fraction `q` of all observations lies; 0 when there are none. */
export function quantile(cells: Float64Array, q: number): number {
  let total = 0;
  for (const count of cells) total += count;
  if (total === 0) return 0;
  const wanted = Math.max(1, Math.ceil(total * q));
  for (let cell = 0, seen = 0; cell < cells.length; cell++) {
    seen += cells[cell]!;
    if (seen >= wanted) return cellEnd(cell) / 1000;
  }
  return 0;
}
