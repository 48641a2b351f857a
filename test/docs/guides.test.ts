// The guides as a reader follows them.
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { startRedis } from '../support/redis-server.ts';
import { blocksOf, readPage } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

test('getting started: every command works and shows what it says, and the file does the same', async () => {
  const blocks = blocksOf(readPage('docs/getting-started.md'));
  await using reader = await Reader.open();
  await reader.start();
  expect(await reader.followAll(blocks)).toBe(2);

  reader.save('millrace.yaml', blocks, 'resources: resources.yaml');
  reader.save('resources.yaml', blocks, 'fault-injection');
  expect((await reader.place.run('check', '-c', 'millrace.yaml')).code).toBe(0);
  await reader.start();
  const began = performance.now();
  expect(await reader.run('redis-cli -p 9101 get greeting')).toBe('(nil)\n');
  expect(performance.now() - began).toBeGreaterThan(500);
});

test('configuration: the two files that it begins with are right, and serve', async () => {
  const blocks = blocksOf(readPage('docs/configuration.md'));
  await using redis = await startRedis();
  await using reader = await Reader.open({ 6379: redis.port, 6380: redis.port });
  reader.save('millrace.yaml', blocks, 'workers: 2');
  // Both nodes are one server here, and one address may stand in a list once.
  const resources = blocks.find(({ code }) => code.includes('upstreams:'))!.code.replace(/, "127\.0\.0\.1:6380": 1/, '');
  reader.place.write('resources.yaml', reader.translate(resources));
  const checked = await reader.place.run('check', '-c', 'millrace.yaml');
  expect(checked.err + checked.out).not.toMatch(/expected/);
  expect(checked.code).toBe(0);
  await reader.start();
  expect(await reader.run('redis-cli -p 9101 set a 1')).toBe('OK\n');
});

test('TLS: the listener and the certificate that it begins with work', async () => {
  const blocks = blocksOf(readPage('docs/tls.md'));
  await using reader = await Reader.open();
  reader.save('millrace.yaml', blocks, 'fallback_sni');
  await reader.start();
  expect(await reader.followAll(blocks.filter(({ language }) => language === 'bash'))).toBe(1);
});

test('redis: the route that it begins with works, and the one with a subordinate', async () => {
  await using redis = await startRedis();
  await using users = await startRedis();
  await using reader = await Reader.open({ 6379: redis.port, 6380: users.port });
  await reader.start();
  expect(await reader.followAll(blocksOf(readPage('docs/redis.md')))).toBe(2);
  expect(await reader.run('redis-cli -p 9101 set user:1 ann')).toBe('OK\n');
  expect(await reader.run(`redis-cli -p ${users.port} get user:1`)).toBe('"ann"\n');
  expect(await reader.run('redis-cli -p 9101 --raw info server')).toContain(`tcp_port:${redis.port}`);
});

test('consumers: the user that it begins with has his own limit, and others have the route\'s', async () => {
  await using redis = await startRedis();
  await using reader = await Reader.open({ 6379: redis.port });
  await reader.start();
  expect(await reader.followAll(blocksOf(readPage('docs/consumers.md')))).toBe(1);
});

test('every page begins with something to paste, and what can be pasted is run by a test', () => {
  const tests = ['test/docs', 'test/cli'].flatMap((folder) => readdirSync(folder).map((file) => readFileSync(`${folder}/${file}`, 'utf8')));
  const run = (page: string): boolean => tests.some((text) => text.includes(`readPage('docs/${page}.md')`)
    || (text.includes('readPage(`docs/plugins/') && text.includes(`'${page.replace('plugins/', '')}'`)));
  const pages = readdirSync('docs', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.md'))
    // It begins with a picture.
    .filter((file) => file !== 'architecture.md').map((file) => file.slice(0, -3));
  const wordy = pages.filter((page) => !/^```(bash|sh|yaml|ts)$/m.test(readPage(`docs/${page}.md`).split(/^## /m).slice(0, 2).join('')));
  const notRun = pages.filter((page) => blocksOf(readPage(`docs/${page}.md`)).some(({ language }) => language === 'bash') && !run(page));
  expect({ wordy, notRun }).toEqual({ wordy: [], notRun: [] });
});
