// Secrets that stand elsewhere: the workers have them, nobody else does.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAuthority } from '../support/certificates.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

const admin = '/apisix/admin';
const password = 'S3CR3T-hunter2';

let redis: RedisServer;
let proxy: Proxy;
let folder: string;
beforeAll(async () => {
  redis = await startRedis(['--requirepass', password]);
  proxy = await startProxy({ route: null, environment: {
    REDIS_PASSWORD: password, APP_REDIS: JSON.stringify({ user: 'default', password }), EMPTY: '', MILLRACE_ADMIN_KEY: 'S3CR3T-key', LENT: 'test-admin-key-0123456789abcdef',
  } });
  folder = join(proxy.folder, 'secrets');
  mkdirSync(folder);
  writeFileSync(join(folder, 'redis'), `${password}\n`);
  await proxy.put(`${admin}/secrets/env/app`, { prefix: 'APP_' });
  await proxy.put(`${admin}/secrets/file/f`, { path: folder });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

const upstream = (reference: string): object => ({ nodes: { [`127.0.0.1:${redis.port}`]: 1 }, auth: { password: reference } });
const route = { upstream_id: 'u', protocol: { name: 'redis' } };

test.each(['$env://REDIS_PASSWORD', '$ENV://APP_REDIS/password', '$secret://env/app/REDIS/password', '$secret://file/f/redis'])(
  'a password that is %s is used, and shown as what stands there', async (reference) => {
    await proxy.put(`${admin}/upstreams/u`, upstream(reference));
    await proxy.put(`${admin}/stream_routes/1`, route);
    expect(await (await proxy.connect()).command('SET', 'a', '1')).toBe('OK');
    expect((await proxy.call('GET', `${admin}/upstreams/u`)).body.value.auth).toEqual({ password: reference });
    const pages = await Promise.all(['upstreams', 'configs', 'history', 'audit', 'plugins/status', 'sessions'].map((path) => proxy.call('GET', `${admin}/${path}`)));
    expect(JSON.stringify([pages, proxy.records])).not.toContain(password);
    for (const path of ['stream_routes/1', 'upstreams/u']) expect((await proxy.call('DELETE', `${admin}/${path}`)).status).toBe(200);
  });

test.each([
  ['$env://NOWHERE', 'auth.password: expected a secret at $env://NOWHERE, got nothing'],
  ['$env://MILLRACE_ADMIN_KEY', 'auth.password: expected a secret at $env://MILLRACE_ADMIN_KEY, got nothing'],
  ['$env://REDIS_PASSWORD/x', 'auth.password: expected a secret at $env://REDIS_PASSWORD/x, got no JSON'],
  ['$env://APP_REDIS/x', 'auth.password: expected a secret at $env://APP_REDIS/x, got nothing named x'],
  ['$env://EMPTY', 'auth.password: expected 1..4096 characters, $env://EMPTY holds something else'],
  ['$env://', 'auth.password: expected $env://NAME or $secret://manager/id/name, got "$env://"'],
  ['$secret://file/f/nowhere', 'auth.password: expected a secret at $secret://file/f/nowhere, got ENOENT'],
  ['$secret://file/f/..', 'auth.password: expected a secret at $secret://file/f/.., got nothing'],
  ['$secret://file/f', 'auth.password: expected $env://NAME or $secret://manager/id/name, got "$secret://file/f"'],
  ['$secret://env/nope/A', 'failed to fetch secret info by secret id [env/nope], response code: 404'],
])('a reference %s that leads to no secret is refused', async (reference, text) => {
  await proxy.put(`${admin}/stream_routes/1`, { ...route, upstream_id: undefined, upstream: upstream(password) });
  const { status, body } = await proxy.call('PUT', `${admin}/upstreams/wrong`, upstream(reference));
  expect([status, body.error_msg]).toEqual([400, text]);
  expect((await proxy.call('GET', `${admin}/upstreams/wrong`)).status).toBe(404);
  expect(await (await proxy.connect()).command('PING')).toBe('PONG');
});

test('a file that changed is read again at the next reload, and one that is gone leaves what was', async () => {
  writeFileSync(join(folder, 'rotated'), password);
  await proxy.put(`${admin}/upstreams/u`, upstream('$secret://file/f/rotated'));
  await proxy.put(`${admin}/stream_routes/1`, route);
  expect(await (await proxy.connect()).command('PING')).toBe('PONG');
  writeFileSync(join(folder, 'rotated'), 'S3CR3T-wrong');
  await proxy.app.reload();
  expect(await (await proxy.connect()).command('SET', 'b', '1')).not.toBe('OK');
  writeFileSync(join(folder, 'rotated'), password);
  await proxy.app.reload();
  expect(await (await proxy.connect()).command('SET', 'b', '1')).toBe('OK');
  rmSync(join(folder, 'rotated'));
  await proxy.app.reload();
  expect(await (await proxy.connect()).command('SET', 'b', '1')).toBe('OK');
  expect(proxy.records).toContainEqual(expect.objectContaining({
    kind: 'upstreams', id: 'u', msg: 'auth.password: expected a secret at $secret://file/f/rotated, got ENOENT',
  }));
  await proxy.call('PATCH', `${admin}/configs`, { stream_routes: { 1: null }, upstreams: { u: null } });
});

test('SR-38 a certificate and its key stand in the environment and in a file, and the handshake works', async () => {
  using authority = makeAuthority();
  const { cert, key } = authority.issue('shop.example', ['DNS:shop.example']);
  const port = await freePort();
  await using other = await startProxy({
    settings: { listeners: [{ port, protocol: 'redis', tls: {} }] }, environment: { CERT: readFileSync(cert, 'utf8') }, route: { upstream: { type: 'memory' } },
  });
  writeFileSync(join(other.folder, 'key'), readFileSync(key, 'utf8'));
  await other.put(`${admin}/secrets/file/f`, { path: other.folder });
  await other.put(`${admin}/ssls/1`, { cert: '$env://CERT', key: '$secret://file/f/key', sni: 'shop.example' });
  const socket = connect({ port, host: '127.0.0.1', ca: authority.text, servername: 'shop.example' });
  const answer = await new Promise<string>((resolve, reject) => {
    socket.once('error', reject).once('data', (bytes: Buffer) => resolve(bytes.toString())).write('PING\r\n');
  });
  socket.destroy();
  expect(answer).toBe('+PONG\r\n');
  expect((await other.call('GET', `${admin}/ssls/1`)).body.value).toMatchObject({ cert: '$env://CERT', key: '$secret://file/f/key' });
  expect((await other.call('PATCH', `${admin}/ssls/1`, { key: '$env://CERT' })).status).toBe(400);
});

test('no reference leads to a key of the Admin API: not by a variable, not by its file, not as a member', async () => {
  expect(proxy.key).toBe('test-admin-key-0123456789abcdef');
  writeFileSync(join(folder, 'admin.key'), `${proxy.key}\n`);
  writeFileSync(join(folder, 'keys.json'), JSON.stringify({ admin: proxy.key, other: 'S3CR3T-other' }));
  for (const reference of ['$env://LENT', '$secret://file/f/admin.key', '$secret://file/f/keys.json/admin']) {
    const { status, body } = await proxy.call('PUT', `${admin}/stream_routes/9`, {
      server_port: 1, upstream: { type: 'memory' }, protocol: { name: 'redis' },
      plugins: { 'fault-injection': { commands: ['get'], abort: { error: reference } } },
    });
    expect([status, body.error_msg]).toEqual([400, expect.stringContaining('a key of the Admin API')]);
    expect(JSON.stringify(body)).not.toContain(proxy.key);
  }
  expect((await proxy.call('PUT', `${admin}/upstreams/9`, upstream('$secret://file/f/keys.json/other'))).status).toBe(201);
});

test('devices, pipes and what the system makes up are no files of secrets', { timeout: 10_000 }, async () => {
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  await proxy.put(`${admin}/secrets/file/dev`, { path: '/dev' });
  await proxy.put(`${admin}/secrets/file/proc`, { path: '/proc/self' });
  for (const [reference, got] of [['$secret://file/dev/zero', 'no ordinary file'], ['$secret://file/f/pipe', 'no ordinary file'], ['$secret://file/dev/null', 'no ordinary file']]) {
    const { status, body } = await proxy.call('PUT', `${admin}/upstreams/9`, upstream(reference!));
    expect([status, body.error_msg]).toEqual([400, `auth.password: expected a secret at ${reference}, got ${got}`]);
  }
  const { status, body } = await proxy.call('PUT', `${admin}/upstreams/9`, upstream('$secret://file/proc/environ'));
  expect([status, body.error_msg]).toEqual([400, expect.stringMatching(/^auth\.password: expected .*holds something else$/)]);
});
