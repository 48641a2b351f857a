import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkResources } from '../../../core/cli/check-resources.ts';
import { joinLists, onlyListed, readPluginList } from '../../../core/config/plugin-list.ts';
import type { Kind, Value } from '../../../core/config/resource.ts';
import { emptyConfig, frozenResource, type Config } from '../../../core/config/source.ts';
import { builtIn, Loader } from '../../../core/loader.ts';
import { Registry } from '../../../core/registry.ts';

function config(resources: Partial<Record<Kind, Record<string, Value>>>): Config {
  const made = Object.entries(resources).map(([kind, byId]) => [kind, new Map(Object.entries(byId).map(([id, value]) => [id, frozenResource({
    kind: kind as Kind, id, value, origin: 'file', createdIndex: 1, modifiedIndex: 1,
  })]))]);
  return { revision: 1, resources: { ...emptyConfig().resources, ...Object.fromEntries(made) as object } };
}
const running = (next: Config, list: string[], before?: Config): string[] => {
  const { resources } = onlyListed(next, new Set(list), before ?? null).config;
  return Object.entries(resources).flatMap(([kind, byId]) => [...byId.values()].map(({ id, value }) => `${kind}/${id} ${Object.keys((value['plugins'] ?? {}) as object).join()}`));
};
const plugins = (...names: string[]): Value => ({ plugins: Object.fromEntries(names.map((name) => [name, {}])) });

test('names alone and objects are lists; what is neither is told with its place', () => {
  expect(readPluginList(['a', { name: 'b' }, { name: 'c', stream: true }])).toEqual({ list: new Set(['a', 'b', 'c']), problems: [] });
  expect(readPluginList([]).problems).toEqual([]);
  const wrong: readonly (readonly [unknown, string])[] = [
    [null, 'plugins: expected a list of plugins, got null'], [{ a: 1 }, 'plugins: expected a list of plugins, got object'],
    [[7], 'plugins[0]: expected a name or { name: … }, got 7'], [['a', ''], 'plugins[1]: expected the name of a plugin, got ""'],
    [[{ name: 'a', stream: 1 }], 'plugins[0].stream: expected boolean, got 1'], [[{ name: 'a', x: 1 }], 'plugins[0]: unknown property "x"'],
    [Array.from({ length: 1001 }, (_each, n) => `p${n}`), 'plugins: expected at most 1000 plugins, got 1001'],
  ];
  for (const [value, text] of wrong) expect(readPluginList(value).problems.map(({ message }) => message)).toEqual([text]);
});

test('several lists count together, and none leaves it to the others', () => {
  expect(joinLists([])).toBeUndefined();
  expect(joinLists([undefined, new Set(['a']), undefined, new Set(['b'])])).toEqual(new Set(['a', 'b']));
  expect(joinLists([undefined, new Set()])).toEqual(new Set());
});

test('without a list everything runs, as the same object', () => {
  const one = config({ stream_routes: { r: plugins('a') } });
  expect(onlyListed(one, undefined)).toEqual({ config: one, rejections: [] });
  expect(onlyListed(one, new Set(['a'])).config).toBe(one);
});

test('what a route runs by its service, plugin config and loggers counts as its own; what is left out there does not', () => {
  const next = config({
    services: { s: plugins('x') }, plugin_configs: { p: plugins('x') },
    stream_routes: {
      own: plugins('x'), service: { service_id: 's' }, shared: { plugin_config_id: 'p' }, logger: { protocol: { name: 'redis', logger: [{ name: 'x' }] } },
      left: { plugins: { x: { _meta: { disable: true } } } }, over: { service_id: 's', plugins: { x: { _meta: { disable: true } } } }, none: {}, lost: { service_id: 'nowhere' },
    },
    consumers: { jack: plugins('x'), jill: plugins('a') }, credentials: { 'jill/1': plugins('x') }, global_rules: { g: plugins('x', 'a') },
  });
  const { config: allowed, rejections } = onlyListed(next, new Set(['a']));
  expect([...allowed.resources.stream_routes.keys()]).toEqual(['left', 'over', 'none', 'lost']);
  expect([allowed.resources.consumers.size, allowed.resources.credentials.size, allowed.resources.global_rules.size]).toEqual([1, 0, 0]);
  expect(rejections.map(({ kind, id }) => `${kind}/${id}`)).toEqual([
    'stream_routes/own', 'stream_routes/service', 'stream_routes/shared', 'stream_routes/logger', 'consumers/jack', 'credentials/jill/1', 'global_rules/g',
  ]);
  expect(new Set(rejections.map(({ text }) => text))).toEqual(new Set(['unknown plugin [x]: it is not in the list of plugins']));
});

test('the version that ran before goes on where it may, also by what it names now', () => {
  const before = config({ stream_routes: { r: plugins('a') }, global_rules: { g: plugins('x') } });
  const next = config({ stream_routes: { r: plugins('a', 'x'), n: plugins('x') }, global_rules: { g: plugins('x', 'a') } });
  expect(running(next, ['a'], before)).toEqual(['stream_routes/r a']);
  const named = config({ services: { s: plugins('x') }, stream_routes: { r: { ...plugins('b'), service_id: 's' } } });
  expect(running(named, ['a'], config({ services: { s: plugins('a') }, stream_routes: { r: { service_id: 's' } } }))).toEqual(['services/s x']);
});

test('check tells what no file lists, across files', async () => {
  const registry = new Registry();
  await new Loader(registry).loadAll(builtIn);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-list-'));
  try {
    const [list, routes] = [join(folder, 'a.yaml'), join(folder, 'b.yaml')];
    writeFileSync(list, 'plugins: [mocking, gone-for-good]\n');
    writeFileSync(routes, 'global_rules: [{ id: g, plugins: { request-id: {} } }]\n');
    const found = { errors: [] as string[], warnings: [] as string[] };
    checkResources([list, routes], registry, found);
    expect(found).toEqual({
      errors: [`${routes}: global_rules g: unknown plugin [request-id]: it is not in the list of plugins`],
      warnings: [expect.stringContaining('no such plugin, ignored: gone-for-good')],
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
