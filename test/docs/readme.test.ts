// The README as a newcomer follows it: the command that `npm start` is, a second terminal, a file to save.
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test, vi } from 'vitest';
import { Place } from '../cli/millrace.ts';
import { blocksOf, readPage } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

const page = readPage('README.md');
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };

test('every command of the README works and shows what it says', async () => {
  await using reader = await Reader.open();
  expect(await reader.start()).toContain('Try:');
  let followed = 0;
  for (const block of blocksOf(page)) {
    if (block.language === 'bash') {
      await reader.follow(block);
      followed++;
      if (block.code.includes('millrace.yaml')) await reader.start();
    }
    if (block.language !== 'ts') continue;
    reader.place.write(/Save this as `(\S+)`/.exec(page)![1]!, block.code);
    // Who types the next command takes longer than this.
    await reader.run(`until curl -H "X-API-KEY: $(cat data/admin.key)" http://127.0.0.1:9180/apisix/admin/plugins/list \
      | grep -q no-flush; do sleep 0.1; done`);
  }
  expect(followed).toBe(5);
});

test('it names the two commands, and they are what is run here', () => {
  const commands = blocksOf(page).filter(({ language }) => language === 'sh').map(({ code }) => code.trim());
  expect(commands).toEqual(['npm ci && npm start', 'npm ci && npm test']);
  // `Reader` starts core/main.ts with `start`.
  expect(scripts['start']).toBe('node --max-semi-space-size=4 core/main.ts start');
  expect(scripts['test']).toBe('vitest run');
  expect(readFileSync('.ci/run', 'utf8')).toMatch(/npm ci[^]*npm test/);
});

test('it has fewer than 200 lines', () => {
  expect(page.split('\n').length).toBeLessThan(200);
});

test('in a clone there is the command `millrace`, whatever Node is first on the PATH', () => {
  using place = new Place();
  place.write('node', '#!/bin/sh\necho an old Node; exit 9\n');
  chmodSync(join(place.path, 'node'), 0o755);
  const out = execFileSync(resolve('node_modules/.bin/millrace'), ['new', 'plugin', 'shut'], {
    cwd: place.path, env: { ...process.env, PATH: `${place.path}:${process.env['PATH']}` }, encoding: 'utf8',
  });
  expect(out).toContain('plugins/shut.ts');
});
