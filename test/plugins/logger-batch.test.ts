// When records leave, to the millisecond: the clock is the test's.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Batch, type BatchOptions } from '../../plugins/logger/batch.ts';

beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }); });
afterEach(() => { vi.useRealTimers(); });

function batch(options: Partial<BatchOptions>): { readonly sent: string[][]; readonly push: (text: string) => void } {
  const sent: string[][] = [];
  const it = new Batch({
    maxSize: 1000, inactiveTimeout: 5000, bufferDuration: 60_000, maxRetryCount: 0, retryDelay: 1000,
    maxPending: 10_000, maxPendingSize: 1_000_000,
    send: (records) => {
      sent.push([...records]);
      return Promise.resolve(0);
    },
    onSent: () => {}, onDropped: () => {}, ...options,
  });
  return { sent, push: (text) => { for (const record of text) it.push(record); } };
}

test('a full one is sent at once, the rest when no record came for inactive_timeout', async () => {
  const { sent, push } = batch({ maxSize: 3, inactiveTimeout: 100 });
  push('abcd');
  expect(sent).toEqual([['a', 'b', 'c']]);
  await vi.advanceTimersByTimeAsync(90);
  push('e');
  await vi.advanceTimersByTimeAsync(98);
  expect(sent).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(2);
  expect(sent).toEqual([['a', 'b', 'c'], ['d', 'e']]);
});

test('however many come, the oldest record waits no longer than buffer_duration', async () => {
  const { sent, push } = batch({ inactiveTimeout: 100, bufferDuration: 200 });
  for (let passed = 0; passed < 1000; passed += 20) {
    push('x');
    await vi.advanceTimersByTimeAsync(20);
  }
  // Every 200 ms what came in them: the timer may be 1 ms early, and the next record begins the next 200 ms.
  expect(sent.map((records) => records.length)).toEqual([10, 10, 10, 10, 10]);
});
