// A scenario: the proxies in turn under the same load, and what that says about Millrace.
import type { Load, Measured } from './load.ts';
import type { Running } from './proxy.ts';
import { measureRounds, medianOf, ratioTo, spread, valueOf, type Round } from './rounds.ts';
import type { Figure, Goal, Scenario } from './scenarios.ts';
import { judged, type Row } from './table.ts';
import { residentKib } from './usage.ts';

export interface Contest {
  readonly load: Load;
  readonly running: ReadonlyMap<string, Running>;
  /** What ratios are relative to; null: no peer is installed. */
  readonly base: string | null;
  /** Whether that is the peer that the targets were set for. */
  readonly comparable: boolean;
  readonly rounds: number;
  readonly ms: number;
}

export async function compare(
  scenario: Scenario, subject: string, others: readonly string[], contest: Contest,
): Promise<Row[]> {
  const names = [...others, subject];
  const rounds = await measureRounds(names, contest.rounds, async (name) => {
    const { child, port } = contest.running.get(name)!;
    try {
      return await contest.load.run(child.pid, port, scenario.shape, contest.ms);
    } catch (cause) {
      throw new Error(`${scenario.id}: ${name}: ${(cause as Error).message}\n${child.said()}`, { cause });
    }
  });
  console.log(`\n${scenario.title}  (${scenario.id})`);
  for (const name of names) console.log(details(name, rounds, contest));
  return scenario.goals.map((each) => row(scenario, each, subject, others, rounds, contest));
}

function row(
  scenario: Scenario, goal: Goal, subject: string, others: readonly string[], rounds: readonly Round[],
  contest: Contest,
): Row {
  const { base, comparable } = contest;
  const { figure } = goal;
  const target = { atLeast: figure === 'throughput', value: goal.ratio, digits: 2, unit: '×' };
  const what = `${scenario.title}: ${titles[figure]}`;
  if (base === null) return { what, ...judged(target, null), range: '', others: '' };
  return {
    what,
    ...judged(target, ratioTo(rounds, subject, base, figure), comparable),
    range: spread(rounds, subject, base, figure).map((ratio) => ratio.toFixed(2)).join('–'),
    others: others.filter((name) => name !== base)
      .map((name) => `${name} ${ratioTo(rounds, name, base, figure).toFixed(2)}×`).join(', '),
  };
}

const titles: Readonly<Record<Figure, string>> = {
  throughput: 'throughput', cpu: 'CPU per request', p99: 'p99',
};

function details(name: string, rounds: readonly Round[], { base, running }: Contest): string {
  const middle = (value: (measured: Measured) => number): number => medianOf(rounds, name, value);
  const shown = (figure: Figure, digits: number): string => {
    const value = middle(valueOf[figure]).toFixed(digits);
    return base === null ? value : `${value} (${ratioTo(rounds, name, base, figure).toFixed(2)}×)`;
  };
  return [
    `  ${name.padEnd(20)}`,
    `${shown('throughput', 0)}/s`.padEnd(20),
    `cpu ${shown('cpu', 2)} µs`.padEnd(22),
    `busy ${(middle(({ busy }) => busy) * 100).toFixed(0)} %`.padEnd(11),
    `p50 ${middle(({ p50 }) => p50).toFixed(0)} p99 ${shown('p99', 0)} µs`.padEnd(34),
    `rss ${(residentKib(running.get(name)!.child.pid) / 1024).toFixed(0)} MiB`,
  ].join('').trimEnd();
}
