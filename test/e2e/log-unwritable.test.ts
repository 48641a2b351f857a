// O10: what cannot be logged is lost and counted; requests go on as if nothing were.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { droppedRecords } from '../../core/log-file.ts';
import { createLogger } from '../../core/log.ts';
import { Place } from '../cli/millrace.ts';
import { freePort } from '../support/ports.ts';
import { RespClient } from '../support/resp-client.ts';
import { runProgram } from '../support/run-program.ts';

async function settings(place: Place, log: string): Promise<{ port: number; admin: number }> {
  const [port, admin] = [await freePort(), await freePort()];
  place.write('millrace.yaml', `listeners: [{ port: ${port}, protocol: redis }]\nadmin: { port: ${admin} }\nworkers: 1\nlog: ${log}\n`);
  return { port, admin };
}

/** Connections that come and go, each of which is logged. */
async function traffic(port: number, count: number): Promise<void> {
  for (let done = 0; done < count; done += 50) {
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      await using client = await RespClient.connect(port);
      expect(await client.command('SET', `k${i}`, String(done))).toBe('OK');
    }));
  }
}

test('a log on a full disk costs records, not requests, and is told once on standard error', { timeout: 40_000 }, async () => {
  using place = new Place();
  const { port, admin } = await settings(place, '{ level: debug, file: /dev/full }');
  await using running = place.start(['start']);
  await running.started();
  await traffic(port, 500);
  const page = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  const dropped = Number(/^millrace_log_dropped_total (\d+)$/m.exec(page)?.[1]);
  running.signal('SIGTERM');
  expect((await running.ended).code).toBe(0);
  expect(dropped).toBeGreaterThanOrEqual(500);
  const said = running.err.split('\n').filter((line) => line.includes('LOG_DROPPED')).map((line) => JSON.parse(line) as object);
  expect(said).toEqual([expect.objectContaining({
    code: 'LOG_DROPPED', file: '/dev/full', msg: expect.stringMatching(/^log records are lost: ENOSPC/),
  })]);
});

test('nobody waits for who reads the log, and does not', { timeout: 40_000 }, async () => {
  using place = new Place();
  const { port } = await settings(place, '{ level: debug }');
  const child = spawn(process.execPath, [resolve('core/main.ts'), 'start', '-c', join(place.path, 'millrace.yaml')], {
    cwd: place.path, stdio: ['ignore', 'pipe', 'pipe'],
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(MILLRACE_|NODE_OPTIONS|VITEST)/.test(name))),
  });
  try {
    await once(child.stdout, 'data');
    // Its standard error is a pipe that nobody empties: after some hundred records it is full.
    await traffic(port, 3000);
    await using client = await RespClient.connect(port, { timeout: 2000 });
    expect(await client.command('GET', 'k1')).toBe('2950');
  } finally {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
});

test('no more than 8 MiB of records wait; what is beyond is counted', async () => {
  const before = droppedRecords();
  using place = new Place();
  const path = join(place.path, 'log');
  const { log } = createLogger({ level: 'info', file: path });
  const filler = 'x'.repeat(1000);
  // In one turn, in which nothing can be written.
  for (let i = 0; i < 12_000; i++) log.info({ filler }, 'record');
  const lost = droppedRecords() - before;
  const lines = (): string[] => readFileSync(path, 'utf8').trimEnd().split('\n');
  await expect.poll(() => lines().length).toBe(12_000 - lost);
  expect(readFileSync(path).length).toBeGreaterThan(8_000_000);
  expect(readFileSync(path).length).toBeLessThanOrEqual(8 * 1024 * 1024);
  for (const line of lines()) expect((JSON.parse(line) as { filler: string }).filler).toBe(filler);
  log.info('after');
  await expect.poll(() => lines().at(-1)).toContain('after');
});

test('a log file that cannot be opened is told at the start, by name', async () => {
  using place = new Place();
  place.write('logs/older', '');
  await settings(place, '{ file: logs }');
  const { code, err } = await place.run('start');
  expect([code, err]).toEqual([1, expect.stringMatching(/^millrace: log\.file: EISDIR.*logs/)]);
});

test('what is said last is there when the process ended at once', async () => {
  using place = new Place();
  place.write('say.ts', `import { createLogger } from ${JSON.stringify(resolve('core/log.ts'))};
    const { log } = createLogger(process.argv[2] === '' ? { level: 'info' } : { level: 'info', file: process.argv[2] });
    for (let i = 0; i < 100; i++) log.info({ i }, 'said');
    process.exit(7);`);
  const path = join(place.path, 'deep/log');
  const toFile = await runProgram(process.execPath, [join(place.path, 'say.ts'), path]);
  expect([toFile.code, readFileSync(path, 'utf8').trimEnd().split('\n').length]).toEqual([7, 100]);
  const toError = await runProgram(process.execPath, [join(place.path, 'say.ts'), '']);
  expect([toError.code, toError.stderr.trimEnd().split('\n').length]).toEqual([7, 100]);
});
