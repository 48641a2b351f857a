// A micro benchmark prints what one call costs. Each case makes `calls` calls and answers a number made of
// their results, so that none of them can be optimised away.
import { Bench } from 'tinybench';

export const calls = 100_000;

type Cases = Readonly<Record<string, () => number>>;

export async function nanoseconds(title: string, cases: Cases): Promise<void> {
  const bench = new Bench({ time: 500 });
  let total = 0;
  for (const [name, run] of Object.entries(cases)) bench.add(name, () => { total += run(); });
  await bench.run();
  if (!Number.isFinite(total)) throw new Error(`${title}: the cases gave no numbers`);
  console.log(title);
  console.table(Object.fromEntries(bench.tasks.map(({ name, result }) => {
    const cost = 'latency' in result ? (result.latency.p50 * 1e6) / calls : Number.NaN;
    return [name, { 'ns per call': Number(cost.toFixed(1)) }];
  })));
}
