// The table that is printed and published: what was wanted, what was measured.
import { readFileSync, writeFileSync } from 'node:fs';

export interface Row {
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  /** Lowest and highest of the rounds, where there were several. */
  readonly range: string;
  /** What the other proxies reached. */
  readonly others: string;
  /** Null: there was nobody to compare with, or it could not be measured. */
  readonly met: boolean | null;
}

export interface Target {
  readonly atLeast: boolean;
  readonly value: number;
  readonly digits: number;
  readonly unit?: string;
}

type Outcome = Pick<Row, 'target' | 'measured' | 'met'>;

/** What is printed is what is judged, rounded. `comparable` false: the target is for another peer. */
export function judged(target: Target, value: number | null, comparable = true): Outcome {
  const text = (number: number): string => `${number.toFixed(target.digits)}${target.unit ?? ''}`;
  const shown = `${target.atLeast ? '≥' : '≤'} ${text(target.value)}`;
  if (value === null) return { target: shown, measured: '–', met: null };
  const rounded = Number(value.toFixed(target.digits));
  const met = target.atLeast ? rounded >= target.value : rounded <= target.value;
  return { target: shown, measured: text(value), met: comparable ? met : null };
}

const headings = ['', 'target', 'Millrace', 'rounds', 'others', 'result'];

function cells(row: Row): string[] {
  const result = row.met === null ? '–' : row.met ? 'met' : 'missed';
  return [row.what, row.target, row.measured, row.range, row.others, result];
}

export function textTable(rows: readonly Row[]): string {
  const lines = [headings, ...rows.map(cells)];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const padded = (line: readonly string[]): string =>
    line.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd();
  return lines.map(padded).join('\n');
}

export function markdownTable(rows: readonly Row[]): string {
  const aligned = ['---', '---:', '---:', '---:', '---', '---'];
  return [headings, aligned, ...rows.map(cells)].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

const begin = '<!-- bench:begin -->';
const end = '<!-- bench:end -->';

/** Replaces what stands between the markers of a page. */
export function publish(path: string, text: string): void {
  writeFileSync(path, between(readFileSync(path, 'utf8'), text));
}

export function between(page: string, text: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`expected ${begin} and ${end} in the page`);
  return `${page.slice(0, from + begin.length)}\n${text}\n${page.slice(to)}`;
}
