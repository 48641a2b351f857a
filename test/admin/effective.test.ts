// What really runs, and what does not.
import { writeFileSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';

const admin = '/apisix/admin';

test('a route is shown with all that it takes from elsewhere, without secrets', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put(`${admin}/upstreams/u`, { nodes: { '127.0.0.1:6379': 1 }, auth: { password: 'hunter2' } });
  await proxy.put(`${admin}/services/s`, { upstream_id: 'u', plugins: { 'ip-restriction': { blacklist: ['10.0.0.1'] } } });
  await proxy.put(`${admin}/global_rules/1`, { plugins: { 'limit-count': { count: 5, time_window: 1 } } });
  await proxy.put(`${admin}/stream_routes/r`, { service_id: 's', protocol: { name: 'redis' }, plugins: { 'fault-injection': { abort: { error: 'x' } } } });
  const { body } = await proxy.call('GET', `${admin}/stream_routes/r/effective`);
  expect(body).toEqual({
    key: '/apisix/stream_routes/r', origin: 'store',
    value: {
      id: 'r', protocol: { name: 'redis' }, upstream: { nodes: { '127.0.0.1:6379': 1 }, auth: { password: '***' } },
      plugins: { 'ip-restriction': { blacklist: ['10.0.0.1'] }, 'fault-injection': { abort: { error: 'x' } } },
    },
    global_plugins: { 'limit-count': { count: 5, time_window: 1 } },
  });
  expect((await proxy.call('GET', `${admin}/stream_routes/nobody/effective`)).status).toBe(404);
});

test('what was written and is not in use is listed with the reason, and workers say what they run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-effective-'));
  const file = join(folder, 'resources.yaml');
  writeFileSync(file, 'stream_routes:\n  - { id: good, upstream: { type: memory }, protocol: { name: redis } }\n  - { id: bad, server_port: 0 }\n');
  await using proxy = await startProxy({ route: null, settings: { workers: 2, resources: file } });
  const status = async (): Promise<any> => (await proxy.call('GET', `${admin}/configs/status`)).body;
  const first = await status();
  expect(first.workers).toEqual([0, 1].map((worker) => ({ worker, revision: first.revision, current: true })));
  expect(first.not_in_use).toEqual([]);
  expect(first.file.problems).toContainEqual(expect.stringMatching(/resources\.yaml:3:\d+: stream_routes\[1\]\.server_port: expected 1\.\.65535, got 0/));
  // A route of the file that names what is not there is built as soon as it is.
  writeFileSync(file, 'stream_routes:\n  - { id: good, upstream_id: later, protocol: { name: redis } }\n');
  await expect.poll(async () => (await status()).not_in_use).toEqual([{
    kind: 'stream_routes', id: 'good', code: 'CONFIG_INVALID', error: expect.stringContaining('upstream_id: expected one of upstreams, got "later"'),
  }]);
  await proxy.put(`${admin}/upstreams/later`, { type: 'memory' });
  await expect.poll(async () => (await status()).not_in_use).toEqual([]);
  rmSync(folder, { recursive: true });
});
