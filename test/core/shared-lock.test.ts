import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { lock, unlock } from '../../core/shared-lock.ts';

test.each([['nobody', 0], ['a dead thread', 99]])('one at a time has it, however many threads share a processor; %s had it before', async (_who, before) => {
  const cells = new Int32Array(new SharedArrayBuffer(12));
  cells[0] = before;
  const hammer = `
    const { workerData: { cells, owner, module }, parentPort } = require('node:worker_threads');
    import(module).then(({ lock, unlock }) => {
      let clashes = 0;
      for (let n = 0; n < 20000; n++) {
        lock(cells, 0, owner);
        if (Atomics.add(cells, 1, 1) !== 0) clashes++;
        Atomics.sub(cells, 1, 1);
        cells[2]++;
        unlock(cells, 0, owner);
      }
      parentPort.postMessage(clashes);
    });`;
  const module = new URL('../../core/shared-lock.ts', import.meta.url).href;
  const threads = Array.from({ length: 8 }, (_, n) => new Worker(hammer, { eval: true, workerData: { cells, owner: n + 1, module } }));
  const clashes = await Promise.all(threads.map(async (thread) => (await once(thread, 'message'))[0] as number));
  expect(clashes).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  expect([...cells]).toEqual([0, 0, 160_000]);
  await Promise.all(threads.map((thread) => thread.terminate()));
});

test('what a dead thread had is taken from it, once', () => {
  const cells = new Int32Array(new SharedArrayBuffer(4));
  lock(cells, 0, 7);
  lock(cells, 0, 8);
  expect(cells[0]).toBe(8);
  // It was not dead after all: the lock is another's now.
  unlock(cells, 0, 7);
  expect(cells[0]).toBe(8);
  unlock(cells, 0, 8);
  expect(cells[0]).toBe(0);
});
