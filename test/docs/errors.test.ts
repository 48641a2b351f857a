import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorCodes, ProxyError } from '../../core/errors.ts';

const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| `([A-Z_]+)` \| (\w+) \| (.+) \| (.+) \|$/gm)];

test('every code of the catalogue is on the errors page, and no other', () => {
  expect(rows.map(([, code]) => String(code)).toSorted()).toEqual([...errorCodes].toSorted());
});

test('the page names the source of each code as the catalogue has it', () => {
  for (const [, code, source] of rows) expect(`${code} ${source}`).toBe(`${code} ${new ProxyError(code as never).source}`);
});
