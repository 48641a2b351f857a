// The schemas for editors: valid ones, which accept what the files may say and refuse what they may not.
import { Ajv, type ValidateFunction } from 'ajv';
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { beforeAll, describe, expect, test } from 'vitest';
import { resourcesFileSchema, settingsFileSchema } from '../../core/editor-schemas.ts';
import { isKind } from '../../core/config/resource.ts';
import { builtIn, Loader } from '../../core/loader.ts';
import { Registry } from '../../core/registry.ts';
import type { JsonSchema } from '../../core/schema.ts';
import { blocksOf, readPage } from '../docs/page.ts';

const accepts: Record<string, ValidateFunction> = {};

beforeAll(async () => {
  const registry = new Registry();
  await new Loader(registry).loadAll(builtIn);
  const modules = {
    plugins: () => [...registry.plugins.values()].map(({ value }) => value),
    protocols: () => [...registry.protocols.values()].map(({ value }) => value),
  };
  accepts['settings'] = compile(settingsFileSchema());
  accepts['resources'] = compile(resourcesFileSchema(modules));
});

// As an editor does: a plain validator of the draft that the schema names, which knows nothing of ours.
function compile(schema: JsonSchema): ValidateFunction {
  const ajv = new Ajv({ strict: false, validateFormats: false });
  expect(ajv.validateSchema(schema), ajv.errorsText()).toBe(true);
  expect(schema['$schema']).toBe('http://json-schema.org/draft-07/schema#');
  return ajv.compile(schema);
}

function verdict(name: string, yaml: string): string {
  const validate = accepts[name]!;
  if (validate(parse(yaml))) return 'accepted';
  return (validate.errors ?? []).map(({ instancePath }) => instancePath).toSorted((a, b) => b.length - a.length)[0] || '/';
}

describe('settings', () => {
  test.each([
    '{}', 'workers: auto', 'workers: "${WORKERS:-4}"', 'listeners: [{ port: "${{PORT}}", protocol: redis }]',
    'limits: { arguments: 10 }\nlog: { level: debug }',
  ])('%s is accepted', (yaml) => {
    expect(verdict('settings', yaml)).toBe('accepted');
  });

  test.each([
    ['listener: []', '/'], ['workers: many', '/workers'], ['admin: { port: 70000 }', '/admin/port'],
    ['listeners: [{ protocol: redis }]', '/listeners/0'], ['log: { level: loud }', '/log/level'],
  ])('%s is refused at %s', (yaml, place) => {
    expect(verdict('settings', yaml)).toBe(place);
  });
});

describe('resources', () => {
  test.each([
    'stream_routes: []', 'stream_routes:', 'upstreams_conf_version: 7\nroutes: [{ uri: / }]',
    'stream_routes: [{ id: 1, create_time: 5, server_port: "${PORT}", upstream: { type: memory }, protocol: { name: redis } }]',
    'stream_routes: [{ upstream_id: 1, plugins: { limit-count: { count: "${N}", time_window: 60, _meta: { disable: true } } } }]',
    'upstreams: [{ nodes: { "127.0.0.1:6379": 1 } }]\nconsumers: [{ username: jack }]',
  ])('%s is accepted', (yaml) => {
    expect(verdict('resources', yaml)).toBe('accepted');
  });

  test.each([
    ['stream_route: []', '/'], ['stream_routes: [{ server_port: 0, upstream_id: 1 }]', '/stream_routes/0/server_port'],
    ['stream_routes: [{ upstream_id: 1, plugins: { limit-cuont: {} } }]', '/stream_routes/0/plugins'],
    ['stream_routes: [{ upstream_id: 1, plugins: { limit-count: { count: 0, time_window: 1 } } }]', '/stream_routes/0/plugins/limit-count/count'],
    ['stream_routes: [{ upstream_id: 1, protocol: { name: redis, conf: { faults: a } } }]', '/stream_routes/0/protocol/conf/faults'],
    ['services: [{ upstreams: [] }]', '/services/0'], ['plugin_metadata: [{}]', '/plugin_metadata/0'],
  ])('%s is refused at %s', (yaml, place) => {
    expect(verdict('resources', yaml)).toBe(place);
  });
});

test('every file that the documentation shows is accepted', () => {
  const pages = ['docs', 'docs/plugins'].flatMap((folder) => readdirSync(resolve(folder))
    .filter((name) => name.endsWith('.md')).map((name) => `${folder}/${name}`));
  let seen = 0;
  for (const page of ['README.md', ...pages]) {
    for (const { language, code } of blocksOf(readPage(page))) {
      const value = language === 'yaml' ? parse(code) as unknown : null;
      if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
      // The list of nodes that discovery reads.
      if (code.startsWith('# services.yaml')) continue;
      // Prometheus' own.
      if (Object.hasOwn(value, 'scrape_configs')) continue;
      const kinds = Object.keys(value).filter(isKind);
      expect([page, code, verdict(kinds.length > 0 ? 'resources' : 'settings', code)]).toEqual([page, code, 'accepted']);
      seen++;
    }
  }
  expect(seen).toBeGreaterThan(3);
});
