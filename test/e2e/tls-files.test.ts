// Certificate files of the settings: read again when they change and on SIGHUP, by all workers, and never at the cost of
// the listener.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAuthority, type Authority, type Certificate } from '../support/certificates.ts';
import { lines } from '../support/line-client.ts';
import { startMillrace } from '../support/millrace-process.ts';
import { freePort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';

let authority: Authority;
let one: Certificate;
let two: Certificate;

beforeAll(() => {
  authority = makeAuthority();
  [one, two] = [authority.issue('one', ['IP:127.0.0.1']), authority.issue('two', ['IP:127.0.0.1'])];
});
afterAll(() => authority[Symbol.dispose]());

const dial = (port: number, options: ConnectionOptions = {}): Promise<TLSSocket> => new Promise((resolve, reject) => {
  const socket = connectTls({ port, host: '127.0.0.1', ca: authority.text, ...options });
  socket.once('secureConnect', () => resolve(socket)).once('error', reject);
});
async function shown(port: number): Promise<string> {
  const socket = await dial(port);
  const name = socket.getPeerCertificate().subject.CN;
  socket.destroy();
  return String(name);
}
const copy = (from: Certificate, to: Certificate): void => {
  copyFileSync(from.cert, to.cert);
  copyFileSync(from.key, to.key);
};

test('a changed file is shown by every worker, open connections go on, and a broken one changes nothing', { timeout: 30_000 }, async () => {
  const used = authority.issue('used', ['IP:127.0.0.1']);
  copy(one, used);
  const port = await freePort();
  await using millrace = await startMillrace({ settings: { workers: 3, listeners: [{ port, protocol: 'redis', tls: used }] } });
  for (let i = 0; i < 12; i++) expect(await shown(port)).toBe('one');
  const steady = lines(await dial(port));
  copy(two, used);
  await expect.poll(() => millrace.records().filter(({ code }) => code === 'CERTIFICATE_RELOADED').length, { timeout: 8000 }).toBe(1);
  await expect.poll(() => shown(port)).toBe('two');
  for (let i = 0; i < 12; i++) expect(await shown(port)).toBe('two');

  copyFileSync(one.key, used.key);
  millrace.signal('SIGHUP');
  const broken = (): Record<string, unknown> | undefined => millrace.records().find(({ code }) => code === 'CERTIFICATE_INVALID');
  await expect.poll(broken, { timeout: 8000 }).toBeDefined();
  expect(broken()).toMatchObject({ level: 50, source: 'listeners[0].tls', msg: expect.stringContaining('a key that does not match it; the last good one is shown') });
  for (let i = 0; i < 12; i++) expect(await shown(port)).toBe('two');

  copyFileSync(one.cert, used.cert);
  millrace.signal('SIGHUP');
  await expect.poll(() => shown(port), { timeout: 8000 }).toBe('one');
  steady.send('PING\r\n');
  expect(await steady.line()).toMatch(/^\+PONG/);
  await steady[Symbol.asyncDispose]();
  expect(JSON.stringify(millrace.records())).not.toContain('PRIVATE KEY');
});

test('SR-32: a session is resumed by whichever worker the client meets', { timeout: 30_000 }, async () => {
  const port = await freePort();
  await using _millrace = await startMillrace({ settings: { workers: 3, listeners: [{ port, protocol: 'redis', tls: one }] } });
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const versions = { minVersion: version, maxVersion: version } as const;
    const first = await dial(port, versions);
    const client = lines(first);
    client.send('PING\r\n');
    await client.line();
    const session = first.getSession()!;
    first.destroy();
    for (let i = 0; i < 12; i++) {
      const again = await dial(port, { ...versions, session });
      expect(again.isSessionReused()).toBe(true);
      again.destroy();
    }
  }
});

test('ssls of the store come before the listener\'s certificate for all others, and after its certificate for the same name', async () => {
  const port = await freePort();
  const named = authority.issue('named', ['DNS:a.example']);
  await using proxy = await startProxy({
    settings: { listeners: [{ port, protocol: 'redis', tls: { ...one, certificates: [{ sni: 'a.example', ...named }] } }] },
  });
  const stored = authority.issue('stored', ['DNS:a.example']);
  await proxy.put('/apisix/admin/ssls/1', {
    cert: readFileSync(stored.cert, 'utf8'), key: readFileSync(stored.key, 'utf8'), snis: ['a.example', '*.example'],
  });
  const by = async (servername: string): Promise<string> => {
    const socket = await dial(port, { servername, checkServerIdentity: () => undefined });
    const name = socket.getPeerCertificate().subject.CN;
    socket.destroy();
    return String(name);
  };
  expect(await by('a.example')).toBe('named');
  expect(await by('b.example')).toBe('stored');
  expect(await by('c.test')).toBe('one');
  expect(await shown(port)).toBe('one');
});

test('a pair that does not fit keeps Millrace from starting, and says where', async () => {
  const wrong = join(authority.folder, 'wrong.pem');
  writeFileSync(wrong, 'nothing');
  const start = async (tls: object): Promise<string> => {
    try {
      await using _proxy = await startProxy({ settings: { listeners: [{ port: await freePort(), tls }] } });
      return 'started';
    } catch (cause) {
      return String(cause);
    }
  };
  expect(await start({ cert: one.cert, key: two.key })).toMatch(/listeners\[0\]\.tls\.key: .*key/);
  expect(await start({ cert: wrong, key: one.key })).toMatch(/listeners\[0\]\.tls\.cert: .*certificate/);
  expect(await start({ certificates: [{ cert: join(authority.folder, 'absent.pem'), key: one.key }] }))
    .toMatch(/listeners\[0\]\.tls\.certificates\[0\]\.cert: .*ENOENT/);
  expect(await start({ ...one, min_version: 'TLSv1.3', max_version: 'TLSv1.2' })).toMatch(/listeners\[0\]\.tls\.min_version: expected at most max_version/);
  expect(await start({ ...one, ciphers: 'NONSENSE' })).toMatch(/listeners\[0\]\.tls\.ciphers: expected ciphers/);
});
