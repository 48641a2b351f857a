// Links lead somewhere, and pages talk to readers as equals.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';
import { pagePaths } from './fields.ts';

const prose = (text: string): string => text.replaceAll(/^```.*?^```$/gms, '').replaceAll(/`[^`\n]*`/g, '');

/** As GitHub makes them of headings. */
function anchorsOf(path: string): string[] {
  const headings = [...readFileSync(path, 'utf8').replaceAll(/^```.*?^```$/gms, '').matchAll(/^#+ (.+)$/gm)];
  return headings.map(([, text]) => text!.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-'));
}

describe.each(pagePaths())('%s', (path) => {
  const text = readFileSync(path, 'utf8');

  test('links to files and headings that exist', () => {
    const missing = [...text.replaceAll(/^```.*?^```$/gms, '').matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!)
      .filter((link) => !/^[a-z]+:/.test(link)).filter((link) => {
        const [file = '', anchor] = link.split('#');
        const target = file === '' ? path : normalize(join(dirname(path), file));
        return !existsSync(target) || (anchor !== undefined && !anchorsOf(target).includes(anchor));
      });
    expect(missing).toEqual([]);
  });

  test('names files of the project that exist', () => {
    const named = [...text.matchAll(/`((?:core|plugins|protocols|admin|test|docs|scripts)\/[\w./-]+\.\w+)`/g)].map(([, file]) => file!);
    // Files that a guide tells the reader to make.
    const made = /^plugins\/(deny-commands|deny-some|quota|NAME)\b|^plugins\/quota\/|^protocols\/(NAME|line|mine)\b/;
    expect(named.filter((file) => !made.test(file) && !existsSync(file))).toEqual([]);
  });

  test('uses none of the words that make a reader feel slow', () => {
    expect(prose(text).match(/\b(just|easy|easily|simply|obviously)\b/gi)).toBeNull();
  });
});

test('getting started leads to every page, and the README to every page that is no plugin\'s', () => {
  const linked = (path: string): string[] => [...readFileSync(path, 'utf8').matchAll(/\]\(([\w./-]+\.md)/g)]
    .map(([, link]) => normalize(join(dirname(path), link!)));
  const pages = pagePaths().filter((path) => path.startsWith('docs/'));
  const start = linked('docs/getting-started.md');
  expect(pages.filter((path) => path !== 'docs/getting-started.md' && !start.includes(path))).toEqual([]);
  const readme = linked('README.md');
  expect(pages.filter((path) => !path.startsWith('docs/plugins/') && !readme.includes(path))).toEqual([]);
});
