// Every secret that can stand in a resource, searched in everything that the Admin API answers and in the log.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { makeAuthority } from '../support/certificates.ts';
import { startProxy } from '../support/proxy.ts';

const admin = '/apisix/admin';

test('no answer of any path, no record and no line of the log shows a secret, old or new', async () => {
  await using proxy = await startProxy({ route: null });
  using authority = makeAuthority();
  const { cert, key } = authority.issue('localhost', ['DNS:localhost']);
  const [certText, keyText] = [cert, key].map((file) => readFileSync(file, 'utf8')) as [string, string];
  const secrets = (n: number): string[] => ['up', 'limit', 'http', 'logger'].map((where) => `S3CR3T-${where}-${n}`);
  const put = (n: number): Record<string, Record<string, unknown>> => {
    const [up, limit, http, logger] = secrets(n);
    const upstream = { nodes: { '127.0.0.1:1': 1 }, auth: { password: up }, tls: { client_cert: certText, client_key: keyText }, desc: `n${n}`,
      checks: { active: { type: 'http', req_headers: [`Authorization: S3CR3T-probe-${n}`] } } };
    const plugins = {
      'limit-count': { count: 1, time_window: 1, policy: 'redis', redis_host: '127.0.0.1', redis_password: limit },
      'http-logger': { uri: 'http://127.0.0.1:1/', auth_header: http },
    };
    return {
      upstreams: { u: upstream }, services: { s: { upstream, plugins } }, plugin_configs: { p: { plugins } },
      stream_routes: {
        r: { upstream, plugins, protocol: { name: 'redis', logger: [{ name: 'http-logger', conf: { uri: 'http://127.0.0.1:1/', auth_header: logger } }] } },
      },
      ssls: { c: { cert: certText, key: keyText, sni: 'localhost' } }, consumers: { jack: { username: 'jack', plugins } },
    };
  };
  const seen: string[] = [];
  const call = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: any }> => {
    const answer = await proxy.call(method, path, body);
    seen.push(JSON.stringify(answer));
    return answer;
  };
  expect(await call('PATCH', `${admin}/configs`, put(1))).toMatchObject({ status: 200 });
  expect(await call('PATCH', `${admin}/configs?dry_run=true`, put(2))).toMatchObject({ status: 200 });
  expect(await call('PATCH', `${admin}/configs`, put(2))).toMatchObject({ status: 200 });
  // Refused, each with a secret of the wrong kind in it.
  await call('PATCH', `${admin}/upstreams/u`, { auth: { password: ['S3CR3T-up-3'] }, tls: { client_key: keyText.slice(0, 80) } });
  await call('PATCH', `${admin}/stream_routes/r/plugins/limit-count`, { count: 'S3CR3T-count'.length, redis_password: { a: 'S3CR3T-limit-3' } });
  await call('PUT', `${admin}/ssls/d`, { cert: certText, key: keyText.replace('PRIVATE', 'S3CR3T'), sni: 'x' });
  await call('PATCH', `${admin}/upstreams/u`, { checks: { active: { req_headers: ['S3CR3T-probe-3\r\n'] } } });
  for (const name of ['http-logger', 'opentelemetry', 'logger']) {
    const url = 'http://S3CR3T-user:S3CR3T-word@127.0.0.1:1/';
    const conf = { 'http-logger': { uri: url }, opentelemetry: { endpoint: url }, logger: { http: { uri: url } } }[name];
    expect([name, (await call('PUT', `${admin}/plugin_configs/q`, { plugins: { [name]: conf } })).status]).toEqual([name, 400]);
  }
  await call('POST', `${admin}/history/1/rollback?dry_run=true`);
  await call('POST', `${admin}/history/1/rollback`);
  await call('GET', `${admin}/history/diff?from=1&to=2`);
  const ids: Record<string, string> = { upstreams: 'u', services: 's', plugin_configs: 'p', stream_routes: 'r', ssls: 'c', consumers: 'jack' };
  const { paths } = (await call('GET', `${admin}/openapi.json`)).body;
  for (const path of Object.keys(paths)) {
    // A stream of requests has no end.
    if (paths[path].get === undefined || path.endsWith('/tail')) continue;
    const kind = path.split('/')[3] ?? '';
    const { status } = await call('GET', path.replace('{id}', ids[kind] ?? '1').replace('{name}', 'limit-count').replaceAll(/\{\w+\}/g, 'jack'));
    expect([path, status < 500]).toEqual([path, true]);
  }
  expect(seen.filter((text) => text.includes('***')).length).toBeGreaterThan(10);
  const everything = [...seen, JSON.stringify(proxy.records)].join('\n');
  expect(/.{0,200}S3CR3T-.{0,40}/.exec(everything)?.[0]).toBeUndefined();
  const [, line = ''] = keyText.split('\n');
  expect(everything).not.toContain(line);
});
