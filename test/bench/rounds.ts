// Interleaved rounds: what else the machine does hits all proxies alike, so the ratios within a round are
// steadier than any figure by itself.
import type { Measured } from './load.ts';
import type { Figure } from './scenarios.ts';

export type Round = ReadonlyMap<string, Measured>;

/**
 * Measures each name once per round, in turning order. A first round warms up (code is compiled, memory is
 * allocated) and is not counted.
 */
export async function measureRounds(
  names: readonly string[], rounds: number, measure: (name: string) => Promise<Measured>,
): Promise<Round[]> {
  const counted: Round[] = [];
  for (let round = 0; round <= rounds; round++) {
    const turn = round % names.length;
    const results = new Map<string, Measured>();
    for (const name of [...names.slice(turn), ...names.slice(0, turn)]) {
      results.set(name, await measure(name));
    }
    if (round > 0) counted.push(results);
  }
  return counted;
}

/** Median of the rounds' own ratios. */
export function ratioTo(rounds: readonly Round[], name: string, base: string, figure: Figure): number {
  return median(ratios(rounds, name, base, figure));
}

/** Lowest and highest ratio of any round. */
export function spread(
  rounds: readonly Round[], name: string, base: string, figure: Figure,
): [number, number] {
  const all = ratios(rounds, name, base, figure);
  return [Math.min(...all), Math.max(...all)];
}

export function medianOf(
  rounds: readonly Round[], name: string, value: (measured: Measured) => number,
): number {
  return median(rounds.map((round) => value(round.get(name)!)));
}

export const valueOf: Readonly<Record<Figure, (measured: Measured) => number>> = {
  throughput: ({ requestsPerSecond }) => requestsPerSecond,
  cpu: ({ cpu }) => cpu,
  p99: ({ p99 }) => p99,
};

function ratios(rounds: readonly Round[], name: string, base: string, figure: Figure): number[] {
  const value = valueOf[figure];
  return rounds.map((round) => value(round.get(name)!) / value(round.get(base)!));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
