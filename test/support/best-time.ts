/**
 * The best of up to `attempts` measured times, in ms; asks no more once one is below `bound`. For bounds that are a
 * promise of the product: the machine may be busy, the mechanism must not be slow.
 */
export async function bestTime(bound: number, measure: () => Promise<number>, attempts = 3): Promise<number> {
  let best = Infinity;
  for (let i = 0; i < attempts && best >= bound; i++) best = Math.min(best, await measure());
  return best;
}

/** The same for a sequence: the best time of each of its steps, so that no step can hide behind a quicker one. */
export async function bestTimes(bound: number, measure: () => Promise<readonly number[]>, attempts = 3): Promise<number[]> {
  let best = [...await measure()];
  for (let i = 1; i < attempts && best.some((time) => time >= bound); i++) {
    const times = await measure();
    best = best.map((time, step) => Math.min(time, times[step] ?? Infinity));
  }
  return best;
}
