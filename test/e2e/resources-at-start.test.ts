import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';

let folder = '';
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'millrace-test-')); });
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function resourcesWith(route: Record<string, unknown>): string {
  const path = join(folder, 'resources.json');
  const base = { id: '1', upstream: { type: 'memory' }, protocol: { name: 'redis' } };
  writeFileSync(path, JSON.stringify({ stream_routes: [{ ...base, ...route }] }));
  return path;
}

test('a route for the port of a configured listener is there at the start', async () => {
  const port = await freePort();
  const resources = resourcesWith({ server_port: port });
  await using proxy = await startProxy({
    route: null, settings: { listeners: [{ port, protocol: 'redis' }], resources },
  });
  const client = await proxy.connect(port);
  expect(await client.command('PING')).toBe('PONG');
  expect(proxy.app.listeners.filter((each) => each.port === port)).toHaveLength(1);
});

test('a resources file with a plugin whose check looks at other places is taken at the start', async () => {
  const resources = resourcesWith({ plugins: { 'limit-count': { count: 1, time_window: 3600 } } });
  await using proxy = await startProxy({ route: null, settings: { resources } });
  const client = await proxy.connect();
  expect(await client.command('PING')).toBe('PONG');
  expect(await client.command('PING')).toMatchObject({ text: 'ERR rate limit exceeded' });
  expect(proxy.records.filter((record) => record['code'] === 'CONFIG_UNREADABLE')).toEqual([]);
});
