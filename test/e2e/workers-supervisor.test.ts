// A supervisor replaces workers that ended or hang. The tests mostly wait, so they run side by side.
import { test } from 'vitest';
import { startMillrace, type MillraceProcess } from '../support/millrace-process.ts';
import { sleep } from '../support/sleep.ts';
import { clientsByWorker } from '../support/worker-clients.ts';

const memory = { type: 'memory' };
/** Two of them wait 5 s by design, and the machine may be busy. */
const patient = { timeout: 60_000 };

/** Does what it is told by the key: `spin` for ever, `exit` the thread, `throw` out of a timer. */
const bad = `
  import { definePlugin } from 'millrace';
  export default definePlugin({
    name: 'bad', priority: 1, schema: { type: 'object' },
    setup: () => ({
      request(request) {
        if (request.name !== 'get') return;
        const key = request.key(0).toString();
        if (key === 'spin') for (;;) { /* for ever */ }
        if (key === 'exit') process.exit(3);
        if (key === 'throw') setTimeout(() => { throw new Error('out of a timer'); }, 1);
      },
    }),
  });
`;
const startBad = async (workers: number): Promise<MillraceProcess> => {
  const millrace = await startMillrace({ settings: { workers, plugins: ['plugins'] }, files: { 'plugins/bad.ts': bad } });
  await millrace.put('/apisix/admin/stream_routes/1', { upstream: memory, protocol: { name: 'redis' }, plugins: { bad: {} } });
  return millrace;
};

const lost = (millrace: MillraceProcess): readonly Record<string, unknown>[] =>
  millrace.records().filter(({ code }) => code === 'WORKER_LOST');

test.concurrent('a worker that a plugin keeps busy for ever is replaced in about 6 s; the other goes on', patient, async ({ expect }) => {
  await using millrace = await startBad(2);
  const byWorker = await clientsByWorker(millrace, 2);
  const [stuck, well] = [byWorker.get(0)![0]!, byWorker.get(1)![0]!];
  const began = performance.now();
  stuck.send('GET spin\r\n');
  let slowest = 0;
  let pings = 0;
  while (lost(millrace).length === 0 && performance.now() - began < 30_000) {
    const at = performance.now();
    expect(await well.command('PING')).toBe('PONG');
    slowest = Math.max(slowest, performance.now() - at);
    pings++;
    await sleep(50);
  }
  // If it had to wait for the other worker it would be the 5 s, and a few.
  expect(slowest).toBeLessThan(3000);
  expect(pings).toBeGreaterThan(20);
  // By the record's time, which waits for no client of the test.
  const replacedAfter = Date.parse(String(lost(millrace)[0]?.['time'])) - (performance.timeOrigin + began);
  expect(replacedAfter).toBeGreaterThan(4000);
  expect(replacedAfter).toBeLessThan(7500);
  expect(await stuck.untilEnded()).toBeTruthy();
  await expect.poll(() => millrace.records().map(({ code }) => code), { timeout: 15_000 }).toContain('WORKER_STARTED');
  expect(lost(millrace)).toContainEqual(expect.objectContaining({
    worker: 0, last_plugin: 'bad of route 1', msg: 'a worker was silent for 5000 ms and is replaced',
  }));
  await clientsByWorker(millrace, 2);
  expect(await millrace.metric('millrace_workers_replaced_total')).toBe(1);
});

test.concurrent('a write while a worker hangs is answered and holds for the worker that comes after it', patient, async ({ expect }) => {
  await using millrace = await startBad(2);
  const byWorker = await clientsByWorker(millrace, 2);
  byWorker.get(1)![0]!.send('GET spin\r\n');
  await sleep(100);
  await millrace.put('/apisix/admin/stream_routes/1', {
    upstream: memory, protocol: { name: 'redis', conf: { faults: [{ commands: ['ping'], error: 'new plan' }] } },
  });
  for (let i = 0; i < 30; i++) {
    const client = await millrace.connect();
    expect(await client.command('PING')).toMatchObject({ text: expect.stringContaining('new plan') });
  }
});

test.concurrent('a worker whose thread ends is replaced, later each time; counts never go back', patient, async ({ expect }) => {
  await using millrace = await startBad(2);
  const byWorker = await clientsByWorker(millrace, 2);
  await byWorker.get(1)![0]!.pipeline(Array.from({ length: 100 }, () => ['SET', 'a', '1']));
  const series = 'millrace_redis_commands_total{command="set",route="1"}';
  expect(await millrace.metric(series)).toBe(100);
  const waits: number[] = [];
  for (let i = 0; i < 3; i++) {
    const [client] = (await clientsByWorker(millrace, 2)).get(1)!;
    client!.send('GET exit\r\n');
    await client!.untilEnded();
    await expect.poll(() => lost(millrace).length, { timeout: 15_000 }).toBe(i + 1);
    waits.push(Number(/starts in (\d+) ms/.exec(String(lost(millrace)[i]!['msg']))![1]));
    const started = (): number => millrace.records().filter(({ code }) => code === 'WORKER_STARTED').length;
    await expect.poll(started, { timeout: 15_000 }).toBe(i + 1);
    expect(await millrace.metric(series)).toBe(100);
  }
  expect(waits).toEqual([100, 200, 400]);
  await clientsByWorker(millrace, 2);
});

test.concurrent('an uncaught error ends one worker after its clients were answered, and names the cause', patient, async ({ expect }) => {
  await using millrace = await startBad(2);
  const byWorker = await clientsByWorker(millrace, 2);
  const [doomed, well] = [byWorker.get(0)![0]!, byWorker.get(1)![0]!];
  expect(await doomed.command('GET', 'throw')).toBe(null);
  await doomed.untilEnded();
  expect(await well.command('PING')).toBe('PONG');
  await expect.poll(() => millrace.records().map(({ code }) => code), { timeout: 15_000 }).toContain('WORKER_STARTED');
  const fatal = millrace.records().find(({ level }) => level === 60);
  expect(fatal).toMatchObject({ worker: 0, err: { message: 'out of a timer', stack: expect.stringContaining('bad.ts') } });
  await clientsByWorker(millrace, 2);
});

test.concurrent('with one worker nobody replaces what hangs, but /healthz falls silent; with two it goes on', patient, async ({ expect }) => {
  for (const workers of [1, 2]) {
    await using millrace = await startBad(workers);
    const health = `http://127.0.0.1:${millrace.adminPort}/healthz`;
    expect((await fetch(health)).status).toBe(200);
    const client = await millrace.connect();
    client.send('GET spin\r\n');
    await sleep(200);
    const answer = await fetch(health, { signal: AbortSignal.timeout(2000) }).then(({ status }) => status, (cause: Error) => cause.name);
    expect(answer).toBe(workers === 1 ? 'TimeoutError' : 200);
  }
});
