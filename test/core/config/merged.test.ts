import { expect, test } from 'vitest';
import type { ConfigEvent } from '../../../core/config/file.ts';
import { MemoryStore } from '../../../core/config/memory-store.ts';
import { MergedConfig } from '../../../core/config/merged.ts';
import type { Config } from '../../../core/config/source.ts';

const open = (): { store: MemoryStore; file: MemoryStore; merged: MergedConfig; events: ConfigEvent[]; heard: Config[] } => {
  // Any source can stand for the file.
  const [store, file] = [new MemoryStore(), new MemoryStore()];
  const events: ConfigEvent[] = [];
  const merged = new MergedConfig(store, file, (event) => void events.push(event));
  const heard: Config[] = [];
  merged.onChange((config) => heard.push(config));
  return { store, file, merged, events, heard };
};

test('resources of both sources are in one configuration, told once per change', async () => {
  const { store, file, merged, heard } = open();
  await store.put('upstreams', 'a', { from: 'store' });
  await file.put('upstreams', 'b', { from: 'file' });
  expect([...merged.config.resources.upstreams.keys()]).toEqual(['a', 'b']);
  expect(heard).toHaveLength(2);
  expect(heard[1]).toBe(merged.config);
  expect(heard[1]?.revision).toBeGreaterThan(heard[0]?.revision ?? 0);
});

test('of the same id in both the file wins, and it is reported once until it is settled', async () => {
  const { store, file, merged, events } = open();
  await store.put('upstreams', 'a', { from: 'store' });
  await file.put('upstreams', 'a', { from: 'file' });
  await store.put('upstreams', 'a', { from: 'store again' });
  expect(merged.config.resources.upstreams.get('a')?.value).toEqual({ from: 'file' });
  expect(events).toEqual([
    { code: 'CONFIG_SHADOWED', level: 'warn',
      text: 'upstreams a is in the store and in the file; the file wins' },
  ]);
  await file.delete('upstreams', 'a');
  expect(merged.config.resources.upstreams.get('a')?.value).toEqual({ from: 'store again' });
  await file.put('upstreams', 'a', { from: 'file' });
  expect(events).toHaveLength(2);
});

test('a kind that did not change keeps its map, and resources stay the same objects', async () => {
  const { store, file, merged } = open();
  await store.put('upstreams', 'a', {});
  const before = merged.config;
  await file.put('stream_routes', 'r', {});
  expect(merged.config.resources.upstreams).toBe(before.resources.upstreams);
  expect(merged.config.resources.stream_routes.get('r')).toBe(file.get('stream_routes', 'r'));
});

test('a closed one hears nothing more', async () => {
  const { store, merged, heard } = open();
  await merged.close();
  await store.put('upstreams', 'a', {});
  expect(heard).toEqual([]);
});
