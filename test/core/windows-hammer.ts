// One of the worker threads of windows.test.ts: takes as often as it can and says how often it got one.
import { parentPort, workerData } from 'node:worker_threads';
import { SharedWindows } from '../../core/windows.ts';

interface Work {
  readonly buffer: SharedArrayBuffer;
  readonly sliding: boolean;
  readonly keys: number;
  readonly limit: number;
  readonly length: number;
  readonly tries: number;
  readonly start: Int32Array;
  /** Different in every worker, so that they meet the keys in different order. */
  readonly step: number;
  /** Milliseconds that `now` advances by in the course of the tries; 0: the clock of the system. */
  readonly time: number;
}

const work = workerData as Work;
const port = parentPort!;
const windows = new SharedWindows(work.buffer, work.time > 0 ? { origin: 0 } : {});
const taken: number[] = Array.from({ length: work.keys }, () => 0);
port.postMessage('ready');
Atomics.wait(work.start, 0, 0);
for (let i = 0; i < work.tries; i++) {
  const key = (i * work.step) % work.keys;
  const now = work.time > 0 ? 1000 + (i * work.time) / work.tries : performance.now();
  const left = work.sliding
    ? windows.takeSliding(`k${key}`, work.limit, work.length, now)
    : windows.takeFixed(`k${key}`, work.limit, work.length, now);
  if (left >= 0) taken[key]!++;
}
port.postMessage(taken);
