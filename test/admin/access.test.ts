import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { key, startAdmin, type Bench } from './admin.ts';

const refused = (description: string): unknown => ({ error_msg: 'failed to check token', description });
const open = [
  '/apisix/admin', '/healthz', '/status', '/status/ready', '/metrics', '/apisix/prometheus/metrics',
  '/v1/healthcheck', '/v1/healthcheck/:type', '/v1/healthcheck/:type/:id', '/v1/discovery/:type/dump',
];

test('every route but health, and from this machine metrics and checks, is closed without a key and with a wrong one', async () => {
  await using bench = await startAdmin();
  const routes = bench.admin.routes.map((route) => route.split(' ') as [string, string]);
  const closed = routes.filter(([, path]) => !open.includes(path));
  expect(closed.length).toBeGreaterThanOrEqual(70);
  for (const [method, path] of closed) {
    const url = path.replace(':id', '1').replace(':name', 'limit-count');
    const variants = [
      url, `${url}/`, url.replace('/admin', '//admin'), url.replace('admin', '%61dmin'), `${url}?x=1`,
    ];
    for (const variant of variants) {
      const answer = await bench.ask(method, variant, { withoutKey: true, body: '{' });
      expect(answer.status, `${method} ${variant}`).toBe(401);
      expect(answer.json).toEqual(method === 'HEAD' ? undefined : refused('missing apikey'));
    }
    const wrong = await bench.ask(method, url, { headers: { 'x-api-key': `${key}x` }, body: '{' });
    expect([401, 429], `${method} ${url}`).toContain(wrong.status);
    // What is watched would be answered for ever; a wrong rate ends it.
    const asked = url.endsWith('/tail') ? `${url}?rate=0` : url;
    expect((await bench.ask(method, asked, { body: '{' })).status, `${method} ${url}`).not.toBe(401);
  }
});

test('unknown paths and methods tell a stranger nothing', async () => {
  await using bench = await startAdmin();
  for (const method of ['GET', 'OPTIONS', 'HEAD', 'PROPFIND', 'TRACE']) {
    const paths = [
      '/', '/x', '/admin', '/apisix/admin/x', '/apisix/admin/../admin/upstreams', '/admin/%zz', '/healthz/x', '//',
    ];
    for (const path of paths) {
      expect((await bench.ask(method, path, { withoutKey: true })).status, `${method} ${path}`).toBe(401);
    }
  }
});

test('a wrong key is told so', async () => {
  await using bench = await startAdmin();
  const { status, json } = await bench.ask('GET', '/admin/upstreams', { headers: { 'x-api-key': 'no' } });
  expect([status, json]).toEqual([401, refused('wrong apikey')]);
});

test('the key is taken from query, header or cookie, the first that is there', async () => {
  await using bench = await startAdmin();
  const path = '/apisix/admin/upstreams';
  const status = async (query: string, headers: Record<string, string> = {}): Promise<number> =>
    (await bench.ask('GET', path + query, { withoutKey: true, headers })).status;
  expect(await status(`?api_key=${key}`)).toBe(200);
  expect(await status('', { 'x-api-key': key })).toBe(200);
  expect(await status('', { cookie: `a=b; x_api_key=${key}` })).toBe(200);
  expect(await status('?api_key=wrong', { 'x-api-key': key })).toBe(401);
  expect(await status('', { 'x-api-key': 'wrong', cookie: `x_api_key=${key}` })).toBe(401);
  expect(await status(`?api_key=${key}&api_key=${key}`)).toBe(401);
  expect(await status('', { cookie: `x_api_key=${key}`, 'sec-fetch-site': 'cross-site' })).toBe(401);
  expect(await status('', { cookie: `x_api_key=${key}`, origin: 'http://evil.example' })).toBe(401);
});

test('ten wrong keys a minute are answered, more are 429, and a good key still works', async () => {
  await using bench = await startAdmin();
  const guess = (asked: object = {}): Promise<{ status: number; headers: Record<string, unknown> }> =>
    bench.ask('GET', '/admin/upstreams', { headers: { 'x-api-key': 'guess' }, ...asked });
  const statuses = [];
  for (let count = 0; count < 12; count++) statuses.push((await guess()).status);
  expect(statuses).toEqual([...Array.from({ length: 10 }, () => 401), 429, 429]);
  expect(Number((await guess()).headers['retry-after'])).toBeGreaterThan(0);
  expect((await bench.ask('GET', '/admin/upstreams')).status).toBe(200);
  expect((await guess({ localAddress: '127.0.0.2' })).status).toBe(401);
  const forged = {
    'x-api-key': 'guess', 'x-forwarded-for': '10.9.8.7', 'x-real-ip': '10.9.8.7', forwarded: 'for=10.9.8.7',
  };
  expect((await guess({ headers: forged })).status).toBe(429);
});

test('with admin.allow other addresses are 403 on every route, whatever they send', async () => {
  await using bench = await startAdmin({ allow: ['127.0.0.2', '127.0.9.0/24'] });
  const routes = bench.admin.routes.map((route) => route.split(' ') as [string, string]);
  for (const [method, path] of [...routes, ['GET', '/x'], ['GET', '/admin/%zz'], ['TRACE', '/']] as const) {
    const answer = await bench.ask(method, path, { headers: { 'x-forwarded-for': '127.0.0.2' }, body: '{' });
    expect([answer.status, method === 'HEAD' ? undefined : answer.json], `${method} ${path}`).toEqual([
      403, method === 'HEAD' ? undefined : { error_msg: 'this address may not use the Admin API' },
    ]);
  }
  for (const localAddress of ['127.0.0.2', '127.0.9.77']) {
    expect((await bench.ask('GET', '/metrics', { localAddress, withoutKey: true })).status).toBe(200);
    expect((await bench.ask('GET', '/admin/upstreams', { localAddress })).status).toBe(200);
    expect((await bench.ask('GET', '/admin/upstreams', { localAddress, withoutKey: true })).status).toBe(401);
  }
});

test('a request under another host name is refused: somebody rebound it to this machine', async () => {
  await using bench = await startAdmin();
  const statuses = async (host: string): Promise<unknown> => [
    host, (await bench.ask('GET', '/metrics', { headers: { host } })).status,
    (await bench.ask('GET', '/admin/upstreams', { headers: { host } })).status,
  ];
  const others = [
    'evil.example', 'evil.example:9180', '10.0.0.1', '127.0.0.1.evil.example', 'localhost.evil.example',
  ];
  for (const host of others) {
    expect(await statuses(host)).toEqual([host, 403, 403]);
  }
  for (const host of ['localhost', 'localhost:1', '127.0.0.1:9180', '[::1]:9180', 'LOCALHOST']) {
    expect(await statuses(host)).toEqual([host, 200, 200]);
  }
});

test('answers carry the version, and neither a server name nor leave for other origins', async () => {
  await using bench = await startAdmin();
  const fromPage = { headers: { origin: 'http://evil.example', host: 'localhost' } };
  for (const asked of [{}, { withoutKey: true }, fromPage]) {
    const { headers } = await bench.ask('GET', '/admin/upstreams', asked);
    expect(headers['x-api-version']).toBe('v3');
    expect(headers['x-content-type-options']).toBe('nosniff');
    const names = Object.keys(headers);
    expect(names.filter((name) => /^(access-control|server$|x-powered)/.test(name))).toEqual([]);
  }
});

test('bytes that are no HTTP, or headers without end, are refused and harm nobody', async () => {
  await using bench = await startAdmin();
  const texts = [
    '*1\r\n$4\r\nPING\r\n', `GET /${'x'.repeat(17_000)} HTTP/1.1\r\n\r\n`,
    'GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
  ];
  for (const text of texts) {
    expect(await talk(bench, text)).toMatch(/^HTTP\/1\.1 4\d\d /);
  }
  expect((await bench.ask('GET', '/healthz')).status).toBe(200);
});

function talk({ admin }: Bench, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(admin.port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => { answer += chunk.toString(); });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}
