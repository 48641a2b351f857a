// TLS towards the nodes: whose name we ask for, and which certificate we show.
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect as connectTls, createServer, type Server, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority, type Authority, type Certificate } from '../support/certificates.ts';
import { connectLines, lines, type LineClient } from '../support/line-client.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { RespError } from '../support/resp.ts';
import { startRedis } from '../support/redis-server.ts';

let authority: Authority;
let proxy: Proxy;
let secure: number;
let address: string;
let node: Server;
/** What each connection asked the node for, and who it said it was. */
let asked: string[] = [];

const pem = ({ cert, key }: Certificate): { cert: string; key: string } => ({ cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') });
const admin = (path: string): string => `/apisix/admin/${path}`;

beforeAll(async () => {
  authority = makeAuthority();
  const own = pem(authority.issue('node', ['IP:127.0.0.1', 'DNS:localhost', 'DNS:redis.internal']));
  node = createServer({ ...own, ca: authority.text, requestCert: true, rejectUnauthorized: false }, (socket: TLSSocket) => {
    const { servername } = socket as { servername?: string | false };
    asked.push(`${servername || 'none'} ${String(socket.authorized ? socket.getPeerCertificate().subject.CN : 'nobody')}`);
    socket.on('error', () => undefined);
    socket.write(`${asked.at(-1)!}\n`);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve));
  address = `127.0.0.1:${(node.address() as AddressInfo).port}`;
  secure = await freePort();
  proxy = await startProxy({ route: null, settings: { listeners: [{ port: await freePort() }, { port: secure, tls: {} }] } });
  await proxy.put(admin('ssls/door'), { ...pem(authority.issue('door', ['DNS:client.example'])), snis: ['client.example', 'localhost'] });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await new Promise((resolve) => node.close(resolve));
  authority[Symbol.dispose]();
});
afterEach(async () => {
  asked = [];
  await proxy.call('DELETE', admin('stream_routes/1'));
});

const route = (tls: object, nodes: object = { [address]: 1 }): Promise<void> =>
  proxy.put(admin('stream_routes/1'), { upstream: { nodes, scheme: 'tls', tls: { ca: authority.text, ...tls } } });
const dial = async (servername: string): Promise<LineClient> => {
  const socket = connectTls({ port: secure, host: '127.0.0.1', ca: authority.text, servername, checkServerIdentity: () => undefined });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return lines(socket);
};
const plainly = async (): Promise<string | null> => {
  await using client = await connectLines(proxy.port);
  return await client.line();
};
const secretly = async (servername: string): Promise<string | null> => {
  await using client = await dial(servername);
  return await client.line();
};

describe('SR-41: the name that a node is asked for', () => {
  test('is that of the client where the node is an address, none without one; server_name and a node\'s own name come first', async () => {
    await route({});
    expect(await secretly('client.example')).toBe('client.example nobody');
    expect(await plainly()).toBe('none nobody');
    await route({ server_name: 'redis.internal' });
    expect(await secretly('client.example')).toBe('redis.internal nobody');
    expect(await plainly()).toBe('redis.internal nobody');
    await route({}, { [address.replace('127.0.0.1', 'localhost')]: 1 });
    expect(await secretly('client.example')).toBe('localhost nobody');
  });

  test('is not what is checked: a client cannot say whose certificate is good', async () => {
    const other = createServer(pem(authority.issue('stranger', ['DNS:client.example'])), (socket) => void socket.on('error', () => undefined).write('hello\n'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    await route({}, { [`127.0.0.1:${(other.address() as AddressInfo).port}`]: 1 });
    expect(await secretly('client.example')).toBe(null);
    await new Promise((resolve) => other.close(resolve));
  });
});

describe('SR-42: the certificate that a node is shown', () => {
  test('stands in the upstream, or among ssls; the key is never shown to anybody', async () => {
    const jack = pem(authority.issue('jack', ['DNS:jack']));
    await route({ client_cert: jack.cert, client_key: jack.key });
    expect(await plainly()).toBe('none jack');
    const jill = pem(authority.issue('jill', ['DNS:jill']));
    await proxy.put(admin('ssls/own'), { ...jill, type: 'client' });
    await route({ client_cert_id: 'own' });
    expect(await plainly()).toBe('none jill');
    await route({});
    expect(await plainly()).toBe('none nobody');
    for (const path of ['stream_routes', 'ssls', 'configs', 'history', 'stream_routes/1/history']) {
      const text = JSON.stringify((await proxy.call('GET', admin(path))).body);
      expect(text).not.toContain('PRIVATE KEY');
    }
    expect(JSON.stringify(proxy.records)).not.toContain('PRIVATE KEY');
  });

  test('changes for new connections; those that are open go on', async () => {
    await proxy.put(admin('ssls/own'), { ...pem(authority.issue('first', ['DNS:first'])), type: 'client' });
    await proxy.put(admin('upstreams/u'), { nodes: { [address]: 1 }, scheme: 'tls', tls: { ca: authority.text, client_cert_id: 'own' } });
    await proxy.put(admin('stream_routes/1'), { upstream_id: 'u' });
    await using steady = await connectLines(proxy.port);
    expect(await steady.line()).toBe('none first');
    await proxy.put(admin('ssls/own'), { ...pem(authority.issue('second', ['DNS:second'])), type: 'client' });
    expect(await plainly()).toBe('none second');
    steady.send('still\n');
    expect(await steady.line()).toBe('still');
  });

  test('a Redis that asks for one gets it; without it, the node is out', async () => {
    const [port, own] = [await freePort(), authority.issue('cache', ['IP:127.0.0.1'])];
    await using _server = await startRedis(
      ['--port', '0', '--tls-port', String(port), '--tls-cert-file', own.cert, '--tls-key-file', own.key,
        '--tls-ca-cert-file', authority.file, '--tls-auth-clients', 'yes'], port);
    await proxy.put(admin('ssls/own'), { ...pem(authority.issue('third', ['DNS:third'])), type: 'client' });
    await using redis = await startProxy({
      route: { upstream: { nodes: { [`127.0.0.1:${port}`]: 1 }, scheme: 'tls', tls: { ca: authority.text } } },
    });
    expect(await (await redis.connect()).command('GET', 'a')).toBeInstanceOf(RespError);
    await redis.put(admin('ssls/own'), { ...pem(authority.issue('fourth', ['DNS:fourth'])), type: 'client' });
    await redis.put(admin('stream_routes/1'), {
      upstream: { nodes: { [`127.0.0.1:${port}`]: 1 }, scheme: 'tls', tls: { ca: authority.text, client_cert_id: 'own' } }, protocol: { name: 'redis' },
    });
    expect(await (await redis.connect()).command('SET', 'a', '1')).toBe('OK');
  });
});

test('AA-15: both ways to name a certificate, an unknown id, one of servers, and a key of another are refused', async () => {
  const own = pem(authority.issue('refused', ['DNS:refused']));
  const put = async (tls: object): Promise<string> => {
    const { status, body } = await proxy.call('PUT', admin('upstreams/bad'), { nodes: { [address]: 1 }, scheme: 'tls', tls });
    return `${status} ${String(body.error_msg)}`;
  };
  expect(await put({ client_cert: own.cert, client_key: own.key, client_cert_id: 'door' })).toMatch(/^400 .*client_cert_id/);
  expect(await put({ client_cert_id: 'nowhere' })).toMatch(/^400 .*failed to fetch ssl info by ssl id \[nowhere\], response code: 404/);
  expect(await put({ client_cert_id: 'door' })).toMatch(/^400 .*failed to fetch ssl info by ssl id \[door\], wrong ssl type/);
  const other = pem(authority.issue('else', ['DNS:else']));
  expect(await put({ client_cert: own.cert, client_key: other.key })).toMatch(/^400 .*client_key: expected the key of the certificate/);
  expect(await put({ ca: 'x'.repeat(64) })).toMatch(/^400 .*tls\.ca: expected certificates in PEM/);
  await proxy.put(admin('ssls/used'), { ...own, type: 'client' });
  await proxy.put(admin('upstreams/good'), { nodes: { [address]: 1 }, scheme: 'tls', tls: { client_cert_id: 'used' } });
  expect((await proxy.call('DELETE', admin('ssls/used'))).status).toBe(400);
  await proxy.call('DELETE', admin('upstreams/good'));
  expect((await proxy.call('DELETE', admin('ssls/used'))).status).toBe(200);
});
