// The guide's files, saved as it says, in front of a real Redis and of the embedded one.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { startRedis } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp.ts';
import { blocksOf, readPage, rowsOf } from './page.ts';
import { Reader } from './reader.ts';

vi.setConfig({ testTimeout: 60_000 });

// The promise is one second; the machine may be busy.
const soon = { timeout: 10_000 };

const page = readPage('docs/writing-a-plugin.md');
const [denyCommands = '', quota = ''] = blocksOf(page).filter(({ language }) => language === 'ts').map(({ code }) => code);

test('the plugins of the page can be saved and seen, as the page says', async () => {
  await using reader = await Reader.open();
  reader.place.write('millrace.yaml', 'plugins: [plugins]\n');
  reader.place.write('plugins/deny-commands.ts', denyCommands);
  reader.place.write('plugins/quota.ts', quota);
  await reader.start();
  expect(await reader.followAll(blocksOf(page))).toBe(3);
});

test('deny-commands is live when it is saved, changed and broken, in front of a real Redis', async () => {
  await using redis = await startRedis();
  await using reader = await Reader.open();
  reader.place.write('millrace.yaml', 'plugins: [plugins]\n');
  reader.place.write('plugins/quota.ts', quota);
  await reader.start();
  const key = readFileSync(join(reader.place.path, 'data/admin.key'), 'utf8').trim();
  const admin = (path: string, body?: object): Promise<Response> =>
    fetch(`http://127.0.0.1:${reader.port('9180')}/apisix/admin/${path}`, {
      headers: { 'X-API-KEY': key }, ...(body === undefined ? {} : { method: 'PUT', body: JSON.stringify(body) }),
    });
  const put = async (): Promise<number> => (await admin('stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' },
    plugins: { 'deny-commands': { commands: ['FLUSHALL'] } },
  })).status;
  const problem = async (): Promise<unknown> => {
    const { modules } = await (await admin('plugins/status')).json() as { modules: { name: string; error: unknown }[] };
    return modules.find(({ name }) => name === 'deny-commands')?.error;
  };
  expect(await put()).toBe(400);
  reader.place.write('plugins/deny-commands.ts', denyCommands);
  await expect.poll(put, soon).toBe(201);
  await using client = await RespClient.connect(reader.port('9101'));
  const flush = async (): Promise<string> => {
    const answer = await client.command('FLUSHALL');
    return answer instanceof RespError ? answer.text : `no error: ${JSON.stringify(answer)}`;
  };
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  expect(await flush()).toBe('ERR command denied');
  reader.place.write('plugins/deny-commands.ts', denyCommands.replace("'DENIED', conf.message", "'DENIED', 'not on my watch'"));
  await expect.poll(flush, soon).toBe('ERR not on my watch');
  reader.place.write('plugins/deny-commands.ts', 'export default {');
  await expect.poll(problem, soon).toEqual(expect.any(String));
  expect(await flush()).toBe('ERR not on my watch');
  expect(await client.command('GET', 'a')).toBe('1');
});

test('the page names everything that `millrace` exports', async () => {
  const exported = Object.keys(await import('../../core/api.ts'));
  expect(exported.filter((name) => !new RegExp(`\\b${name}\\b`).test(page))).toEqual([]);
});

test('the page lists every hook, member of the context and part of a plugin', () => {
  const source = readFileSync('core/plugin.ts', 'utf8');
  const members = (name: string): string[] => {
    const body = new RegExp(`export interface ${name}\\b.*?\\{\\n(.*?)^\\}`, 'ms').exec(source)![1]!;
    return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, member]) => member!);
  };
  const named = (...heading: string[]): string[] => rowsOf(page, ...heading)
    .flatMap(([cell = '']) => [...cell.matchAll(/`(\w+)/g)].map(([, name]) => name!));
  expect(named('Part', 'Meaning').toSorted()).toEqual(members('Plugin').toSorted());
  expect([...named('Hook', 'When', 'May wait'), 'maxWait', 'status', 'waiting', 'transient'].toSorted()).toEqual(members('Hooks').toSorted());
  expect(named('Member', 'Use').toSorted()).toEqual(members('PluginContext').toSorted());
});
