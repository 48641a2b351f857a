// Millrace on an etcd that asks for a client certificate and for a user, over TLS.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAuthority, type Authority, type Certificate } from '../support/certificates.ts';
import { startEtcd, type EtcdServer } from '../support/etcd-server.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';

const password = 'etcd-password-of-the-test';
let authority: Authority;
let client: Certificate;
let etcd: EtcdServer;

beforeAll(async () => {
  authority = makeAuthority();
  client = authority.issue('millrace', ['DNS:millrace'], 2, 'ec', '/O=Millrace');
  etcd = await startEtcd({ ca: authority.file, server: authority.issue('etcd', ['IP:127.0.0.1']), client });
  const call = (path: string, body: object): Promise<unknown> => etcd.call(`/v3/auth/${path}`, body);
  for (const user of ['root', 'millrace']) {
    await call('user/add', { name: user, password });
    await call('role/add', { name: user });
    await call('user/grant', { user, role: user });
  }
  // It may touch what is below its prefix, and nothing else.
  const [key, end] = ['/millrace/', '/millrace0'].map((text) => Buffer.from(text).toString('base64'));
  await call('role/grant', { name: 'millrace', perm: { permType: 'READWRITE', key, range_end: end } });
  await call('enable', {});
});

afterAll(async () => {
  await etcd[Symbol.asyncDispose]();
  authority[Symbol.dispose]();
});

const start = (fields: object = {}): Promise<Proxy> => startProxy({
  route: null,
  settings: { store: { etcd: {
    endpoints: [etcd.endpoint], username: 'millrace', password, tls: { ca: authority.file, ...client }, timeout_s: 2, ...fields,
  } } },
});
const failure = async (fields: object): Promise<string> => {
  try {
    await (await start(fields))[Symbol.asyncDispose]();
    return 'it started';
  } catch (error) {
    return (error as Error).message;
  }
};

test('with its certificate and as its user, what one Millrace writes is served by another, also by one that checks nothing', async () => {
  await using one = await start();
  await using other = await start();
  await using trusting = await start({ tls: { verify: false, ...client } });
  await one.put('/apisix/admin/stream_routes/1', { upstream: { type: 'memory' }, protocol: { name: 'redis' } });
  for (const proxy of [other, trusting]) {
    await expect.poll(async () => (await proxy.call('GET', '/apisix/admin/stream_routes/1')).status).toBe(200);
    expect(await (await proxy.connect()).command('PING')).toBe('PONG');
  }
  expect((await other.call('DELETE', '/apisix/admin/stream_routes/1')).status).toBe(200);
  await expect.poll(async () => (await one.call('GET', '/apisix/admin/stream_routes/1')).status).toBe(404);
});

test('the file of the last configuration, the log and the answers hold neither password nor key', async () => {
  await using proxy = await start();
  await proxy.put('/apisix/admin/upstreams/1', { nodes: { '127.0.0.1:6379': 1 } });
  const snapshot = join(proxy.folder, 'data/etcd-snapshot.json');
  await expect.poll(() => existsSync(snapshot) && readFileSync(snapshot, 'utf8')).toContain('6379');
  const answers = JSON.stringify((await proxy.call('GET', '/apisix/admin/configs')).body);
  for (const text of [JSON.stringify(proxy.records), answers, readFileSync(snapshot, 'utf8')]) {
    expect(text).not.toContain(password);
    expect(text).not.toContain('PRIVATE KEY');
  }
});

test('a certificate with a common name, which etcd refuses, is told', async () => {
  expect(await failure({ tls: { ca: authority.file, ...authority.issue('named', ['DNS:named']) } }))
    .toContain('status 400: etcd takes no client certificate with a common name (CN) here, use one without');
});

test('without its certificate, with one of somebody else, or with an etcd that its authority does not know, the start says so', async () => {
  using stranger = makeAuthority();
  const [noCertificate, strange, unknown] = [
    await failure({ tls: { ca: authority.file } }),
    await failure({ tls: { ca: authority.file, ...stranger.issue('millrace', ['DNS:millrace']) } }),
    await failure({ tls: { ca: stranger.file, ...client } }),
  ];
  for (const text of [noCertificate, strange, unknown]) expect(text).toContain(etcd.endpoint);
  expect(noCertificate).toMatch(/certificate/i);
  expect(strange).toMatch(/certificate/i);
  expect(unknown).toMatch(/certificate|signature/i);
});

test('a wrong password, a user that may not touch the prefix and plain HTTP are told, without the password', async () => {
  const texts = [
    await failure({ password: 'not-the-password' }), await failure({ prefix: '/another' }),
    await failure({ endpoints: [etcd.endpoint.replace('https', 'http')] }),
  ];
  expect(texts[0]).toMatch(/authentication failed/);
  expect(texts[1]).toMatch(/permission denied/);
  expect(texts[2]).toMatch(/HTTP|http/);
  for (const text of texts) expect(text).not.toMatch(/it started|not-the-password|etcd-password/);
});
