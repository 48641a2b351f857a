// The page of files and wholes as a reader follows it, once each way.
import { expect, test, vi } from 'vitest';
import { blocksOf, readPage } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

test('standalone: files of a folder, and wholes that are sent', async () => {
  const [files = '', wholes = ''] = readPage('docs/standalone.md').split('## The whole in one request\n');
  await using reader = await Reader.open();
  for (const [part, holds, commands] of [[files, 'resources: conf.d', 2], [wholes, 'standalone: true', 2]] as const) {
    reader.save('millrace.yaml', blocksOf(part), holds);
    await reader.start();
    expect(await reader.followAll(blocksOf(part))).toBe(commands);
  }
});
