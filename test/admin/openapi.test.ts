// The OpenAPI document says what the server does: its paths, its bodies.
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startAdmin } from './admin.ts';

const prefix = '/apisix/admin';

test('every path that is served is in the OpenAPI document, with words, parameters and security', async () => {
  await using bench = await startAdmin();
  const { json: document } = await bench.ask('GET', `${prefix}/openapi.json`);
  expect(document).toMatchObject({ openapi: '3.1.0', info: { title: 'Millrace Admin API', version: expect.stringMatching(/^\d+\.\d+\.\d+/) } });
  const served = new Set(bench.admin.routes.map((route) => route.split(' ') as [string, string]).filter(([method]) => method !== 'HEAD').map(([, url]) => url).filter((url) => !url.startsWith('/admin/') && url !== '*'));
  const described = new Set(Object.keys(document.paths).map((path) => path.replaceAll(/\{(\w+)\}/g, ':$1').replace(/:place$/, '*')));
  expect(described).toEqual(served);
  const operations = Object.entries<Record<string, any>>(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
  expect(operations.length).toBeGreaterThan(60);
  for (const { path, method, operation } of operations) {
    expect([path, method, operation.summary, operation.tags]).toEqual([path, method, expect.stringMatching(/\w/), [expect.any(String)]]);
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(operation.parameters?.filter((each: any) => each.in === 'path').map((each: any) => each.name) ?? []).toEqual(named);
  }
  expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
  expect(operations.filter(({ operation }) => operation.tags[0] === 'other').map(({ method, path }) => `${method} ${path}`)).toEqual([]);
});

test('bodies of the OpenAPI document accept what the server accepts, and refuse what it refuses', async () => {
  await using proxy = await startProxy({ route: null });
  const { body: document } = await proxy.call('GET', `${prefix}/openapi.json`);
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema({ $id: 'document', ...document });
  const refs = [...JSON.stringify(document).matchAll(/"\$ref":"(#[^"]*)"/g)].map(([, ref]) => ref!);
  expect(refs.length).toBeGreaterThan(20);
  for (const ref of new Set(refs)) expect(ajv.getSchema(`document${ref}`), ref).toBeTypeOf('function');
  const upstream = { nodes: { '127.0.0.1:6379': 1 } };
  const protocol = { name: 'redis' };
  const bodies: [kind: string, body: unknown][] = [
    ['upstreams', upstream], ['upstreams', { nodes: 7 }], ['upstreams', { ...upstream, retries: -1 }],
    ['stream_routes', { upstream, protocol, plugins: { 'limit-count': { count: 1, time_window: 1 } } }],
    ['stream_routes', { upstream, protocol, plugins: { 'limit-count': { count: 0, time_window: 1 } } }],
    ['stream_routes', { upstream, protocol, plugins: { unknown: {} } }],
    ['stream_routes', { upstream, protocol: { name: 'redis', conf: { faults: 7 } } }],
    ['stream_routes', { upstream, server_port: 70_000 }], ['services', { upstream }], ['services', { upstream, oops: 1 }],
  ];
  for (const [kind, body] of bodies) {
    const { $ref } = document.paths[`${prefix}/${kind}/{id}`].put.requestBody.content['application/json'].schema;
    const { status } = await proxy.call('PUT', `${prefix}/${kind}/1`, body);
    expect([kind, body, ajv.getSchema(`document${$ref}`)!(body)]).toEqual([kind, body, status < 300]);
  }
});

test('the schemas for editors are served, with the plugins that are loaded', async () => {
  await using bench = await startAdmin();
  const settings = (await bench.ask('GET', `${prefix}/schema/settings`)).json;
  expect(settings.properties.admin.properties.port.anyOf[0]).toMatchObject({ type: 'integer', maximum: 65535 });
  const resources = (await bench.ask('GET', `${prefix}/schema/resources`)).json;
  expect(Object.keys(resources.definitions.plugins.properties)).toEqual(['limit-count', 'fault-injection']);
});
