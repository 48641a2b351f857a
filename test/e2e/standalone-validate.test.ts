// `POST configs/validate`: whether a whole would be taken, asked of a Millrace with a store and of one without.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';

describe.each([false, true])('standalone: %s', (standalone) => {
  let proxy: Proxy;
  beforeAll(async () => {
    const admin = { port: await freePort(), key: 'test-admin-key-0123456789abcdef', standalone };
    proxy = await startProxy({ route: null, settings: { admin } });
  });
  afterAll(async () => { await proxy[Symbol.asyncDispose](); });

  interface Answer { readonly status: number; readonly body: any }
  async function validate(body: string | object, type = 'application/json'): Promise<Answer> {
    const response = await fetch(`${proxy.admin}/apisix/admin/configs/validate`, {
      method: 'POST', headers: { 'X-API-KEY': proxy.key, 'Content-Type': type }, body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  }
  const everything = async (): Promise<unknown> => (await proxy.call('GET', '/apisix/admin/configs')).body;
  const nodes = { '127.0.0.1:6379': 1 };
  const protocol = { name: 'redis' };

  test('ST-11 a good whole is found good, in JSON and YAML, with many kinds and credentials, and nothing is stored', async () => {
    const before = await everything();
    const many = {
      upstreams: [{ id: 'u', nodes }], services: [{ id: 's', upstream_id: 'u' }], plugin_configs: [{ id: 'p', plugins: { 'request-id': {} } }],
      stream_routes: [{ id: 'r', server_port: 9101, service_id: 's', plugin_config_id: 'p', protocol }], stream_routes_conf_version: 7,
      global_rules: [{ id: 'g', plugins: { 'limit-count': { count: 1, time_window: 1 } } }],
      consumers: [{ username: 'jack' }, { id: 'jack/credentials/a', plugins: {} }], credentials: [{ id: 'jack/b', plugins: {} }],
      plugin_metadata: [{ id: 'syslog', log_format: { client: '$remote_addr' } }], secrets: [{ id: 'env/x', prefix: 'X_' }],
      plugins: [{ name: 'request-id' }, { name: 'limit-count', stream: true }, { name: 'syslog' }],
      routes: [{ id: 'of http' }], routes_conf_version: 3,
    };
    expect(await validate(many)).toEqual({ status: 200, body: {} });
    expect(await validate(stringify(many), 'application/yaml')).toEqual({ status: 200, body: {} });
    expect(await validate({})).toEqual({ status: 200, body: {} });
    expect(await everything()).toEqual(before);
  });

  test.each([
    ['a duplicate id', { upstreams: [{ id: 'u', nodes }, { id: 'u', nodes }] }, 'upstreams', 'u', 1, 'found duplicate id u in upstreams'],
    ['an unknown field', { stream_routes: [{ id: 'r', upstream: { nodes }, protocol, uri: '/' }] }, 'stream_routes', 'r', 0, 'unknown property "uri"'],
    ['a text as version', { upstreams_conf_version: 'two' }, 'upstreams', undefined, undefined, 'upstreams_conf_version must be a number'],
    ['a duplicate user', { consumers: [{ username: 'x' }, { username: 'x' }] }, 'consumers', 'x', 1, 'found duplicate username x in consumers'],
    ['a duplicate credential', { consumers: [{ username: 'x' }, { id: 'x/credentials/1', plugins: {} }, { id: 'x/credentials/1', plugins: {} }] },
      'consumers', 'x/credentials/1', 2, 'found duplicate credential id x/credentials/1 in consumers'],
    ['an unknown plugin', { stream_routes: [{ id: 'r', upstream: { nodes }, protocol, plugins: { nope: {} } }] }, 'stream_routes', 'r', 0, 'unknown plugin [nope]'],
    ['a bad upstream', { upstreams: [{ id: 'u', nodes: { '127.0.0.1:99999': 1 } }] }, 'upstreams', 'u', 0, expect.stringContaining('99999')],
    ['a plugin that is not listed', { plugins: [], stream_routes: [{ id: 'r', upstream: { nodes }, protocol, plugins: { 'request-id': {} } }] },
      'stream_routes', 'r', undefined, 'unknown plugin [request-id]: it is not in the list of plugins'],
  ])('ST-12 %s is found, with the place', async (_name, body, kind, id, index, error) => {
    const before = await everything();
    for (const answer of [await validate(body), await validate(stringify(body), 'application/yaml')]) {
      expect([answer.status, answer.body.error_msg]).toEqual([400, 'Configuration validation failed']);
      const [first] = answer.body.errors;
      expect([first.resource_type, first.resource_id, first.index, first.error]).toEqual([kind, id, index, error]);
    }
    expect(await everything()).toEqual(before);
  });

  test('ST-12 a body that is empty, no YAML or no JSON is refused as such; of several mistakes all are listed', async () => {
    for (const [body, type, text] of [
      ['', 'application/json', 'invalid request body: empty request body'], ['', 'application/yaml', 'invalid request body: empty request body'],
      ['upstreams: [', 'application/yaml', /^invalid request body: .*line 1/], ['{"upstreams":', 'application/json', /^invalid request body: .*line 1/],
    ] as const) {
      const answer = await validate(body, type);
      expect([answer.status, answer.body.error_msg]).toEqual([400, typeof text === 'string' ? text : expect.stringMatching(text)]);
    }
    const { body } = await validate({
      upstreams_conf_version: 'x', upstreams: [{ id: 'u', nodes }, { id: 'u', nodes }, { id: 'v', nodes: 7 }], consumers: [{ username: '?' }],
    });
    expect(body.errors.map(({ resource_type: kind, index }: any) => `${kind} ${index}`)).toEqual(['upstreams undefined', 'upstreams 1', 'upstreams 2', 'consumers 0']);
  });
});
