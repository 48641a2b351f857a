// Ends of resources, on a clock that is set.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Expiry } from '../../../core/config/expiry.ts';
import { MemoryStore } from '../../../core/config/memory-store.ts';
import { silentLogger } from '../../../core/log.ts';

beforeEach(() => { vi.useFakeTimers({ now: 1_000_000_000_000 }); });
afterEach(() => { vi.useRealTimers(); });

async function start(): Promise<{ store: MemoryStore; expiry: Expiry; left(): string[] }> {
  const store = new MemoryStore();
  const expiry = new Expiry(store, silentLogger);
  for (const [id, seconds] of [['soon', 60], ['later', 3600]] as const) {
    await store.write([{ kind: 'upstreams', id, value: {}, expiresAt: 1_000_000_000 + seconds }]);
  }
  await store.put('upstreams', 'forever', {});
  return { store, expiry, left: () => store.list('upstreams').map(({ id }) => id) };
}

test('each goes when its time is over, the others stay', async () => {
  const { expiry, left } = await start();
  await vi.advanceTimersByTimeAsync(59_000);
  expect(left()).toEqual(['soon', 'later', 'forever']);
  await vi.advanceTimersByTimeAsync(2000);
  expect(left()).toEqual(['later', 'forever']);
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(left()).toEqual(['forever']);
  expiry.close();
});

test('a clock that is set forward ends them within seconds, one that is set back lets them stay until its time', async () => {
  const { expiry, left } = await start();
  vi.setSystemTime(1_000_000_000_000 - 3_600_000);
  await vi.advanceTimersByTimeAsync(120_000);
  expect(left()).toEqual(['soon', 'later', 'forever']);
  vi.setSystemTime(1_000_000_000_000 + 1_800_000);
  await vi.advanceTimersByTimeAsync(11_000);
  expect(left()).toEqual(['later', 'forever']);
  vi.setSystemTime(1_000_000_000_000 + 7_200_000);
  await vi.advanceTimersByTimeAsync(11_000);
  expect(left()).toEqual(['forever']);
  expiry.close();
});

test('a resource that is written again without an end stays', async () => {
  const { store, expiry, left } = await start();
  await vi.advanceTimersByTimeAsync(30_000);
  await store.put('upstreams', 'soon', { desc: 'kept' });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(left()).toEqual(['soon', 'later', 'forever']);
  expiry.close();
});
