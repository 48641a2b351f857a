// What `npm run bench` was asked for.
import { parseArgs } from 'node:util';
import { ids } from './scenarios.ts';

export interface BenchOptions {
  readonly only: readonly string[];
  readonly rounds: number;
  readonly ms: number;
  readonly dist: boolean;
  readonly markdown: boolean;
  readonly help: boolean;
}

export const usage = `npm run bench -- [--only NAMES] [--rounds 5] [--ms 900] [--dist] [--markdown]
npm run bench -- micro [NAME…]
       npm run bench -- routes [COUNT]

  --only      some of ${ids.join(',')}
  --rounds    rounds that count, after one that does not
  --ms        milliseconds of load per proxy and round
  --dist      builds the compiled package and measures that instead of the sources
  --markdown  writes the table into docs/performance.md`;

export function parseArguments(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', default: ids.join(',') },
      rounds: { type: 'string', default: '5' },
      ms: { type: 'string', default: '900' },
      dist: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const only = values.only.split(',');
  const unknown = only.find((id) => !ids.includes(id));
  if (unknown !== undefined) throw new Error(`--only: expected some of ${ids.join(',')}, got ${unknown}`);
  return { ...values, only, rounds: whole(values.rounds, '--rounds'), ms: whole(values.ms, '--ms') };
}

function whole(text: string, option: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 100_000) return value;
  throw new Error(`${option}: expected 1..100000, got ${text}`);
}
