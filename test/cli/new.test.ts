import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { Place } from './millrace.ts';

// Processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

test('a new plugin has a test that runs, and loads as it is', async () => {
  using place = new Place();
  const made = await place.run('new', 'plugin', 'deny-some');
  expect(made).toMatchObject({ code: 0, err: '' });
  const tested = await place.run('test', 'plugins/deny-some.test.ts');
  expect([tested.code, tested.out]).toEqual([0, expect.stringMatching(/pass 2\n/)]);
  place.write('millrace.yaml', 'plugins: [plugins]\nresources: resources.yaml\n');
  place.write('resources.yaml', `
stream_routes:
  - { id: 1, protocol: { name: redis }, upstream: { type: memory }, plugins: { deny-some: { commands: [get] } } }
  - { id: 2, protocol: { name: redis }, upstream: { type: memory }, plugins: { deny-some: {} } }
`);
  const { err } = await place.run('check');
  expect(err).toMatch(/^\S+:4:\d+: stream_routes\[1\]\.plugins\.deny-some\.commands: expected/);
  expect(err.trim().split('\n')).toHaveLength(1);
});

test('what `npm init` writes into package.json does not keep new plugins and protocols from loading', async () => {
  using place = new Place();
  place.write('package.json', '{ "name": "mine", "type": "commonjs" }');
  await place.run('new', 'plugin', 'deny-some');
  await place.run('new', 'protocol', 'line');
  const tested = await place.run('test', 'plugins/deny-some.test.ts', 'protocols/line.test.ts');
  expect([tested.code, tested.out]).toEqual([0, expect.stringMatching(/pass 3\n/)]);
  place.write('plugins/table.js', 'module.exports = { name: "common", priority: 1, schema: {}, setup: () => ({}) };');
  place.write('millrace.yaml', 'plugins: [plugins]\nprotocols: [protocols]\n');
  expect(await place.run('check')).toEqual({ code: 0, out: 'ok\n', err: '' });
});

test('a test of a plugin that fails is exit code 1', async () => {
  using place = new Place();
  await place.run('new', 'plugin', 'deny-some');
  const file = join(place.path, 'plugins/deny-some.ts');
  writeFileSync(file, readFileSync(file, 'utf8').replace('count.add();', ''));
  expect(await place.run('test', 'plugins/deny-some.test.ts')).toMatchObject({ code: 1 });
});

test('a new protocol passes its test through a running Millrace', async () => {
  using place = new Place();
  await place.run('new', 'protocol', 'line');
  const tested = await place.run('test', 'protocols/line.test.ts');
  expect([tested.code, tested.out]).toEqual([0, expect.stringMatching(/pass 1\n/)]);
});

test('an existing file is never written over', async () => {
  using place = new Place();
  for (const name of ['x.ts', 'x.test.ts']) {
    using other = new Place();
    other.write(`plugins/${name}`, 'mine');
    expect(await other.run('new', 'plugin', 'x')).toMatchObject({
      code: 1, err: `millrace: plugins/${name} exists; nothing was written\n`,
    });
    expect(readFileSync(join(other.path, 'plugins', name), 'utf8')).toBe('mine');
  }
  const ours = await place.run('new', 'plugin', 'limit-count');
  const why = 'millrace: the plugin limit-count comes with Millrace; nothing was written\n';
  expect([ours.code, ours.err]).toEqual([1, why]);
  expect((await place.run('new', 'protocol', 'redis')).code).toBe(1);
  expect(existsSync(join(place.path, 'plugins'))).toBe(false);
});

test('a command line that is not understood is exit code 2, help and version 0', async () => {
  using place = new Place();
  const wrong = [[], ['nonsense'], ['start', '--nonsense'], ['new', 'plugin'], ['new', 'plugin', '../x'], ['test']];
  for (const args of wrong) {
    expect([args, (await place.run(...args)).code]).toEqual([args, 2]);
  }
  for (const command of ['', 'start', 'check', 'new', 'test']) {
    const { code, out } = await place.run(...(command === '' ? [] : [command]), '--help');
    expect([code, out]).toEqual([0, expect.stringContaining(`Usage: millrace ${command}`)]);
  }
  expect(await place.run('--version')).toEqual({ code: 0, out: '0.1.0\n', err: '' });
});
