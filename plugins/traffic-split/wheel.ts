/**
 * One round of smooth weighted round robin, written out: weights 9 and 1 make nine turns of the first and one of the
 * second, spread evenly. Whoever has the number of a turn knows whose it is, without asking anybody.
 */
export function wheelOf(weights: readonly number[]): Uint8Array {
  const divisor = weights.reduce((a, b) => greatestCommon(a, b), 0);
  const shares = weights.map((weight) => (divisor === 0 ? 0 : weight / divisor));
  const total = shares.reduce((a, b) => a + b, 0);
  const current = shares.map(() => 0);
  return Uint8Array.from({ length: total }, () => {
    let best = 0;
    for (let i = 0; i < shares.length; i++) {
      current[i]! += shares[i]!;
      if (current[i]! > current[best]!) best = i;
    }
    current[best]! -= total;
    return best;
  });
}

function greatestCommon(a: number, b: number): number {
  return b === 0 ? a : greatestCommon(b, a % b);
}
