import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { pagePaths, plugins, withTables } from './fields.ts';

const pages = pagePaths().filter((path) => readFileSync(path, 'utf8').includes('<!-- fields: '));

test.each(pages)('the tables of %s are those of the schemas (node test/docs/fields.ts writes them)', (path) => {
  const page = readFileSync(path, 'utf8');
  expect(page).toBe(withTables(page));
});

test('each plugin\'s page has the table of its configuration', () => {
  for (const { name } of plugins) {
    expect(readFileSync(`docs/plugins/${name}.md`, 'utf8')).toContain(`<!-- fields: plugin ${name} -->\n| Field |`);
  }
});
