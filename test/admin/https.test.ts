// The Admin API over TLS: on a real port, with certificates of the test's own authority.
import { appendFileSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { AdminClient } from '../../core/cli/admin-client.ts';
import { loadSettings } from '../../core/settings.ts';
import { makeAuthority, type Authority, type Certificate } from '../support/certificates.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';

const key = 'test-admin-key-0123456789abcdef';

// OpenSSL's alert, or the connection's end where the client was faster than the alert.
const refusedByServer = /alert (certificate required|unknown ca)|ECONNRESET|EPIPE|socket hang up/;

interface Asked { readonly ca: string; readonly client?: { readonly cert: Buffer; readonly key: Buffer }; readonly headers?: Record<string, string> }

/** The status, and who the server says it is. */
function ask(port: number, { ca, client, headers = { 'x-api-key': key } }: Asked): Promise<{ status: number; name: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({
      host: '127.0.0.1', port, path: '/apisix/admin/upstreams', agent: false, ca, headers: { host: '127.0.0.1', ...headers }, ...client,
    }, (response) => {
      const { subject } = (response.socket as TLSSocket).getPeerCertificate();
      response.resume().on('end', () => resolve({ status: response.statusCode ?? 0, name: String(subject.CN) }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

function startSecure(tls: Certificate & { client_ca?: string }, port: number): Promise<Proxy> {
  return startProxy({ route: null, settings: { admin: { port, key, tls } } });
}

function place(certificate: Certificate, folder: string): Certificate {
  const files = { cert: join(folder, 'shown.pem'), key: join(folder, 'shown.key') };
  copyFileSync(certificate.key, files.key);
  copyFileSync(certificate.cert, files.cert);
  return files;
}

function clientOf(authority: Authority, name: string): { cert: Buffer; key: Buffer } {
  const files = authority.issue(name, ['DNS:client.example']);
  return { cert: readFileSync(files.cert), key: readFileSync(files.key) };
}

test('the Admin API is served over TLS 1.2 and newer, with keys as ever, and plain HTTP gets nothing', async () => {
  using authority = makeAuthority();
  const port = await freePort();
  await using proxy = await startSecure(authority.issue('one', ['IP:127.0.0.1']), port);
  const ca = authority.text;
  expect(await ask(port, { ca })).toEqual({ status: 200, name: 'one' });
  expect((await ask(port, { ca, headers: {} })).status).toBe(401);
  const cookie = { cookie: `x_api_key=${key}` };
  expect((await ask(port, { ca, headers: { ...cookie, origin: 'https://127.0.0.1' } })).status).toBe(200);
  expect((await ask(port, { ca, headers: { ...cookie, origin: 'http://127.0.0.1' } })).status).toBe(401);
  await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow('fetch failed');
  const old = new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ca, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, () => resolve('spoken'));
    socket.on('error', reject);
  });
  await expect(old).rejects.toThrow(/alert protocol version|unsupported protocol/);
  await new Promise<void>((resolve) => {
    connectPlain(port, '127.0.0.1').on('error', () => undefined).on('close', () => resolve()).end('*1\r\n$4\r\nPING\r\n');
  });
  expect((await ask(port, { ca })).status).toBe(200);
  expect(proxy.records.filter(({ code, msg }) => code === 'ADMIN_DENIED' && String(msg).includes('handshake')).length).toBeGreaterThanOrEqual(2);
});

test('with client_ca only clients with a certificate of that authority get as far as the key', async () => {
  using authority = makeAuthority();
  using clients = makeAuthority();
  using strangers = makeAuthority();
  const port = await freePort();
  await using _proxy = await startSecure({ ...authority.issue('one', ['IP:127.0.0.1']), client_ca: clients.file }, port);
  const ca = authority.text;
  const client = clientOf(clients, 'operator');
  expect((await ask(port, { ca, client })).status).toBe(200);
  expect((await ask(port, { ca, client, headers: {} })).status).toBe(401);
  await expect(ask(port, { ca })).rejects.toThrow(refusedByServer);
  await expect(ask(port, { ca, client: clientOf(strangers, 'stranger') })).rejects.toThrow(refusedByServer);
  // Who may be shown as a server is not thereby a client.
  await expect(ask(port, { ca, client: clientOf(authority, 'server') })).rejects.toThrow(refusedByServer);
});

test('a changed certificate is shown without a restart, a broken one is not, and SIGHUP reads at once', async () => {
  using authority = makeAuthority();
  const port = await freePort();
  const ca = authority.text;
  const files = place(authority.issue('first', ['IP:127.0.0.1']), authority.folder);
  await using proxy = await startSecure(files, port);
  expect((await ask(port, { ca })).name).toBe('first');
  place(authority.issue('second', ['IP:127.0.0.1']), authority.folder);
  await expect.poll(async () => (await ask(port, { ca })).name, { timeout: 10_000 }).toBe('second');
  writeFileSync(files.cert, 'nothing');
  await proxy.app.reload();
  expect((await ask(port, { ca })).name).toBe('second');
  expect(proxy.records.map(({ msg }) => msg)).toContainEqual(expect.stringMatching(
    /^admin\.tls\.cert: .*shown\.pem: expected certificates in PEM, the own one first, got a text without a certificate; the last good one is shown$/));
  place(authority.issue('third', ['IP:127.0.0.1']), authority.folder);
  await proxy.app.reload();
  expect((await ask(port, { ca })).name).toBe('third');
});

test('another client_ca holds from the next connection on', async () => {
  using authority = makeAuthority();
  using before = makeAuthority();
  using after = makeAuthority();
  const port = await freePort();
  const clientCa = join(authority.folder, 'clients.pem');
  copyFileSync(before.file, clientCa);
  await using proxy = await startSecure({ ...authority.issue('one', ['IP:127.0.0.1']), client_ca: clientCa }, port);
  const ca = authority.text;
  const [old, next] = [clientOf(before, 'old'), clientOf(after, 'next')];
  expect((await ask(port, { ca, client: old })).status).toBe(200);
  copyFileSync(after.file, clientCa);
  await proxy.app.reload();
  expect((await ask(port, { ca, client: next })).status).toBe(200);
  await expect(ask(port, { ca, client: old })).rejects.toThrow(refusedByServer);
});

test('files that cannot be used refuse to start, with their place', async () => {
  using authority = makeAuthority();
  const { cert, key: own } = authority.issue('one', ['IP:127.0.0.1']);
  const other = authority.issue('two', ['IP:127.0.0.1']);
  const start = async (tls: Certificate & { client_ca?: string }): Promise<Proxy> => startSecure(tls, await freePort());
  await expect(start({ cert, key: other.key })).rejects.toThrow(/^admin\.tls\.key: .*two\.key: expected the key of the certificate, got a key that does not match it$/);
  await expect(start({ cert: '/nowhere.pem', key: own })).rejects.toThrow('admin.tls.cert: ENOENT');
  await expect(start({ cert, key: own, client_ca: own })).rejects.toThrow(/^admin\.tls\.client_ca: .*expected certificates in PEM.*got a text without a certificate$/);
});

test('paths count from the folder of the settings, and commands ask over TLS', async () => {
  using authority = makeAuthority();
  const port = await freePort();
  const tls = authority.issue('one', ['DNS:admin.example']);
  appendFileSync(tls.cert, authority.text);
  const file = join(authority.folder, 'millrace.json');
  writeFileSync(file, JSON.stringify({ admin: { port, key, tls: { cert: 'one.pem', key: 'one.key', client_ca: 'ca.pem' } } }));
  expect(loadSettings(file, {}).settings?.admin.tls).toEqual({ ...tls, client_ca: authority.file });
  writeFileSync(file, JSON.stringify({ admin: { port, key, tls: { cert: 'one.pem', key: 'one.key' } } }));
  const client = AdminClient.open({ config: file });
  await expect(client.get('/healthz')).rejects.toThrow(`https://127.0.0.1:${port} does not answer (ECONNREFUSED)`);
  const proxy = await startSecure(tls, port);
  expect(await client.get('/apisix/admin/upstreams')).toEqual({ total: 0, list: [] });
  await expect(client.get('/apisix/admin/routs')).rejects.toThrow('status 404');
  await proxy[Symbol.asyncDispose]();
  // Somebody else on that port, with another certificate of the same authority, does not get the key.
  await using _other = await startSecure(authority.issue('two', ['DNS:admin.example']), port);
  await expect(client.get('/apisix/admin/upstreams')).rejects.toThrow('does not answer (');
});
