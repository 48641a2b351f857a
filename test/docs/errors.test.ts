import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorCodes, ProxyError } from '../../core/errors.ts';
import { blocksOf, readPage } from './page.ts';
import { Reader } from './reader.ts';

const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| `([A-Z_]+)` \| (\w+) \| (.+) \| (.+) \|$/gm)];

test('every code of the catalogue is on the errors page, and no other', () => {
  expect(rows.map(([, code]) => String(code)).toSorted()).toEqual([...errorCodes].toSorted());
});

test('the page names the source of each code as the catalogue has it', () => {
  for (const [, code, source] of rows) expect(`${code} ${source}`).toBe(`${code} ${new ProxyError(code as never).source}`);
});

test('what the page begins with is what a client reads', { timeout: 60_000 }, async () => {
  await using reader = await Reader.open();
  await reader.start();
  expect(await reader.followAll(blocksOf(readPage('docs/errors.md')))).toBe(1);
});
