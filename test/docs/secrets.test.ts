// The page about secrets as a reader follows it.
import { expect, test, vi } from 'vitest';
import { startRedis } from '../support/redis-server.ts';
import { blocksOf, readPage } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

test('secrets: the password of a file is used, the next one too, and the manager of the page is one', async () => {
  const blocks = blocksOf(readPage('docs/secrets.md'));
  await using redis = await startRedis();
  await using reader = await Reader.open({ 6379: redis.port });
  reader.place.write('millrace.yaml', 'plugins: [plugins]\n');
  reader.place.write('plugins/vault.ts', blocks.find(({ language }) => language === 'ts')!.code);
  await reader.start();
  expect(await reader.followAll(blocks)).toBe(3);
});
