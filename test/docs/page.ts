// A page of the documentation as a reader has it: its text, its blocks of code, its tables.
import { readFileSync } from 'node:fs';

export interface Block {
  readonly language: string;
  readonly code: string;
  /** The `text` block right after it: what the reader is told to see. `…` stands for anything. */
  readonly shown: string | null;
}

export function readPage(path: string): string {
  return readFileSync(path, 'utf8');
}

export function blocksOf(text: string): Block[] {
  const found = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)];
  return found.map((each, index) => {
    const next = found[index + 1];
    const between = next === undefined ? '' : text.slice(each.index + each[0].length, next.index);
    const shown = next?.[1] === 'text' && between.trim() === '' ? next[2]! : null;
    return { language: each[1]!, code: each[2]!, shown };
  });
}

/** Whether a text is what was shown, but for empty lines. */
export function looksLike(shown: string, text: string): boolean {
  const parts = dense(shown).split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^]*?')}$`).test(dense(text));
}

function dense(text: string): string {
  return text.split('\n').filter((line) => line.trim() !== '').join('\n');
}

/** The cells of a table's rows: of the table whose heading begins with these cells. */
export function rowsOf(text: string, ...heading: readonly string[]): string[][] {
  const lines = text.split('\n');
  const at = lines.findIndex((line) => line.startsWith(`| ${heading.join(' | ')} |`));
  const rows: string[][] = [];
  for (const line of lines.slice(at < 0 ? lines.length : at + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim()));
  }
  return rows;
}
