// What the page promises, as far as the tests of its parts do not say it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { defaultLimits } from '../../core/limits.ts';
import { settingsSchema } from '../../core/settings-schema.ts';
import { blocksOf, readPage, rowsOf } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

const page = readPage('docs/security.md');

test('what the page begins with is refused as it says', async () => {
  await using reader = await Reader.open();
  await reader.start();
  const [first] = blocksOf(page);
  // A 401 is what it wants to see.
  expect(first!.shown).not.toBeNull();
  expect((await reader.run(first!.code, true)).split('\n').filter((line) => line !== ''))
    .toEqual(first!.shown!.trim().split('\n'));
});

test('the page has a row for each limit, and no other', () => {
  const named = rowsOf(page, 'Field', 'Type').map(([name = '']) => name.replaceAll('`', ''));
  expect(named).toEqual(Object.keys(settingsSchema.properties!['limits']!.properties!));
});

test('every limit that can be set is kept by some code', () => {
  const sources = ['core', 'protocols'].flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts')).map((name) => join(folder, name)))
    .filter((name) => !/(^|\/)(limits|settings-\w+)\.ts$/.test(name)).map((name) => readFileSync(name, 'utf8'));
  const unused = Object.keys(defaultLimits).filter((name) =>
    !sources.some((text) => new RegExp(`[lL]imits\\.${name}\\b|\\{[^{}]*\\b${name}\\b[^{}]*\\} = [\\w.]*limits`).test(text)));
  expect(unused).toEqual([]);
  const mapped = readFileSync('core/settings-limits.ts', 'utf8');
  const unmapped = Object.keys(settingsSchema.properties!['limits']!.properties!).filter((name) => !mapped.includes(`settings.${name}`));
  expect(unmapped).toEqual([]);
});
