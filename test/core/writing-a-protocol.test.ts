import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { Place } from '../cli/millrace.ts';
import { rowsOf } from '../docs/page.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { freePort } from '../support/ports.ts';
import { TextClient } from '../support/text-client.ts';

vi.setConfig({ testTimeout: 60_000 });

const page = readFileSync('docs/writing-a-protocol.md', 'utf8');
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

test('the file on the page, saved in the folder that the settings name, serves', async () => {
  await using upstream = await startLineUpstream();
  using place = new Place();
  const port = await freePort();
  const settings = /^```yaml\n([^]*?)^```/m.exec(page)?.[1] ?? '';
  place.write('millrace.yaml', `${settings.replace('9201', String(port))}admin: { port: ${await freePort()} }\nworkers: 1\n`);
  place.write('protocols/line.ts', code);
  await using running = place.start(['start'], { MILLRACE_UPSTREAM: `127.0.0.1:${upstream.port}` });
  await running.started();
  await using client = await TextClient.connect(port);
  client.send('get a\nping\n');
  expect(await client.read(2)).toEqual(['get a!', 'pong']);
});
