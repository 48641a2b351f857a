// The metrics page against a proxy that has done a bit of everything.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { reasonsByStatus, streamStatus } from '../../core/stream-status.ts';
import { freePort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { blocksOf, readPage, rowsOf } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

const page = readPage('docs/metrics.md');

/** `name type labels` of every metric of the page. */
function documented(): string[] {
  const sections = page.split(/^## /m).slice(1);
  return sections.flatMap((section) => rowsOf(section, 'Metric', 'Type', 'Labels')).map(([name = '', type, labels = '']) =>
    `${name.replaceAll('`', '')} ${type} ${labels.replaceAll(/[`\s]/g, '')}`).toSorted();
}

/** The same of a scraped page. */
function scraped(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\S+) (\w+)\n([a-z_A-Z]+)(?:\{(.*)\})? /gm)].map(([, name, type, , labels = '']) => {
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label).filter((label) => label !== 'le');
    return `${name} ${type} ${names.join(',')}`;
  }).toSorted();
}

test('every metric is on the page with its type and labels, and no other', async () => {
  await using redis = await startRedis();
  const upstream = { nodes: { [`127.0.0.1:${redis.port}`]: 1 } };
  await using proxy = await startProxy({ upstream: redis.port, settings: { workers: 2 }, route: {
    protocol: { name: 'redis', metric: { enable: true } },
    plugins: {
      'fault-injection': { commands: ['get'], abort: { error: 'no' }, delay: { duration: 0 } },
      'limit-count': { count: 100, time_window: 60, policy: 'redis', redis_host: '127.0.0.1', redis_port: redis.port },
    },
  } });
  await proxy.put('/apisix/admin/stream_routes/2', {
    remote_addr: '10.0.0.1', upstream, protocol: { name: 'redis' },
    plugins: {
      'ip-restriction': { whitelist: ['10.0.0.1'] }, 'mocking': { rules: [{ error: 'x' }] }, 'limit-conn': { conn: 1, burst: 0, default_conn_delay: 1, key: 'remote_addr' },
      logger: { file: { path: join(proxy.folder, 'log') } }, opentelemetry: {},
    },
  });
  const client = await proxy.connect();
  await client.pipeline([['GET', 'a'], ['SET', 'a', '1'], ['PING']]);
  await client.close();
  await proxy.put('/apisix/admin/stream_routes/4', {
    remote_addr: '10.0.0.2', protocol: { name: 'redis' },
    upstream: { ...upstream, checks: { active: { type: 'redis' } } },
  });
  await proxy.put('/apisix/admin/stream_routes/5', {
    remote_addr: '10.0.0.3', protocol: { name: 'redis' }, upstream: { service_name: 'localhost:6379', discovery_type: 'dns' },
  });
  await proxy.put('/apisix/admin/stream_routes/3', {
    remote_addr: '127.0.0.1', priority: 1, upstream: { nodes: { [`127.0.0.1:${await freePort()}`]: 1 } }, protocol: { name: 'redis' },
  });
  await (await proxy.connect()).command('PING');
  await expect.poll(async () => scraped(await proxy.metrics()), { timeout: 5000 }).toEqual(documented());
});

test('every name in the sources is on the page', () => {
  const sources = ['core', 'plugins', 'protocols', 'admin'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).map((name) => join(folder, name)));
  const names = sources.flatMap((path) => [...readFileSync(path, 'utf8').matchAll(/'((?:millrace|apisix|process|nodejs)_[a-z_]+[a-z])'/g)])
    .map(([, name]) => name!);
  expect(names.length).toBeGreaterThan(20);
  expect(names.filter((name) => !page.includes(`| \`${name}\` |`))).toEqual([]);
});

test('the table of statuses is the one that connections are counted by, and its reasons are codes', () => {
  const rows = rowsOf(page, 'Code', 'Reason').filter(([code]) => code !== '500');
  expect(Object.fromEntries(rows.map(([code = '', reasons = '']) => [code, [...reasons.matchAll(/`(\w+)`/g)].map(([, reason]) => reason)])))
    .toEqual(reasonsByStatus);
  const named = Object.values(reasonsByStatus).flat();
  expect(new Set(named).size).toBe(named.length);
  const ends = rowsOf(readPage('docs/errors.md').split('## One connection: why it ended')[1]!, 'Code', 'Source')
    .map(([code = '']) => code.replaceAll('`', '')).filter((code) => !code.startsWith('STORE_'));
  expect(ends.filter((code) => streamStatus(code) === '500')).toEqual(['INTERNAL']);
});

test('what the page begins with can be pasted and seen', async () => {
  await using reader = await Reader.open();
  await reader.start();
  expect(await reader.followAll(blocksOf(page))).toBe(1);
});
