import { expect, test, vi } from 'vitest';
import { Place } from './millrace.ts';

vi.setConfig({ testTimeout: 60_000 });

test('the schemas of both files are printed whole, with plugins of one\'s own', async () => {
  using place = new Place();
  const { code, out, err } = await place.run('schema', 'settings');
  expect([code, err, Object.keys(JSON.parse(out).properties)]).toEqual([0, '', expect.arrayContaining(['listeners', 'admin', 'store'])]);
  place.write('millrace.yaml', 'plugins: [mine]\n');
  place.write('mine/polite.ts', 'export default { name: "polite", version: "1", priority: 1, schema: { type: "object", properties: { words: { type: "string" } } },'
    + ' setup: () => ({}) };\n');
  const resources = JSON.parse((await place.run('schema', 'resources', '-c', 'millrace.yaml')).out);
  const { polite, ...others } = resources.definitions.plugins.properties;
  expect(polite.properties).toMatchObject({ words: { type: 'string' }, _meta: { type: 'object' } });
  expect(Object.keys(others)).toContain('limit-count');
});

test('another file than these two has no schema', async () => {
  using place = new Place();
  const { code, err } = await place.run('schema', 'nonsense');
  expect([code, err]).toEqual([2, expect.stringContaining('Allowed choices are settings, resources')]);
});
