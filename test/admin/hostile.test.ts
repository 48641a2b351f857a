// Whoever has a key and means ill, or has none and pretends: nothing but a refusal, soon, and nothing left behind.
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { ask, startAdmin } from './admin.ts';

const wide = (count: number, value = '1'): string => `{${Array.from({ length: count }, (_, index) => `"p${index}":${value}`).join(',')}}`;
const deep = '['.repeat(700_000) + ']'.repeat(700_000);
const deepObjects = '{"a":'.repeat(200_000) + '1' + '}'.repeat(200_000);
const nodes = '{"127.0.0.1:1":1}';

const bodies: readonly (readonly [method: string, path: string, body: string])[] = [
  ...[deep, deepObjects, wide(50_000)].flatMap((body) => [
    ['PUT', '/upstreams/1', body], ['PATCH', '/stream_routes/1', body], ['PATCH', '/stream_routes/1/desc', body], ['PATCH', '/configs', body],
    ['POST', '/configs/validate', body], ['POST', '/schema/validate/upstreams', body],
  ] as const),
  ['POST', '/configs/validate', `{"stream_routes":[${'{},'.repeat(60_000)}{}]}`],
  ['PUT', '/upstreams/1', `{"nodes":${wide(100_000)}}`], ['PUT', '/upstreams/1', `{"nodes":[${'{},'.repeat(100_000)}{}]}`],
  ['PUT', '/stream_routes/2', `{"plugins":${wide(20_000, '{}')},"upstream":{"type":"memory"}}`],
];

test('H8 A12 bodies that are deep, wide or long are refused in seconds, and nothing of them is kept', { timeout: 60_000 }, async () => {
  await using proxy = await startProxy({ route: { upstream: { type: 'memory' } } });
  const before = await proxy.call('GET', '/apisix/admin/configs');
  for (const [method, path, body] of bodies) {
    const from = performance.now();
    const response = await fetch(`${proxy.admin}/apisix/admin${path}`, { method, body, headers: { 'X-API-KEY': proxy.key } });
    const text = await response.text();
    const what = `${method} ${path} ${body.slice(0, 20)}`;
    expect([what, response.status]).toEqual([what, 400]);
    expect([what, text.length < 400_000, performance.now() - from < 8000]).toEqual([what, true, true]);
  }
  expect(await proxy.call('GET', '/apisix/admin/configs')).toEqual(before);
});

const names = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf'];

test('A8 names of what every object has are no kinds, plugins, protocols, balancers, checks or ids of ours', async () => {
  await using proxy = await startProxy({ route: { upstream: { type: 'memory' } } });
  const before = await proxy.call('GET', '/apisix/admin/configs');
  for (const name of names) {
    const asked: readonly (readonly [method: string, path: string, body?: string])[] = [
      ['GET', `/${name}`], ['GET', `/schema/${name}`], ['GET', `/schema/plugins/${name}`], ['GET', `/schema/protocols/${name}`], ['GET', `/plugins/${name}`],
      ['POST', `/schema/validate/${name}`, '{}'], ['PATCH', '/configs', `{"${name}":{"a":{}}}`], ['GET', `/upstreams/${name}`],
      ['PUT', `/upstreams/1`, `{"nodes":${nodes},"${name}":1}`], ['PATCH', '/stream_routes/1', `{"${name}":{"x":1}}`], ['PATCH', `/stream_routes/1/${name}`, '1'],
      ['PATCH', `/stream_routes/1/upstream/${name}/x`, '1'],
      ['PUT', '/upstreams/1', `{"nodes":${nodes},"type":"${name}"}`], ['PUT', '/upstreams/1', `{"service_name":"a","discovery_type":"${name}"}`],
      ['PUT', '/upstreams/1', `{"nodes":${nodes},"checks":{"active":{"type":"${name}"}}}`],
      ['PUT', '/stream_routes/2', `{"upstream":{"type":"memory"},"plugins":{"${name}":{}}}`],
      ['PUT', '/stream_routes/2', `{"upstream":{"type":"memory"},"protocol":{"name":"${name}"}}`],
      ['PUT', `/plugin_metadata/${name}`, '{}'], ['PUT', '/secrets/env/x/y', '{}'], ['POST', '/configs/validate', `{"${name}":[]}`],
    ];
    for (const [method, path, body] of asked) {
      const response = await fetch(`${proxy.admin}/apisix/admin${path}`, { method, headers: { 'X-API-KEY': proxy.key }, ...(body === undefined ? {} : { body }) });
      await response.text();
      const what = `${method} ${path} ${body ?? ''}`;
      expect([what, response.status >= 400 && response.status < 500]).toEqual([what, true]);
    }
  }
  expect(await proxy.call('GET', '/apisix/admin/configs')).toEqual(before);
  expect(({} as { x?: number }).x).toBeUndefined();
  expect(Object.keys(Object.prototype)).toEqual([]);
});

test('H14 A7 an id that looks like a way out of its place is an id that nobody has', async () => {
  await using bench = await startAdmin();
  for (const id of ['..', '%2e%2e', '..%2f..%2fetc%2fpasswd', '%00', '%252e%252e', 'a%2Fb', 'a%0d%0aX:y', '%f0%9f%92%a9', 'x'.repeat(5000)]) {
    for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
      const { status } = await bench.ask(method, `/apisix/admin/upstreams/${id}`, method === 'GET' || method === 'DELETE' ? {} : { body: { nodes: { 'a:1': 1 } } });
      expect([method, id, status >= 400 && status < 500]).toEqual([method, id, true]);
    }
  }
  expect(bench.store.list('upstreams')).toEqual([]);
});

test('A5 A6 headers that name another address neither open what is local nor hide who guesses', async () => {
  await using bench = await startAdmin({ allow: ['127.0.0.1', '127.0.0.3'] });
  const spoofed = { 'X-Forwarded-For': '127.0.0.1', 'X-Real-IP': '127.0.0.1', 'Forwarded': 'for=127.0.0.1', 'X-Client-IP': '127.0.0.1', 'X-Forwarded-Host': 'localhost' };
  expect((await bench.ask('GET', '/apisix/admin/upstreams', { headers: spoofed, localAddress: '127.0.0.2' })).status).toBe(403);
  const guess = (n: number): Promise<number> => ask(bench.admin.port, 'GET', '/apisix/admin/upstreams', {
    withoutKey: true, localAddress: '127.0.0.3', headers: { 'X-API-KEY': `wrong-${n}-0123456789`, 'X-Forwarded-For': `10.0.${n >> 8}.${n & 255}` },
  }).then(({ status }) => status);
  const answers: number[] = [];
  for (let n = 0; n < 1000; n += 50) answers.push(...await Promise.all(Array.from({ length: 50 }, (_, index) => guess(n + index))));
  expect([401, 429].map((status) => answers.filter((each) => each === status).length)).toEqual([10, 990]);
  expect((await bench.ask('GET', '/apisix/admin/upstreams')).status).toBe(200);
});
