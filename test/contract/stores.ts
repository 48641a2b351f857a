// What every store promises. A store's own test file calls this with a way to open it.
import { describe, expect, test } from 'vitest';
import type { AuditRecord } from '../../core/config/audit.ts';
import { kindNames } from '../../core/config/resource.ts';
import type { Config, HistoryPage, Store } from '../../core/config/source.ts';

export interface StoreUnderTest {
  readonly name: string;
  /** A fresh, empty store whose clock shows `time()` unix seconds and that keeps the last ten versions. */
  readonly open: (time: () => number) => Promise<Store>;
}

export function testStore({ name, open }: StoreUnderTest): void {
  describe(`the ${name} store`, () => {
    const value = { nodes: { '127.0.0.1:6379': 1 } };

    test('a new store is empty at revision 0', async () => {
      const store = await open(() => 100);
      expect(store.config.revision).toBe(0);
      expect(kindNames.map((kind) => store.list(kind))).toEqual(kindNames.map(() => []));
      await store.close();
    });

    test('a resource keeps its creation and counts its changes', async () => {
      let time = 100;
      const store = await open(() => time);
      expect((await store.put('upstreams', 'a', value)).outcome).toBe('created');
      time = 200;
      await store.put('upstreams', 'b', value);
      expect((await store.put('upstreams', 'a', { type: 'memory' })).outcome).toBe('replaced');
      expect(store.get('upstreams', 'a')).toEqual({
        kind: 'upstreams', id: 'a', origin: 'store', value: { type: 'memory' },
        createdIndex: 1, modifiedIndex: 3, createTime: 100, updateTime: 200,
      });
      expect(store.config.revision).toBe(3);
      await store.close();
    });

    test('a list is in the order of creation, whatever was changed since', async () => {
      const store = await open(() => 0);
      for (const id of ['z', 'a', 'm']) await store.put('upstreams', id, value);
      await store.put('upstreams', 'z', { type: 'memory' });
      expect(store.list('upstreams').map(({ id }) => id)).toEqual(['z', 'a', 'm']);
      await store.close();
    });

    test('the same id in two kinds is two resources', async () => {
      const store = await open(() => 0);
      await store.put('upstreams', '1', { a: 1 });
      await store.put('stream_routes', '1', { b: 2 });
      expect([store.get('upstreams', '1')?.value, store.get('stream_routes', '1')?.value]).toEqual([{ a: 1 },
        { b: 2 }]);
      await store.close();
    });

    test('a deleted resource is gone, and deleting it again says so', async () => {
      const store = await open(() => 0);
      await store.put('upstreams', 'a', value);
      expect(await store.delete('upstreams', 'a')).toBe('deleted');
      expect(await store.delete('upstreams', 'a')).toBe('absent');
      expect([store.get('upstreams', 'a'), store.config.revision]).toEqual([undefined, 2]);
      await store.close();
    });

    test('a write on condition of another revision is a conflict and changes nothing', async () => {
      const store = await open(() => 0);
      await store.put('upstreams', 'a', value);
      const { config } = store;
      expect((await store.put('upstreams', 'a', {}, 0)).outcome).toBe('conflict');
      expect((await store.put('upstreams', 'a', {}, 7)).outcome).toBe('conflict');
      expect((await store.put('upstreams', 'b', {}, 7)).outcome).toBe('conflict');
      expect(await store.delete('upstreams', 'a', 7)).toBe('conflict');
      expect(store.config).toBe(config);
      expect((await store.put('upstreams', 'a', {}, 1)).outcome).toBe('replaced');
      expect(await store.delete('upstreams', 'a', 2)).toBe('deleted');
      expect((await store.put('upstreams', 'a', {}, 0)).outcome).toBe('created');
      await store.close();
    });

    test('of fifty writers on the same revision one wins each round', async () => {
      const store = await open(() => 0);
      await store.put('upstreams', 'counter', { n: 0 });
      const increment = async (): Promise<void> => {
        for (;;) {
          const seen = store.get('upstreams', 'counter');
          await Promise.resolve();
          const next = { n: Number(seen?.value['n']) + 1 };
          if ((await store.put('upstreams', 'counter', next,
            seen?.modifiedIndex ?? 0)).outcome !== 'conflict') return;
        }
      };
      await Promise.all(Array.from({ length: 50 }, increment));
      expect(store.get('upstreams', 'counter')?.value).toEqual({ n: 50 });
      await store.close();
    });

    test('listeners hear each change before the write is acknowledged, and unchanged resources are the same objects', async () => {
      const store = await open(() => 0);
      await store.put('upstreams', 'a', value);
      const heard: Config[] = [];
      const stop = store.onChange((config) => heard.push(config));
      const before = store.config;
      await store.put('stream_routes', 'r', { upstream_id: 'a' });
      expect(heard.map(({ revision }) => revision)).toEqual([2]);
      expect(heard[0]?.resources.upstreams).toBe(before.resources.upstreams);
      expect(before.resources.stream_routes.size).toBe(0);
      stop();
      await store.delete('stream_routes', 'r');
      expect(heard).toHaveLength(1);
      await store.close();
    });

    test('what was written is a copy that nobody can change', async () => {
      const store = await open(() => 0);
      const mine = { nodes: { 'a:1': 1 } };
      await store.put('upstreams', 'a', mine);
      mine.nodes['a:1'] = 9;
      const stored = store.get('upstreams', 'a')?.value as typeof mine;
      expect(stored).toEqual({ nodes: { 'a:1': 1 } });
      expect(() => { stored.nodes['a:1'] = 5; }).toThrow(TypeError);
      await store.close();
    });

    test('a configuration can be posted to a worker', async () => {
      const store = await open(() => 0);
      await store.put('upstreams', 'a', value);
      expect(structuredClone(store.config)).toEqual(store.config);
      await store.close();
    });

    test('odd ids and texts come back as they went in', async () => {
      const store = await open(() => 0);
      const odd = { "name": "'; DROP TABLE resources; --", "labels": { 'ключ': '値\u0000\ud83d\ude00',
        toString: 'x' } };
      await store.put('upstreams', "a'b", odd);
      await store.put('upstreams', 'toString', odd);
      expect(store.get('upstreams', "a'b")?.value).toEqual(odd);
      expect(store.get('upstreams', 'valueOf')).toBeUndefined();
      await store.close();
    });

    test('the last versions are kept, a deletion among them', async () => {
      const store = await open(() => 7);
      for (let n = 1; n <= 12; n++) await store.put('upstreams', 'a', { n });
      await store.put('upstreams', 'other', {});
      await store.delete('upstreams', 'a');
      const { versions, since } = await store.history({ kind: 'upstreams', id: 'a' });
      expect(versions[0]).toEqual({ revision: 14, kind: 'upstreams', id: 'a', value: null, before: { n: 12 }, time: 7 });
      expect(versions.map(({ revision }) => revision)).toEqual([14, 12, 11, 10, 9, 8, 7, 6, 5]);
      expect(since).toBe(4);
      expect((await store.history()).versions.map(({ revision }) => revision)).toEqual([14, 13, 12, 11, 10, 9, 8, 7, 6, 5]);
      await store.close();
    });

    test('several changes are one revision that listeners hear once, or none at all', async () => {
      const store = await open(() => 7);
      await store.put('upstreams', 'a', value);
      const heard: number[] = [];
      store.onChange(({ revision }) => heard.push(revision));
      expect(await store.write([
        { kind: 'upstreams', id: 'a', value: null, revision: 1 }, { kind: 'upstreams', id: 'b', value },
        { kind: 'services', id: 's', value: { upstream_id: 'b' }, revision: 0 }, { kind: 'ssls', id: 'absent', value: null },
      ])).toEqual({ outcome: 'written', revision: 2 });
      expect(store.list('upstreams').map(({ id, createdIndex }) => [id, createdIndex])).toEqual([['b', 2]]);
      const before = store.config;
      expect(await store.write([
        { kind: 'upstreams', id: 'c', value }, { kind: 'upstreams', id: 'b', value, revision: 1 },
      ])).toMatchObject({ outcome: 'conflict', index: 1, resource: { id: 'b', modifiedIndex: 2 } });
      expect(store.config).toBe(before);
      expect(heard).toEqual([2]);
      expect((await store.history()).versions.map(({ revision, kind, id }) => `${revision} ${kind} ${id}`).toSorted())
        .toEqual(['1 upstreams a', '2 services s', '2 upstreams a', '2 upstreams b']);
      await store.close();
    });

    test('the end of a resource that has one is kept with it, until it is written without', async () => {
      const store = await open(() => 7);
      await store.write([{ kind: 'upstreams', id: 'a', value, expiresAt: 100 }]);
      expect(store.get('upstreams', 'a')?.expiresAt).toBe(100);
      await store.put('upstreams', 'a', value);
      expect(store.get('upstreams', 'a')).not.toHaveProperty('expiresAt');
      const { versions } = await store.history();
      expect(versions.map((each) => [each.expiresAt, each.beforeExpiresAt])).toEqual([[undefined, 100], [100, undefined]]);
      await store.close();
    });

    test('the past is read in pages that never cut a revision', async () => {
      const store = await open(() => 7);
      await store.write(['a', 'b', 'c'].map((id) => ({ kind: 'upstreams', id, value })));
      await store.put('upstreams', 'a', {});
      await store.put('upstreams', 'b', {});
      const page = async (of: Parameters<Store['history']>[0], how: HistoryPage): Promise<string[]> =>
        (await store.history(of, how)).versions.map(({ revision, id }) => `${revision}${id}`);
      expect(await page(undefined, { limit: 2 })).toEqual(['3b', '2a']);
      expect((await page(undefined, { limit: 1, before: 2 })).toSorted()).toEqual(['1a', '1b', '1c']);
      expect(await page(undefined, { after: 1 })).toEqual(['3b', '2a']);
      expect(await page({ kind: 'upstreams', id: 'a' }, { limit: 1 })).toEqual(['2a']);
      expect(await page({ kind: 'upstreams', id: 'a' }, { limit: 10 })).toEqual(['2a', '1a']);
      await store.close();
    });

    test('the record of a write is kept with it, and not without it', async () => {
      const store = await open(() => 7);
      const record: AuditRecord = {
        id: 'r1', time: 1, who: 'admin', address: '::1', method: 'PUT', path: '/admin/upstreams/a', outcome: 'done', changes: [],
      };
      await store.write([{ kind: 'upstreams', id: 'a', value, revision: 9 }], record);
      expect(await store.audit!.list({ limit: 10 })).toEqual([]);
      await store.write([{ kind: 'upstreams', id: 'a', value }], record);
      await store.audit!.keep({ ...record, id: 'r2', outcome: 'refused' });
      await store.audit!.keep({ ...record, outcome: 'taken back' });
      const kept = await store.audit!.list({ limit: 10 });
      expect(kept.map(({ id, outcome, revision }) => [id, outcome, revision])).toEqual([['r2', 'refused', undefined], ['r1', 'taken back', undefined]]);
      expect((await store.audit!.list({ limit: 1, before: kept[0]!.number })).map(({ id }) => id)).toEqual(['r1']);
      await store.write([{ kind: 'upstreams', id: 'a', value }], { ...record, id: 'r3' });
      expect((await store.audit!.list({ limit: 1 }))[0]).toMatchObject({ id: 'r3', revision: 2 });
      await store.close();
    });
  });
}
