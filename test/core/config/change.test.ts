import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applyChange, changeOf } from '../../../core/config/change.ts';
import type { Resource } from '../../../core/config/resource.ts';
import { emptyConfig, type Config } from '../../../core/config/source.ts';

const step = fc.record({
  kind: fc.constantFrom('stream_routes', 'upstreams', 'services' as const), id: fc.constantFrom('a', 'b', 'c', 'd'),
  remove: fc.boolean(),
});

test('what is told in changes is what there is, and what did not change stays the same object', () => {
  fc.assert(fc.property(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 12 }), (rounds) => {
    let real = emptyConfig(0);
    let told: Config | null = null;
    let copy: Config | null = null;
    for (const [revision, steps] of rounds.entries()) {
      const resources = { ...real.resources };
      for (const { kind, id, remove } of steps) {
        const map = new Map(resources[kind as 'upstreams']);
        const resource: Resource = {
          kind, id, value: { revision }, origin: 'store', createdIndex: 1, modifiedIndex: revision,
        };
        if (remove) map.delete(id);
        else map.set(id, resource);
        resources[kind as 'upstreams'] = map;
      }
      real = { revision: revision + 1, resources };
      const before: Config | null = copy;
      copy = applyChange(copy, structuredClone(changeOf(told, real)));
      told = real;
      expect(copy).toEqual(real);
      const touched = new Set(steps.map(({ kind, id }) => `${kind} ${id}`));
      for (const [id, resource] of before?.resources.upstreams ?? []) {
        if (!touched.has(`upstreams ${id}`)) expect(copy.resources.upstreams.get(id)).toBe(resource);
      }
    }
  }));
});

test('a change of another revision than the one that is there is refused', () => {
  const change = changeOf(emptyConfig(3), emptyConfig(4));
  expect(() => applyChange(emptyConfig(2), change)).toThrow('expected a change of revision 2, got one of 3');
});
