// The page of resources as a reader follows it, and whether it names what there is.
import { expect, test, vi } from 'vitest';
import { resourceRows } from '../../admin/resources.ts';
import { kinds } from '../../core/config/resource.ts';
import { blocksOf, readPage, rowsOf } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

const text = readPage('docs/resources.md');

test('resources: every example works and shows what it says', async () => {
  await using reader = await Reader.open();
  await reader.start();
  expect(await reader.followAll(blocksOf(text))).toBeGreaterThanOrEqual(resourceRows.length);
});

test('resources: each kind has its row, its section, its methods and its fields', () => {
  expect(rowsOf(text, 'Kind').map(([kind]) => /`(\w+)`/.exec(kind!)![1]).toSorted()).toEqual(resourceRows.map(({ kind }) => kind).toSorted());
  for (const { kind, methods } of resourceRows) {
    const section = new RegExp(`^#{2,3} ${kind}\\n(.*?)(?=^#{2,3} )`, 'ims').exec(text)?.[1] ?? '';
    const named = [...section.matchAll(/`(GET|PUT|POST|PATCH|DELETE)`/g)].map(([, method]) => method);
    expect([kind, new Set(named)]).toEqual([kind, new Set(methods)]);
    const elsewhere = ['stream_routes', 'upstreams', 'plugin_metadata'].includes(kind);
    expect([kind, section.includes(`<!-- fields: ${kinds[kind].schemaName} -->`)]).toEqual([kind, !elsewhere]);
  }
});
