// Certificates of `ssls`: by name, changed under load, with client certificates, versions and ciphers of their own.
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority, type Authority, type Certificate } from '../support/certificates.ts';
import { greetingAt, lines } from '../support/line-client.ts';
import { startNamed, type NamedServer } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { runProgram } from '../support/run-program.ts';
import { sleep } from '../support/sleep.ts';

type Version = 'TLSv1.2' | 'TLSv1.3';
type Options = ConnectionOptions & { session?: Buffer | undefined };

let authority: Authority;
let servers: readonly NamedServer[];
let proxy: Proxy;
let port: number;
let strict: number;
const subjects: string[] = [];

beforeAll(async () => {
  authority = makeAuthority();
  servers = await Promise.all(['1', '2', '3'].map((name) => startNamed(name)));
  [port, strict] = [await freePort(), await freePort()];
  proxy = await startProxy({
    route: null,
    settings: {
      listeners: [
        { port, tls: {} },
        { port: strict, tls: { min_version: 'TLSv1.3', ciphers: 'TLS_AES_256_GCM_SHA384', fallback_sni: 'Fallback.Example' } },
      ],
    },
    plugins: [{
      name: 'collect-subjects', priority: 1, schema: { type: 'object' },
      setup: (_conf, context) => {
        const names = ['ssl_client_verify', 'ssl_client_s_dn', 'ssl_client_serial', 'sni'].map((name) => context.variable(name));
        return { request: (request) => { subjects.push(names.map((read) => read(request)).join(' ')); } };
      },
    }],
  });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  for (const server of servers) await server[Symbol.asyncDispose]();
  authority[Symbol.dispose]();
});
afterEach(async () => {
  for (const kind of ['stream_routes', 'ssls']) {
    const { body } = await proxy.call('GET', `/apisix/admin/${kind}`);
    for (const { value } of body.list) await proxy.call('DELETE', `/apisix/admin/${kind}/${value.id}`);
  }
});

const pem = ({ cert, key }: Certificate): { cert: string; key: string } => ({ cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') });
// Making one takes a while.
const issued = new Map<string, { cert: string; key: string }>();
const issue = (name: string, ...names: string[]): { cert: string; key: string } => {
  const known = issued.get(name) ?? pem(authority.issue(name, (names.length === 0 ? [name] : names).map((each) => `DNS:${each}`)));
  issued.set(name, known);
  return known;
};
const ssl = (id: string, value: object): Promise<void> => proxy.put(`/apisix/admin/ssls/${id}`, value);
const route = (id: string, server: number, conf: object = {}): Promise<void> =>
  proxy.put(`/apisix/admin/stream_routes/${id}`, { upstream: { nodes: { [servers[server]!.address]: 1 } }, ...conf });
const dial = (servername: string, options: Options = {}): Promise<TLSSocket> => new Promise((resolve, reject) => {
  const socket = connectTls({ port, host: '127.0.0.1', ca: authority.text, servername, checkServerIdentity: () => undefined, ...options });
  socket.once('secureConnect', () => resolve(socket)).once('error', reject);
});
/** The name in the certificate that is shown, or why there is none. */
const shown = async (servername: string, options: ConnectionOptions = {}): Promise<string> => {
  try {
    const socket = await dial(servername, options);
    const name = socket.getPeerCertificate().subject.CN;
    socket.destroy();
    return String(name);
  } catch (cause) {
    return (cause as { code?: string }).code ?? String(cause);
  }
};
/** What the server behind the route says first; null: closed without a word. */
const greeting = async (servername: string, options: Options = {}): Promise<string | null> => {
  try {
    await using client = lines(await dial(servername, options));
    return await client.line();
  } catch (cause) {
    return (cause as { code?: string }).code ?? String(cause);
  }
};
const logged = (code: string): readonly Record<string, unknown>[] => 
  proxy.records.filter((each) => each['code'] === code && Number(each['level']) > 20);

describe('which certificate is shown', () => {
  test('SR-37: the exact name before a wildcard, the longer wildcard before the shorter, any of them before *', async () => {
    await ssl('1', { ...issue('star', 'anything.test'), sni: '*' });
    await ssl('2', { ...issue('wild', '*.example'), sni: '*.example' });
    await ssl('3', { ...issue('deep', '*.deep.example'), snis: ['*.deep.example', 'other.example'] });
    await ssl('4', { ...issue('exact', 'a.example'), sni: 'A.Example' });
    expect(await shown('a.example')).toBe('exact');
    expect(await shown('A.EXAMPLE')).toBe('exact');
    expect(await shown('b.example')).toBe('wild');
    expect(await shown('x.deep.example')).toBe('deep');
    expect(await shown('other.example')).toBe('deep');
    expect(await shown('x.test')).toBe('star');
  });

  test('an RSA and an ECDSA certificate of one name: each client gets the kind that it understands', async () => {
    await route('1', 0);
    const [elliptic, old] = [issue('ec.example'), pem(authority.issue('rsa.example', ['DNS:ec.example'], 2, 'rsa'))];
    await ssl('1', { ...elliptic, certs: [old.cert], keys: [old.key], sni: 'ec.example' });
    expect(await shown('ec.example', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })).toBe('ec.example');
    expect(await shown('ec.example', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' })).toBe('rsa.example');
  });

  test('one that is switched off, and one for nodes, is shown to nobody', async () => {
    await ssl('1', { ...issue('off.example'), sni: 'off.example', status: 0 });
    await ssl('2', { ...issue('client.example'), sni: 'client.example', type: 'client' });
    expect(await shown('off.example')).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME');
    expect(await shown('client.example')).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME');
  });
});

describe('refused handshakes', () => {
  test('SR-39: a name without certificate and no name at all are refused with an alert, and logged', async () => {
    await ssl('1', { ...issue('known.example'), sni: 'known.example' });
    expect(await shown('unknown.example')).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME');
    expect(logged('TLS_NO_CERTIFICATE').at(-1)).toMatchObject({
      level: 40, msg: 'failed to match any SSL certificate by SNI: unknown.example', sni: 'unknown.example', remote_addr: '127.0.0.1',
    });
    expect(await shown('')).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME');
    expect(logged('TLS_NO_SNI').at(-1)).toMatchObject({ level: 40, msg: 'failed to find SNI' });
    expect(await proxy.metrics()).toMatch(/millrace_connections_closed_total\{reason="TLS_NO_SNI"\} [1-9]/);
    expect(await shown('known.example')).toBe('known.example');
  });

  test('a flood of them does not flood the log', async () => {
    const before = logged('TLS_NO_CERTIFICATE').length;
    const began = performance.now();
    for (let i = 0; i < 5; i++) await Promise.all(Array.from({ length: 20 }, () => shown('flood.example')));
    const seconds = Math.ceil((performance.now() - began) / 1000) + 1;
    expect(logged('TLS_NO_CERTIFICATE').length - before).toBeLessThanOrEqual(10 * seconds);
  });

  test('a hello in single bytes is understood; one that is too long, or no hello, is not', async () => {
    await ssl('1', { ...issue('slow.example'), sni: 'slow.example' });
    await route('1', 0, { sni: 'slow.example' });
    const middle = createServer((from) => {
      const to = connect(port, '127.0.0.1');
      from.on('data', (chunk: Buffer) => { for (let i = 0; i < chunk.length; i++) to.write(chunk.subarray(i, i + 1)); });
      to.setNoDelay(true).pipe(from).on('error', () => undefined);
      from.on('error', () => undefined).on('close', () => to.destroy());
    });
    await new Promise<void>((resolve) => middle.listen(0, '127.0.0.1', resolve));
    expect(await greeting('slow.example', { port: (middle.address() as { port: number }).port })).toBe('1');
    middle.close();
    for (const hello of ['GET / HTTP/1.1\r\n\r\n', '\u0016\u0003\u0001\u0000\u0005\u0001\u00ff\u00ff\u00ff\u0000', '\u0016\u0003\u0001\u0000\u0000']) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined).resume();
      socket.write(Buffer.from(hello, 'latin1'));
      await new Promise((resolve) => socket.once('close', resolve));
    }
    expect(await shown('slow.example')).toBe('slow.example');
  });
});

describe('routes by name', () => {
  const named = async (): Promise<void> => ssl('1', { ...issue('any', 'a.example'), snis: ['*.example', 'example'] });

  test('SR-31: the exact name, a wildcard and a connection without TLS reach their own nodes', async () => {
    await named();
    await route('1', 0, { sni: 'a.example' });
    await route('2', 1, { sni: '*.example' });
    await route('3', 2, {});
    expect(await greeting('a.example')).toBe('1');
    expect(await greeting('b.example')).toBe('2');
    const plain = await freePort();
    await using other = await startProxy({ route: null, settings: { listeners: [{ port: plain }] } });
    await other.put('/apisix/admin/stream_routes/1', { sni: 'a.example', upstream: { nodes: { [servers[0]!.address]: 1 } } });
    await other.put('/apisix/admin/stream_routes/3', { upstream: { nodes: { [servers[2]!.address]: 1 } } });
    expect(await greetingAt(plain)).toBe('3');
  });

  test.each<Version>(['TLSv1.2', 'TLSv1.3'])('SR-32: a resumed session is routed by its name, and is good for no other (%s)', async (version) => {
    await named();
    await route('1', 0, { sni: 'a.example' });
    await route('2', 1, { sni: 'b.example' });
    const versions = { minVersion: version, maxVersion: version } as const;
    const first = await dial('a.example', versions);
    expect(await lines(first).line()).toBe('1');
    const session = first.getSession();
    first.destroy();
    const again = await dial('a.example', { ...versions, session });
    expect(again.isSessionReused()).toBe(true);
    expect(await lines(again).line()).toBe('1');
    again.destroy();
    const other = await dial('b.example', { ...versions, session });
    expect(other.isSessionReused()).toBe(false);
    expect(await lines(other).line()).toBe('2');
    other.destroy();
  });

  test('SR-33, SR-34: where an address does not fit, the next route of the name is used, then the wildcard', async () => {
    await named();
    await route('1', 0, { sni: 'a.example', remote_addr: '127.0.0.77' });
    await route('2', 1, { sni: 'a.example', remote_addr: '127.0.0.1' });
    expect(await greeting('a.example')).toBe('2');
    await proxy.call('DELETE', '/apisix/admin/stream_routes/2');
    await route('3', 2, { sni: '*.example' });
    expect(await greeting('a.example')).toBe('3');
  });

  test('SR-35: fallback_sni stands for the name of a client that sends none', async () => {
    await ssl('1', { ...issue('fallback.example'), sni: 'fallback.example' });
    await route('1', 0, { sni: 'fallback.example' });
    await route('2', 1, {});
    expect(await shown('', { port: strict })).toBe('fallback.example');
    expect(await greeting('', { port: strict })).toBe('1');
  });

  test('SR-36: a name that no route has leads to the route without name', async () => {
    await named();
    await route('1', 0, { sni: 'a.example' });
    await route('2', 1, {});
    expect(await greeting('b.example')).toBe('2');
  });
});

describe('versions and ciphers', () => {
  test('of a listener: others are refused', async () => {
    await ssl('1', { ...issue('fallback.example'), sni: 'fallback.example' });
    expect(await shown('fallback.example', { port: strict, maxVersion: 'TLSv1.2' })).toMatch(/ALERT_PROTOCOL_VERSION|PROTOCOL_VERSION/);
    const socket = await dial('fallback.example', { port: strict });
    expect([socket.getProtocol(), socket.getCipher().name]).toEqual(['TLSv1.3', 'TLS_AES_256_GCM_SHA384']);
    socket.destroy();
    expect(await shown('fallback.example', { port: strict, ciphers: 'TLS_AES_128_GCM_SHA256' })).toMatch(/HANDSHAKE_FAILURE/);
  });

  test('of one certificate: held beside others of the same listener', async () => {
    await route('1', 0);
    await ssl('1', { ...issue('new.example'), sni: 'new.example', ssl_protocols: ['TLSv1.3'] });
    await ssl('2', { ...issue('old.example'), sni: 'old.example', ssl_protocols: ['TLSv1.2'], ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' });
    await ssl('3', { ...issue('both.example'), sni: 'both.example' });
    expect(await shown('new.example', { maxVersion: 'TLSv1.2' })).toMatch(/PROTOCOL_VERSION/);
    const old = await dial('old.example');
    expect([old.getProtocol(), old.getCipher().name]).toEqual(['TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384']);
    old.destroy();
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      expect(await shown('both.example', { minVersion: version, maxVersion: version })).toBe('both.example');
    }
    // The listener has nothing in common with it.
    expect(await shown('old.example', { port: strict })).toMatch(/PROTOCOL_VERSION/);
  });
});

describe('client certificates', () => {
  test.each<Version>(['TLSv1.2', 'TLSv1.3'])('SR-40: a good one is let in; none, a stranger\'s and an expired one are refused (%s)', async (version) => {
    using stranger = makeAuthority();
    const versions = { minVersion: version, maxVersion: version } as const;
    await ssl('1', { ...issue('mtls.example'), sni: 'mtls.example', client: { ca: authority.text } });
    await ssl('2', { ...issue('open.example'), sni: 'open.example' });
    await route('1', 0, {});
    expect(await greeting('mtls.example', { ...issue('jack'), ...versions })).toBe('1');
    // With TLS 1.3 a client has finished before it is refused.
    expect(await greeting('mtls.example', versions)).not.toBe('1');
    expect(logged('TLS_CLIENT_REFUSED').at(-1)).toMatchObject({ level: 40, sni: 'mtls.example', remote_addr: '127.0.0.1', msg: 'client certificate refused: it showed none' });
    expect(await greeting('mtls.example', { ...pem(stranger.issue('eve', ['DNS:eve'])), ...versions })).not.toBe('1');
    expect(String(logged('TLS_CLIENT_REFUSED').at(-1)!['msg'])).toMatch(/UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/);
    expect(logged('TLS_CLIENT_REFUSED').at(-1)!['remote_addr']).toBe('127.0.0.1');
    expect(await greeting('mtls.example', { ...pem(authority.issue('late', ['DNS:late'], -1)), ...versions })).not.toBe('1');
    expect(String(logged('TLS_CLIENT_REFUSED').at(-1)!['msg'])).toContain('CERT_HAS_EXPIRED');
    // Who is not asked need not answer.
    expect(await greeting('open.example', versions)).toBe('1');
  });

  test.each<Version>(['TLSv1.2', 'TLSv1.3'])('no ticket leads past them: not of another name, not of their own (%s)', async (version) => {
    await ssl('1', { ...issue('mtls.example'), sni: 'mtls.example', client: { ca: authority.text } });
    await ssl('2', { ...issue('open.example'), sni: 'open.example' });
    await route('1', 0, {});
    const versions = { minVersion: version, maxVersion: version } as const;
    for (const [name, own] of [['open.example', {}], ['mtls.example', issue('jack')]] as const) {
      const first = await dial(name, { ...versions, ...own });
      expect(await lines(first).line()).toBe('1');
      const session = first.getSession();
      first.destroy();
      expect(await greeting('mtls.example', { ...versions, session })).not.toBe('1');
    }
  });

  test.each<Version>(['TLSv1.2', 'TLSv1.3'])('T2 one that was revoked is refused, the others are let in; a list that is out of date refuses all (%s)', async (version) => {
    const [mallory, middle] = [authority.issue('mallory', ['DNS:mallory']), authority.subordinate(`middle-${version}`)];
    const versions = { minVersion: version, maxVersion: version } as const;
    const served = { ...issue('mtls.example'), sni: 'mtls.example' };
    await route('1', 0, {});
    await ssl('1', { ...served, client: { ca: authority.text } });
    expect(await greeting('mtls.example', { ...pem(mallory), ...versions })).toBe('1');
    const session = await dial('mtls.example', { ...pem(mallory), ...versions });
    await ssl('1', { ...served, client: { ca: authority.text, crl: authority.revocations([mallory]) } });
    expect(await greeting('mtls.example', { ...pem(mallory), ...versions })).not.toBe('1');
    // Ten refusals a second are logged, and the tests before had theirs.
    await sleep(1000);
    expect(await greeting('mtls.example', { ...pem(mallory), ...versions, session: session.getSession() })).not.toBe('1');
    expect(String(logged('TLS_CLIENT_REFUSED').at(-1)!['msg'])).toContain('CERT_REVOKED');
    session.destroy();
    expect(await greeting('mtls.example', { ...issue('jack'), ...versions })).toBe('1');
    // Of an authority in between there is no list: nobody knows.
    const near = pem(middle.issue('near', ['DNS:near']));
    const chain = { key: near.key, cert: `${near.cert}\n${middle.text}` };
    expect(await greeting('mtls.example', { ...chain, ...versions })).not.toBe('1');
    await ssl('1', { ...served, client: { ca: authority.text, crl: authority.revocations([mallory]) + middle.revocations([]) } });
    expect(await greeting('mtls.example', { ...chain, ...versions })).toBe('1');
    await ssl('1', { ...served, client: { ca: authority.text, crl: authority.revocations([], -1) } });
    expect(await greeting('mtls.example', { ...issue('jack'), ...versions })).not.toBe('1');
    for (const [crl, got] of [[authority.text, 'a text without a list'], [`-----BEGIN X509 CRL-----\n${'AAAA'.repeat(20)}\n-----END X509 CRL-----\n`, 'a list that cannot be read']]) {
      const { status, body } = await proxy.call('PUT', '/apisix/admin/ssls/1', { ...served, client: { ca: authority.text, crl } });
      expect([status, body.error_msg]).toEqual([400, `client.crl: expected revocation lists in PEM, got ${got}`]);
    }
  });

  test('the chain may be as long as depth says', async () => {
    const [middle, lower] = [authority.subordinate('middle'), authority.subordinate('middle2').subordinate('lower')];
    const near = pem(middle.issue('near', ['DNS:near']));
    const far = pem(lower.issue('far', ['DNS:far']));
    const chain = (own: { cert: string; key: string }, ...above: string[]): { cert: string; key: string } =>
      ({ ...own, cert: [own.cert, ...above].join('\n') });
    const nearest = chain(near, middle.text);
    const above = readFileSync(`${lower.folder}/../ca.pem`, 'utf8');
    const farthest = chain(far, lower.text, above);
    await route('1', 0, {});
    // Ten refusals a second are logged, and the tests before had theirs.
    await sleep(1000);
    for (const [depth, expected] of [[0, ['1', 'x', 'x']], [1, ['1', '1', 'x']], [2, ['1', '1', '1']]] as const) {
      await ssl('1', { ...issue('mtls.example'), sni: 'mtls.example', client: { ca: authority.text, depth } });
      const got: string[] = [];
      for (const each of [issue('own'), nearest, farthest]) got.push(await greeting('mtls.example', each) === '1' ? '1' : 'x');
      expect(got).toEqual(expected);
    }
    expect(logged('TLS_CLIENT_REFUSED').at(-1)!['msg']).toBe('client certificate refused: its chain is longer than 1');
  });

  test('filters and logs know who came', async () => {
    await ssl('1', { ...issue('mtls.example'), sni: 'mtls.example', client: { ca: authority.text } });
    await ssl('2', { ...issue('open.example'), sni: 'open.example' });
    await proxy.put('/apisix/admin/stream_routes/1', {
      upstream: { type: 'memory' }, protocol: { name: 'redis' }, plugins: { 'collect-subjects': {} },
    });
    subjects.length = 0;
    for (const [name, own] of [['mtls.example', issue('jack')], ['open.example', {}]] as const) {
      const client = lines(await dial(name, own));
      client.send('PING\r\n');
      expect(await client.line()).toMatch(/^\+PONG/);
      await client[Symbol.asyncDispose]();
    }
    expect(subjects[0]).toMatch(/^SUCCESS CN=jack [0-9A-F]+ mtls\.example$/);
    expect(subjects[1]).toBe('NONE   open.example');
  });
});

describe('changes', () => {
  test('a new certificate is shown at once, and open connections go on, 100 times under load', { timeout: 20_000 }, async () => {
    await route('1', 0, {});
    const [one, two] = [issue('one', 'swap.example'), issue('two', 'swap.example')];
    await ssl('1', { ...one, sni: 'swap.example' });
    const steady = lines(await dial('swap.example'));
    expect(await steady.line()).toBe('1');
    let running = true;
    let handshakes = 0;
    const load = (async () => {
      const wrong: string[] = [];
      while (running) {
        const name = await shown('swap.example');
        if (name !== 'one' && name !== 'two') wrong.push(name);
        handshakes++;
      }
      return wrong;
    })();
    for (let i = 0; i < 100; i++) {
      await ssl('1', { ...(i % 2 === 0 ? two : one), sni: 'swap.example' });
      if (i % 10 === 0) expect(await shown('swap.example')).toBe('two');
      steady.send(`${i}\n`);
      expect(await steady.line()).toBe(String(i));
    }
    running = false;
    expect(await load).toEqual([]);
    expect(handshakes).toBeGreaterThan(10);
    await steady[Symbol.asyncDispose]();
  });

  test('a certificate that is deleted is refused to new clients, and open connections go on', async () => {
    await route('1', 0, {});
    await ssl('1', { ...issue('gone.example'), sni: 'gone.example' });
    const steady = lines(await dial('gone.example'));
    expect(await steady.line()).toBe('1');
    expect((await proxy.call('DELETE', '/apisix/admin/ssls/1')).status).toBe(200);
    expect(await shown('gone.example')).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME');
    steady.send('still\n');
    expect(await steady.line()).toBe('still');
    await steady[Symbol.asyncDispose]();
  });
});

describe('what is refused when it is written', () => {
  const put = async (value: object): Promise<string> => {
    const { status, body } = await proxy.call('PUT', '/apisix/admin/ssls/bad', { sni: 'bad.example', ...value });
    return `${status} ${String(body.error_msg)}`;
  };

  test('another certificate\'s key, texts that are no PEM, a key with a passphrase, halves of pairs, wrong ciphers', async () => {
    const [good, other] = [issue('good.example'), issue('other.example')];
    expect(await put({ cert: good.cert, key: other.key })).toMatch(/^400 .*key: expected the key of the certificate, got a key that does not match it/);
    expect(await put({ cert: 'x'.repeat(64), key: good.key })).toMatch(/^400 .*cert: expected certificates in PEM/);
    expect(await put({ cert: good.cert, key: 'y'.repeat(64) })).toMatch(/^400 .*key: expected a private key in PEM.*got a text without a private key/);
    const broken = good.cert.replace(/[A-Za-z]{20}/, 'AAAAAAAAAAAAAAAAAAAA');
    expect(await put({ cert: broken, key: good.key })).toMatch(/^400 /);
    const locked = await runProgram('openssl', ['pkey', '-aes256', '-passout', 'pass:secret', '-in', `${authority.folder}/good.example.key`]);
    expect(await put({ cert: good.cert, key: locked.stdout })).toMatch(/^400 .*key: .*got one with a passphrase/);
    expect(await put({ ...good, certs: [other.cert], keys: [good.key] })).toMatch(/^400 .*keys\[0\]: expected the key of the certificate/);
    expect(await put({ ...good, certs: [other.cert], keys: [] })).toMatch(/^400 .*keys: expected as many as certs/);
    expect(await put({ ...good, client: { ca: 'z'.repeat(64) } })).toMatch(/^400 .*client\.ca: expected certificates in PEM/);
    expect(await put({ ...good, ciphers: 'NONSENSE' })).toMatch(/^400 .*ciphers: expected/);
    expect((await proxy.call('GET', '/apisix/admin/ssls/bad')).status).toBe(404);
  });

  test('an expired certificate is taken, shown, and warned about', async () => {
    await ssl('old', { ...pem(authority.issue('expired.example', ['DNS:expired.example'], -1)), sni: 'expired.example' });
    expect(logged('CERTIFICATE_DATES').at(-1)).toMatchObject({ level: 40, source: 'ssls/old', msg: expect.stringMatching(/ssls\/old: it expired at 20/) });
    expect(await shown('expired.example')).toBe('CERT_HAS_EXPIRED');
    expect(await shown('expired.example', { rejectUnauthorized: false })).toBe('expired.example');
  });

  test('SR-13: no private key is ever shown: not in answers, lists, history, refusals, status or logs', async () => {
    const { cert, key } = issue('secret.example');
    const secret = key.split('\n')[1]!;
    await ssl('1', { cert, key, certs: [cert], keys: [key], sni: 'secret.example' });
    expect(await shown('secret.example')).toBe('secret.example');
    const texts: string[] = [];
    for (const path of ['ssls/1', 'ssls', 'configs', 'history', 'ssls/1/history', 'status', 'audit', 'effective']) {
      texts.push(JSON.stringify((await proxy.call('GET', `/apisix/admin/${path}`)).body));
    }
    texts.push(JSON.stringify((await proxy.call('PUT', '/apisix/admin/ssls/1', { cert, key, sni: 5 })).body));
    texts.push(JSON.stringify((await proxy.call('PATCH', '/apisix/admin/ssls/1', { key, cert: issue('else.example').cert })).body));
    texts.push(JSON.stringify(proxy.records), await proxy.metrics());
    for (const text of texts) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain('PRIVATE KEY');
    }
    expect(texts[0]).toContain('BEGIN CERTIFICATE');
  });
});
