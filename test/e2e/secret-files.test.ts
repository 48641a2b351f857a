// Secrets that stand elsewhere: in files that change, and with managers that plugins bring.
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { definePlugin, type SecretManager } from '../../core/api.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
import { temporaryFolder } from '../admin/admin.ts';

vi.setConfig({ testTimeout: 20_000 });

const admin = '/apisix/admin';

/** What a client that comes now is answered. */
async function ping(proxy: Proxy): Promise<string> {
  const client = await proxy.connect();
  const reply = await client.command('PING');
  await client.close();
  return String(reply);
}

async function until(what: () => unknown): Promise<void> {
  await expect.poll(what, { timeout: 10_000, interval: 30 }).toBe(true);
}

const isServed = (proxy: Proxy): Promise<void> => until(async () => (await ping(proxy)) === 'PONG');

/** From now on links that were made with the old password are of no use. */
async function changePassword(port: number, from: string, to: string): Promise<void> {
  const client = await RespClient.connect(port);
  await client.command('AUTH', from);
  await client.command('CONFIG', 'SET', 'requirepass', to);
  await client.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await client.close();
}

async function behindSecret(reference: string, port: number, options: Parameters<typeof startProxy>[0], ...secrets: (readonly [string, unknown])[]): Promise<Proxy> {
  const proxy = await startProxy({ route: null, ...options });
  for (const [path, value] of secrets) await proxy.put(`${admin}/secrets/${path}`, value);
  await proxy.put(`${admin}/stream_routes/1`, {
    protocol: { name: 'redis' }, upstream: { nodes: { [`127.0.0.1:${port}`]: 1 }, auth: { password: reference } },
  });
  return proxy;
}

test('a password that is changed on the server and in its file is used without a write or a restart; a file that is gone or empty changes nothing', async () => {
  await using redis = await startRedis(['--requirepass', 'first-password']);
  using folder = temporaryFolder();
  const file = join(folder.path, 'redis');
  writeFileSync(file, 'first-password\n');
  await using proxy = await behindSecret('$secret://file/shop/redis', redis.port, {}, ['file/shop', { path: folder.path }]);
  expect(await ping(proxy)).toBe('PONG');

  for (const [before, now] of [['first-password', 'second-password'], ['second-password', 'third-password']] as const) {
    await changePassword(redis.port, before, now);
    writeFileSync(file, now);
    await isServed(proxy);
  }
  const before = proxy.records.length;
  rmSync(file);
  await until(() => proxy.records.slice(before).some(({ msg }) => String(msg).includes('got ENOENT')));
  expect(await ping(proxy)).toBe('PONG');
  writeFileSync(file, '');
  await until(() => proxy.records.slice(before).some(({ msg }) => String(msg).includes('holds something else')));
  expect(await ping(proxy)).toBe('PONG');
  await changePassword(redis.port, 'third-password', 'fourth-password');
  writeFileSync(file, 'fourth-password');
  await isServed(proxy);
  expect(JSON.stringify(proxy.records)).not.toMatch(/(first|second|third|fourth)-password/);
});

test('a secret that is lost later is no reason to refuse a write of something else, nor of what was broken by it', async () => {
  await using redis = await startRedis(['--requirepass', 'here']);
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, 'redis'), 'here');
  await using proxy = await behindSecret('$secret://file/shop/redis', redis.port, {}, ['file/shop', { path: folder.path }]);
  await proxy.put(`${admin}/services/s`, { upstream: { type: 'memory' } });
  rmSync(join(folder.path, 'redis'));
  // Both before it is noticed and afterwards.
  await proxy.put(`${admin}/upstreams/other`, { type: 'memory' });
  await until(() => proxy.records.some(({ msg }) => String(msg).includes('got ENOENT')));
  await proxy.put(`${admin}/upstreams/other`, { type: 'memory', desc: 'again' });
  expect((await proxy.call('PATCH', `${admin}/secrets/file/shop`, { path: folder.path })).status).toBe(200);
  expect(await ping(proxy)).toBe('PONG');
  const { body } = await proxy.call('GET', `${admin}/configs/status`);
  expect(body.not_in_use).toMatchObject([{ kind: 'stream_routes', id: '1' }]);
  expect((await proxy.call('PATCH', `${admin}/stream_routes/1`, { desc: 'of mine' })).body.error_msg).toContain('got ENOENT');
  writeFileSync(join(folder.path, 'redis'), 'here');
  await until(async () => (await proxy.call('GET', `${admin}/configs/status`)).body.not_in_use.length === 0);
  expect((await proxy.call('PATCH', `${admin}/stream_routes/1`, { desc: 'of mine' })).status).toBe(200);
});

test('a folder that is mounted as Kubernetes does, behind a link that is turned, is followed', async () => {
  await using redis = await startRedis(['--requirepass', 'one']);
  using folder = temporaryFolder();
  const mount = join(folder.path, 'mount');
  const version = (name: string, password: string): void => {
    mkdirSync(join(mount, name), { recursive: true });
    writeFileSync(join(mount, name, 'redis'), password);
    symlinkSync(name, join(mount, '..next'));
    renameSync(join(mount, '..next'), join(mount, '..data'));
  };
  version('..2026_1', 'one');
  symlinkSync('..data/redis', join(mount, 'redis'));
  await using proxy = await behindSecret('$secret://file/k8s/redis', redis.port, {}, ['file/k8s', { path: mount }]);
  expect(await ping(proxy)).toBe('PONG');
  const passwords = ['one', 'two', 'three'];
  for (const turn of [1, 2]) {
    const [before = '', now = ''] = passwords.slice(turn - 1);
    await changePassword(redis.port, before, now);
    version(`..2026_${turn + 1}`, now);
    rmSync(join(mount, `..2026_${turn}`), { recursive: true });
    await isServed(proxy);
  }
});

test('a plugin brings a manager with settings of its own: they are checked, kept and hidden, its own key may come from the environment', async () => {
  await using redis = await startRedis(['--requirepass', 'from-the-vault']);
  const asked: unknown[] = [];
  const secretManager: SecretManager = {
    schema: {
      type: 'object', additionalProperties: false, required: ['uri'],
      properties: { uri: { type: 'string', pattern: '^https?://' }, token: { type: 'string', minLength: 4, writeOnly: true } },
    },
    find: async (conf, name) => {
      asked.push(conf);
      if (String(conf['uri']).endsWith('/elsewhere')) return undefined;
      if (name === 'closed') throw new Error('503 sealed');
      return name === 'redis' ? JSON.stringify({ password: 'from-the-vault' }) : undefined;
    },
  };
  const vault = definePlugin({ name: 'vault', priority: 0, schema: { type: 'object' }, secretManager, setup: () => ({}) });
  await using proxy = await behindSecret('$secret://vault/main/redis/password', redis.port, {
    plugins: [vault], environment: { VAULT_TOKEN: 'token-of-the-vault' },
  }, ['vault/main', { uri: 'http://127.0.0.1:1', token: '$env://VAULT_TOKEN' }]);
  expect(await ping(proxy)).toBe('PONG');
  expect(asked).toContainEqual({ uri: 'http://127.0.0.1:1', token: 'token-of-the-vault' });

  const wrong = await proxy.call('PUT', `${admin}/secrets/vault/x`, { url: 'http://127.0.0.1:1', token: 'abc', path: '/x' });
  expect(wrong.body.errors.map(({ path }: { path: string }) => path).toSorted()).toEqual(['path', 'token', 'uri', 'url']);
  expect(wrong.body.errors.map(({ message }: { message: string }) => message)).toContain('unknown property "url", did you mean "uri"?');
  expect(JSON.stringify(wrong.body)).not.toContain('abc');
  await proxy.put(`${admin}/secrets/vault/main`, { uri: 'http://127.0.0.1:2', token: 'in-the-open' });
  expect((await proxy.call('GET', `${admin}/secrets/vault/main`)).body.value).toMatchObject({ uri: 'http://127.0.0.1:2', token: '***' });
  expect((await proxy.call('PATCH', `${admin}/secrets/vault/main`, { uri: 'http://127.0.0.1:3' })).body.value.token).toBe('***');
  expect(asked.at(-1)).toEqual({ uri: 'http://127.0.0.1:3', token: 'in-the-open' });
  expect(JSON.stringify((await proxy.call('GET', `${admin}/history`)).body)).not.toContain('in-the-open');

  // What is wrong then is another resource, which is named.
  const renamed = await proxy.call('PATCH', `${admin}/secrets/vault/main`, { uri: 'http://127.0.0.1:1/elsewhere' });
  expect([renamed.status, renamed.body.error_msg]).toEqual([
    400, 'stream_routes.1.upstream.auth.password: expected a secret at $secret://vault/main/redis/password, got nothing']);
  expect((await proxy.call('GET', `${admin}/secrets/vault/main`)).body.value.uri).toBe('http://127.0.0.1:3');

  const refused = async (name: string): Promise<string> =>
    (await proxy.call('PATCH', `${admin}/stream_routes/1/upstream/auth`, { password: `$secret://vault/main/${name}` })).body.error_msg;
  expect(await refused('nothing')).toBe('upstream.auth.password: expected a secret at $secret://vault/main/nothing, got nothing');
  expect(await refused('closed')).toContain('got 503 sealed');
  expect(await ping(proxy)).toBe('PONG');
});
