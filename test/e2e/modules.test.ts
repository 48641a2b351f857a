// Plugins and protocols of one's own, from a folder: what is saved is live, what is broken changes nothing.
import { rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bestTimes } from '../support/best-time.ts';
import { startMillrace, type MillraceProcess } from '../support/millrace-process.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp.ts';

/** The example of the documentation, word by word. */
const denyCommands = `import { definePlugin, ProxyError } from 'millrace';

/** Refuses the listed commands, whichever front door they come in by. */
export default definePlugin<{ commands: string[]; message: string }>({
  name: 'deny-commands',
  priority: 2000,
  schema: {
    type: 'object', required: ['commands'], additionalProperties: false,
    properties: {
      commands: { type: 'array', items: { type: 'string' }, minItems: 1 },
      message: { type: 'string', default: 'command denied' },
    },
  },
  setup(conf) {
    const denied = new Set(conf.commands.map((name) => name.toLowerCase()));
    return {
      request(request) {
        if (denied.has(request.name)) request.settle(new ProxyError('DENIED', conf.message));
      },
    };
  },
});
`;

/** Answers PING with a text. */
const answering = (text: string, head = ''): string => `import { definePlugin, ProxyError } from 'millrace';
${head}
export default definePlugin({
  name: 'answering', version: ${JSON.stringify(text)}, priority: 1, schema: { type: 'object' },
  setup: () => ({
    request(request) { if (request.name === 'ping') request.settle(new ProxyError('DENIED', ${JSON.stringify(text)})); },
  }),
});
`;

async function start(files: Record<string, string>, plugins: Record<string, unknown>, workers = 1): Promise<MillraceProcess> {
  const millrace = await startMillrace({ files, settings: { workers, plugins: ['plugins'], protocols: ['protocols'] } });
  await millrace.put('/apisix/admin/stream_routes/1', { upstream: { type: 'memory' }, protocol: { name: 'redis' }, plugins });
  return millrace;
}

const ping = async (client: RespClient): Promise<string> => {
  const reply = await client.command('PING');
  return reply instanceof RespError ? reply.text : String(reply);
};
/** Milliseconds until PING is answered so. */
async function until(client: RespClient, text: string): Promise<number> {
  const began = performance.now();
  await expect.poll(() => ping(client), { timeout: 10_000, interval: 10 }).toContain(text);
  return performance.now() - began;
}
const modules = async (millrace: MillraceProcess): Promise<readonly { name: string; file: string; generation: number; error: string | null }[]> =>
  (await millrace.call('GET', '/apisix/admin/plugins/status')).body.modules;

test('the deny-commands example works on Redis as it stands in the documentation', async () => {
  await using millrace = await start({ 'plugins/deny-commands.ts': denyCommands }, { 'deny-commands': { commands: ['FLUSHALL', 'keys'] } });
  const client = await millrace.connect();
  expect(await client.pipeline([['SET', 'a', '1'], ['flushall'], ['KEYS', '*'], ['GET', 'a']])).toEqual(
    ['OK', new RespError('ERR command denied'), new RespError('ERR command denied'), '1']);
  const list = await millrace.call('GET', '/apisix/admin/plugins/list');
  expect(list.body).toContain('deny-commands');
  const wrong = await millrace.call('PUT', '/apisix/admin/stream_routes/2', {
    upstream: { type: 'memory' }, protocol: { name: 'redis' }, plugins: { 'deny-commands': { commands: [] } },
  });
  expect(wrong.status).toBe(400);
  expect(wrong.body.error_msg).toContain('deny-commands');
});

describe.each([1, 2])('with %i workers', (workers) => {
  test('a saved change is live in under a second on open connections, and nothing is dropped under load', async () => {
    await using millrace = await start({ 'plugins/answering.ts': answering('v0') }, { answering: {} }, workers);
    const [client, ...others] = await Promise.all(Array.from({ length: 9 }, () => millrace.connect()));
    expect(await ping(client!)).toBe('ERR v0');
    let running = true;
    let done = 0;
    const load = others.map(async (other, i) => {
      for (let n = 0; running; n++) {
        const replies = await other.pipeline([['SET', `k${i}`, String(n)], ['GET', `k${i}`], ['INCR', `n${i}`]]);
        expect(replies).toEqual(['OK', String(n), n + 1]);
        done++;
      }
    });
    const reloads = (): number => millrace.records().filter(({ code }) => code === 'MODULE_RELOADED').length;
    let version = 0;
    // Of each of five the best: the machine may be busy, the mechanism must not be slow.
    const best = await bestTimes(1000, async () => {
      const times: number[] = [];
      for (const last = version + 5; version < last;) {
        version++;
        millrace.write('plugins/answering.ts', answering(`v${version}`));
        times.push(await until(client!, `v${version}`));
        // Live is not yet reported, and with two workers not yet everywhere.
        await expect.poll(reloads).toBe(version);
      }
      return times;
    });
    running = false;
    await Promise.all(load);
    expect(done).toBeGreaterThan(100);
    expect(Math.max(...best)).toBeLessThan(1000);
    expect(reloads()).toBe(version);
    const [module] = (await modules(millrace)).filter(({ name }) => name === 'answering');
    expect(module).toMatchObject({ generation: version + 1, error: null });
  });

  test('a broken file keeps the old code and shows in log, metric and status; the repaired one is live', async () => {
    await using millrace = await start({ 'plugins/answering.ts': answering('good') }, { answering: {} }, workers);
    const client = await millrace.connect();
    const broken = ['export default {', 'throw new Error("at import");', 'export default { name: "answering" };', 'export const nothing = 1;',
      answering('bad').replace('definePlugin', 'definePlugginn')];
    for (const [i, text] of broken.entries()) {
      millrace.write('plugins/answering.ts', text);
      await expect.poll(() => millrace.metric('millrace_module_failures_total'), { timeout: 8000 }).toBe(i + 1);
      expect(await ping(client)).toBe('ERR good');
      expect(await ping(await millrace.connect())).toBe('ERR good');
      const status = (await modules(millrace)).find(({ name }) => name === 'answering')!;
      expect(status.error).toBeTruthy();
      expect(status.file).toMatch(/plugins\/answering\.ts$/);
      // Its line comes by another way than the metric.
      await expect.poll(() => millrace.records().filter(({ code }) => code === 'MODULE_FAILED')).toHaveLength(i + 1);
    }
    millrace.write('plugins/answering.ts', answering('repaired'));
    await until(client, 'repaired');
    expect((await modules(millrace)).find(({ name }) => name === 'answering')!.error).toBe(null);
  });
});

test('new code whose schema does not suit a route is not used at all', async () => {
  await using millrace = await start({ 'plugins/answering.ts': answering('old') }, { answering: {} });
  const client = await millrace.connect();
  const stricter = answering('new').replace("{ type: 'object' }", "{ type: 'object', required: ['must'] }");
  millrace.write('plugins/answering.ts', stricter);
  await expect.poll(() => millrace.metric('millrace_module_failures_total'), { timeout: 8000 }).toBe(1);
  expect((await modules(millrace)).find(({ name }) => name === 'answering')!.error).toContain('must');
  expect(await ping(client)).toBe('ERR old');
  // A route that is written now is checked and built by the code that serves.
  await millrace.put('/apisix/admin/stream_routes/1', {
    upstream: { type: 'memory' }, protocol: { name: 'redis' }, plugins: { answering: {} }, desc: 'again',
  });
  expect(await ping(client)).toBe('ERR old');
});

test('files that a plugin imports or reads beside it are reloaded with it', async () => {
  const plugin = answering('TEXT').replaceAll('"TEXT"', 'text()').replace("version: text()", "version: '1'");
  const source = plugin.replace('\nexport', `import { word } from './answering/word.ts';
import { readFileSync } from 'node:fs';
const list = readFileSync(new URL('./answering/list.json', import.meta.url), 'utf8');
const text = (): string => word + JSON.parse(list).end;
export`);
  await using millrace = await start({
    'plugins/answering.ts': source, 'plugins/answering/word.ts': "export { word } from './deep/word.ts';",
    'plugins/answering/deep/word.ts': "export const word = 'one';", 'plugins/answering/list.json': '{"end":"!"}',
  }, { answering: {} });
  const client = await millrace.connect();
  expect(await ping(client)).toBe('ERR one!');
  millrace.write('plugins/answering/deep/word.ts', "export const word = 'two';");
  await until(client, 'two!');
  millrace.write('plugins/answering/list.json', '{"end":"?"}');
  await until(client, 'two?');
});

test('a new file is a new plugin without a restart; routes that waited for it get it', async () => {
  await using millrace = await startMillrace({
    settings: { plugins: ['plugins'], resources: 'resources.json' },
    files: {
      'plugins/.keep': '',
      'resources.json': JSON.stringify({
        stream_routes: [{ id: '1', upstream: { type: 'memory' }, protocol: { name: 'redis' }, plugins: { answering: {} } }],
      }),
    },
  });
  const client = await millrace.connect();
  expect(await ping(client)).toBe('PONG');
  millrace.write('plugins/answering.ts', answering('here now'));
  await expect.poll(async () => ping(await millrace.connect()), { timeout: 10_000 }).toBe('ERR here now');
});

test('a plugin named like a built-in or like another one is refused, and the first keeps its name', async () => {
  await using millrace = await start({
    'plugins/answering.ts': answering('first'),
    'plugins/copy.ts': answering('second'),
    'plugins/mine.ts': answering('mine').replace("name: 'answering'", "name: 'limit-count'"),
  }, { answering: {} });
  expect(await ping(await millrace.connect())).toBe('ERR first');
  const failed = (await modules(millrace)).filter(({ error }) => error !== null);
  expect(failed.map(({ file }) => file.split('/').at(-1)).toSorted()).toEqual(['copy.ts', 'mine.ts']);
  expect(failed.find(({ file }) => file.endsWith('mine.ts'))!.error).toContain('expected one that is free, got "limit-count"');
  expect(await millrace.metric('millrace_module_failures_total')).toBe(2);
});

test('a plugin file that is deleted serves on where it is configured', async () => {
  await using millrace = await start({ 'plugins/answering.ts': answering('ghost') }, { answering: {} });
  const client = await millrace.connect();
  rmSync(`${millrace.folder}/plugins/answering.ts`);
  const error = async (): Promise<unknown> => (await modules(millrace)).find(({ name }) => name === 'answering')!.error;
  await expect.poll(error, { timeout: 8000 }).toBe('the file is gone');
  expect(await ping(client)).toBe('ERR ghost');
  expect(await ping(await millrace.connect())).toBe('ERR ghost');
});
