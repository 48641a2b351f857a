// A file that is broken on the disk must not decide what a worker runs that is replaced; and a process that starts with
// one runs without it, and says so.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startMillrace, type MillraceProcess } from '../support/millrace-process.ts';
import { freePort } from '../support/ports.ts';
import { clientsByWorker } from '../support/worker-clients.ts';

const patient = { timeout: 60_000 };
const memory = { type: 'memory' };

/** Answers `GET who` with its version; `GET exit` ends the worker. */
const answering = (version: string, head = '', text = JSON.stringify(version)): string => `import { definePlugin, ProxyError } from 'millrace';
${head}
export default definePlugin({
  name: 'answering', version: ${JSON.stringify(version)}, priority: 1, schema: { type: 'object' },
  setup: () => ({
    request(request) {
      const key = request.name === 'get' ? request.key(0).toString() : '';
      if (key === 'who') request.settle(new ProxyError('DENIED', ${text}));
      if (key === 'exit') process.exit(3);
    },
  }),
});
`;
const broken = 'export default {';
const route = { upstream: memory, protocol: { name: 'redis' }, plugins: { answering: {} } };

const count = (millrace: MillraceProcess, code: string): number => millrace.records().filter((each) => each['code'] === code).length;

/** Ends the worker that a client is on, and waits for the next one. */
async function replaceWorkers(millrace: MillraceProcess): Promise<void> {
  for (const worker of [0, 1]) {
    const [client] = (await clientsByWorker(millrace, 2)).get(worker)!;
    const before = count(millrace, 'WORKER_STARTED');
    client!.send('GET exit\r\n');
    await client!.untilEnded();
    await expect.poll(() => count(millrace, 'WORKER_STARTED'), { timeout: 20_000 }).toBe(before + 1);
  }
}

async function expectAll(millrace: MillraceProcess, text: string): Promise<void> {
  for (const clients of (await clientsByWorker(millrace, 2)).values()) {
    for (const client of clients) expect(await client.command('GET', 'who')).toMatchObject({ text });
  }
}

test('a replaced worker runs the last good code of a file that is broken, as it was at the start and after a reload', patient, async () => {
  const head = "import { word } from './answering/word.ts';";
  await using millrace = await startMillrace({
    settings: { workers: 2, plugins: ['plugins'] },
    files: { 'plugins/answering.ts': answering('v1', head, 'word'), 'plugins/answering/word.ts': "export const word: string = 'one';" },
  });
  await millrace.put('/apisix/admin/stream_routes/1', route);
  await expectAll(millrace, 'ERR one');

  millrace.write('plugins/answering/word.ts', 'export const');
  await expect.poll(() => count(millrace, 'MODULE_FAILED'), { timeout: 8000 }).toBe(1);
  await replaceWorkers(millrace);
  await expectAll(millrace, 'ERR one');

  millrace.write('plugins/answering/word.ts', "export const word: string = 'two';");
  await expect.poll(() => count(millrace, 'MODULE_RELOADED'), { timeout: 8000 }).toBe(1);
  await expectAll(millrace, 'ERR two');
  millrace.write('plugins/answering.ts', broken);
  await expect.poll(() => count(millrace, 'MODULE_FAILED'), { timeout: 8000 }).toBe(2);
  await replaceWorkers(millrace);
  await expectAll(millrace, 'ERR two');

  // Gone altogether; then a new one, which is live for replaced workers, too.
  for (const file of ['answering.ts', 'answering']) rmSync(join(millrace.folder, 'plugins', file), { recursive: true });
  await expect.poll(() => millrace.records().filter(({ msg }) => /is gone/.test(String(msg))).length, { timeout: 8000 }).toBe(1);
  await replaceWorkers(millrace);
  await expectAll(millrace, 'ERR two');
  millrace.write('plugins/answering.ts', answering('three'));
  await expect.poll(() => count(millrace, 'MODULE_RELOADED'), { timeout: 8000 }).toBe(2);
  await expectAll(millrace, 'ERR three');
});

test('new code that a route refuses is not what a replaced worker runs', patient, async () => {
  await using millrace = await startMillrace({ settings: { workers: 2, plugins: ['plugins'] }, files: { 'plugins/answering.ts': answering('old') } });
  await millrace.put('/apisix/admin/stream_routes/1', route);
  millrace.write('plugins/answering.ts', answering('new').replace("{ type: 'object' }", "{ type: 'object', required: ['must'] }"));
  await expect.poll(() => count(millrace, 'MODULE_FAILED'), { timeout: 8000 }).toBe(1);
  await replaceWorkers(millrace);
  await expectAll(millrace, 'ERR old');
});

test.each([1, 2])('with %i workers, a start with a broken file leaves out the routes that use it, and says so', patient, async (workers) => {
  const [open, closed] = [await freePort(), await freePort()];
  const settings = { workers, plugins: ['plugins'], listeners: [{ port: open, protocol: 'redis' }, { port: closed }] };
  await using first = await startMillrace({ settings, files: { 'plugins/answering.ts': answering('good') } });
  await first.put('/apisix/admin/stream_routes/1', route);
  expect(await (await first.connect(closed)).command('GET', 'who')).toMatchObject({ text: 'ERR good' });
  first.signal('SIGTERM');
  expect(await first.exited).toBe(0);

  first.write('plugins/answering.ts', broken);
  await using again = await startMillrace({ settings, folder: first.folder });
  expect(await again.metric('millrace_module_failures_total')).toBe(1);
  const since = again.records().slice(again.records().findLastIndex(({ code }) => code === 'MODULE_FAILED'));
  expect(since[0]).toMatchObject({ level: 50, file: expect.stringMatching(/answering\.ts$/), text: expect.any(String) });
  expect(since).toContainEqual(expect.objectContaining({ code: 'CONFIG_INVALID', kind: 'stream_routes', id: '1', msg: 'unknown plugin [answering]' }));
  const { modules } = (await again.call('GET', '/apisix/admin/plugins/status')).body;
  expect(modules).toContainEqual(expect.objectContaining({ name: 'answering', error: expect.any(String) }));
  // The default route, where the listener has one.
  expect(await (await again.connect(open)).command('GET', 'who')).toBe(null);
  await (await again.connect(closed)).untilEnded();
  const refused = await again.call('PUT', '/apisix/admin/stream_routes/2', route);
  expect(refused.status).toBe(400);
  expect((await again.call('GET', '/apisix/admin/stream_routes/1')).status).toBe(200);

  again.write('plugins/answering.ts', answering('repaired'));
  await expect.poll(() => count(again, 'MODULE_RELOADED'), { timeout: 8000 }).toBe(1);
  for (const port of [open, closed]) {
    for (let i = 0; i < 8; i++) expect(await (await again.connect(port)).command('GET', 'who')).toMatchObject({ text: 'ERR repaired' });
  }
});
