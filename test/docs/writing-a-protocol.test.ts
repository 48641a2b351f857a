import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { startLineUpstream } from '../support/line-upstream.ts';
import { freePort } from '../support/ports.ts';
import { blocksOf, readPage, rowsOf } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

const page = readPage('docs/writing-a-protocol.md');
const code = /^```ts\n(import [^]*?|\/\/[^]*?)^```/m.exec(page)?.[1] ?? '';

test('the protocol on the page is the one that the tests of the core use, in under sixty lines', () => {
  expect(code.replaceAll("'millrace/protocol'", "'../../core/protocol-api.ts'"))
    .toBe(readFileSync('test/support/line-protocol.ts', 'utf8'));
  expect(code.split('\n').length).toBeLessThan(60);
});

test('the page lists every part of a protocol', () => {
  const body = /export interface Protocol\b.*?\{\n(.*?)^\}/ms.exec(readFileSync('core/protocol.ts', 'utf8'))![1]!;
  const members = [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, member]) => member!);
  const named = rowsOf(page, 'Part', 'What it is for').flatMap(([cell = '']) => [...cell.matchAll(/`(\w+)/g)].map(([, name]) => name!));
  expect(named.toSorted()).toEqual(members.toSorted());
});

test('the file on the page, saved in the folder that the settings name, serves as it says', async () => {
  await using upstream = await startLineUpstream((line, socket) => socket.write(`${line}\n`));
  const port = await freePort();
  // The page's listener is the one that the reader moves elsewhere.
  await using reader = await Reader.open({ 9101: port, 9201: port });
  const blocks = blocksOf(page);
  reader.save('millrace.yaml', blocks, 'protocols: [protocols]');
  reader.place.write('protocols/line.ts', code);
  await reader.start({ MILLRACE_UPSTREAM: `127.0.0.1:${upstream.port}` });
  expect(await reader.followAll(blocks)).toBe(1);
});
