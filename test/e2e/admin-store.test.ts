// The store behind the Admin API when things go wrong: a killed process, a full disk, a disk that cannot be written.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { Place } from '../cli/millrace.ts';
import { fill, mountDisk } from '../support/disk.ts';
import { freePort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';

vi.setConfig({ testTimeout: 60_000 });

const admin = '/apisix/admin';
const upstream = { nodes: { '127.0.0.1:6379': 1 } };

test('after kill -9 between writes every change that was answered is there, whole, with its end and its record', async () => {
  using place = new Place();
  const port = await freePort();
  place.write('millrace.yaml', `listeners: []\nadmin: { port: ${port} }\nworkers: 2\n`);
  const call = async (method: string, path: string, body?: unknown): Promise<any> => {
    const key = readFileSync(join(place.path, 'data/admin.key'), 'utf8').trim();
    const response = await fetch(`http://127.0.0.1:${port}${admin}${path}`, {
      method, headers: { 'X-API-KEY': key }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return response.json();
  };
  // Odd revisions change several resources, even ones a resource with an end.
  const write = async (n: number): Promise<number> => {
    const desc = `n${n}`;
    if (n % 2 === 0) return (await call('PUT', '/plugin_configs/ends?ttl=5000', { desc, plugins: {} })).expires_at;
    return (await call('PATCH', '/configs', { upstreams: { u: { ...upstream, desc } }, services: { s: { upstream_id: 'u', desc } } })).revision;
  };
  const ends = new Map<number, number>();
  let answered = 0;
  for (let round = 0; round < 4; round++) {
    await using running = place.start(['start']);
    await running.started();
    const { revision } = await call('GET', '/history');
    // A change may be durable and its answer lost with the process.
    expect([answered, answered + 1]).toContain(revision);
    const { upstreams, services, plugin_configs: ending } = await call('GET', '/configs');
    if (revision >= 2) {
      const [several, one] = revision % 2 === 1 ? [revision, revision - 1] : [revision - 1, revision];
      expect([upstreams[0].desc, services[0].desc, ending[0].desc]).toEqual([`n${several}`, `n${several}`, `n${one}`]);
      const { expires_at: end } = await call('GET', '/plugin_configs/ends');
      expect(end).toBe(ends.get(one) ?? end);
      expect(end).toBeGreaterThan(Date.now() / 1000 + 1000);
      expect((await call('GET', '/audit?limit=1')).list[0]).toMatchObject({ revision, outcome: 'done' });
    }
    answered = revision;
    const writing = (async () => {
      for (let n = revision + 1; ; n++) {
        const answer = await write(n);
        if (n % 2 === 0) ends.set(n, answer);
        answered = n;
      }
    })().catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 100));
    running.signal('SIGKILL');
    await writing;
  }
  expect(answered).toBeGreaterThan(8);
});

test('on a full disk writes are 503 with the reason, everything goes on, and writes work again when there is room', async ({ skip }) => {
  using disk = mountDisk('1m');
  if (disk === null) return skip('disks cannot be mounted here');
  await using proxy = await startProxy({ route: {}, settings: { store: { path: join(disk.path, 'data/millrace.db') } } });
  const client = await proxy.connect();
  await proxy.put(`${admin}/upstreams/kept`, upstream);
  fill(disk.path);
  const large = { desc: 'x'.repeat(256), labels: Object.fromEntries(Array.from({ length: 400 }, (_, n) => [`label${n}`, 'y'.repeat(200)])) };
  const refused = await proxy.call('PATCH', `${admin}/configs`, { upstreams: { kept: { ...upstream, ...large }, new: upstream } });
  expect(refused).toEqual({
    status: 503, body: { error_msg: 'the configuration store failed: the disk is full, or the size limit of the store is reached' },
  });
  expect((await proxy.call('GET', `${admin}/upstreams/kept`)).body.value.desc).toBeUndefined();
  expect((await proxy.call('GET', `${admin}/upstreams`)).body.total).toBe(1);
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  rmSync(join(disk.path, 'filler'));
  expect((await proxy.call('PUT', `${admin}/upstreams/kept`, { ...upstream, ...large })).status).toBe(200);
  await proxy.app.drain(0);
  const { SqliteStore } = await import('../../core/config/sqlite-store.ts');
  const store = SqliteStore.open({ path: join(disk.path, 'data/millrace.db'), keyFile: join(disk.path, 'data/millrace.db.key') });
  expect(store.get('upstreams', 'kept')?.value['desc']).toBe(large.desc);
  expect(store.config.revision).toBe(3);
  await store.close();
});

test('a store on a disk that cannot be written is served as it was, its last writes too, and every write is 503', async ({ skip }) => {
  using disk = mountDisk('4m');
  if (disk === null) return skip('disks cannot be mounted here');
  const { SqliteStore } = await import('../../core/config/sqlite-store.ts');
  // A process that was killed: its last writes stand in the write-ahead log only.
  const folder = join(disk.path, 'data');
  mkdirSync(folder);
  const store = SqliteStore.open({ path: join(folder, 'source.db') });
  await store.put('stream_routes', '1', { upstream: { type: 'memory' }, protocol: { name: 'redis' } });
  for (const suffix of ['', '-wal']) writeFileSync(join(folder, `millrace.db${suffix}`), readFileSync(join(folder, `source.db${suffix}`)));
  await store.close();
  disk.remount('ro');
  await using proxy = await startProxy({ route: null, settings: { store: { path: join(folder, 'millrace.db') } } });
  expect(await (await proxy.connect()).command('PING')).toBe('PONG');
  expect(await proxy.call('PUT', `${admin}/upstreams/1`, upstream)).toEqual({
    status: 503, body: { error_msg: 'the configuration store failed: it is read-only' },
  });
  expect((await proxy.call('GET', `${admin}/stream_routes`)).body.total).toBe(1);
  expect((await proxy.call('GET', `${admin}/history`)).body.list).toHaveLength(1);
  expect(proxy.records.some(({ code, msg }) => code === 'STORE_FAILED' && String(msg).includes('is read-only'))).toBe(true);
});
