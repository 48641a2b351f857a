// Secrets stay where they belong: a canary is put wherever a secret goes, and then looked for everywhere else.
import { createServer, type Server, type Socket } from 'node:net';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startMillrace, type MillraceProcess } from '../support/millrace-process.ts';
import { freePort } from '../support/ports.ts';
import { startRedis } from '../support/redis-server.ts';
import { encodeCommand, RespError } from '../support/resp.ts';
import { runProgram } from '../support/run-program.ts';
import { sleep } from '../support/sleep.ts';
import { resolve } from 'node:path';

/** Everything that an outsider or a log reader sees. */
async function everywhere(millrace: MillraceProcess, more: readonly string[] = []): Promise<string> {
  const pages = await Promise.all([
    '/apisix/admin/stream_routes', '/apisix/admin/stream_routes/1', '/apisix/admin/upstreams', '/apisix/admin/plugins/status',
    '/apisix/admin/plugins/list', '/status', '/metrics',
  ].map(async (path) => JSON.stringify((await millrace.call('GET', path)).body)));
  return [readFileSync(join(millrace.folder, 'millrace.log'), 'utf8'), await millrace.metrics(), ...pages, ...more].join('\n');
}

describe('canaries at debug level, with every request logged', () => {
  test('passwords of clients and of upstreams are nowhere in logs, metrics, status, replies', async () => {
    await using redis = await startRedis(['--requirepass', 'CANARY-upstream-password']);
    await using sink = await startSink();
    await using millrace = await startMillrace({ settings: { log: { level: 'trace', file: 'millrace.log' } } });
    const route = (password: string): Record<string, unknown> => ({
      upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 }, auth: { password } },
      protocol: { name: 'redis', conf: { allow_commands: ['migrate', 'debug'] } },
      plugins: {
        logger: {
          tcp: { host: '127.0.0.1', port: sink.port }, batch_max_size: 1,
          log_format: { line: '$redis_cmd_line', command: '$command', key: '$key' },
        },
      },
    });
    const put = await millrace.call('PUT', '/apisix/admin/stream_routes/1', route('CANARY-upstream-password'));
    expect(put.status).toBeLessThan(300);
    const client = await millrace.connect();
    const replies = await client.pipeline([
      ['SET', 'a', '1'], ['AUTH', 'CANARY-auth'], ['AUTH', 'someone', 'CANARY-auth-user'],
      ['HELLO', '3', 'AUTH', 'default', 'CANARY-hello'],
      ['CONFIG', 'SET', 'masterauth', 'CANARY-masterauth'],
      ['ACL', 'SETUSER', 'bob', 'on', '>CANARY-acl', '~*', '+@all'],
      ['MIGRATE', '127.0.0.1', '1', 'k', '0', '10', 'AUTH', 'CANARY-migrate'],
      ['MIGRATE', '127.0.0.1', '1', '', '0', '10', 'AUTH2', 'u', 'CANARY-migrate2', 'KEYS', 'k'],
      ['AUTH', 'bob', 'CANARY-acl'], ['GET', 'a'],
      // Mistakes that people make: the secret in the wrong place.
      ['AUTH', 'a', 'b', 'CANARY-too-many'], ['CONFIG', 'SET', 'requirepass'],
    ]);
    expect(replies[9]).toBe('1');
    // And what a broken client does.
    const inline = await millrace.connect();
    inline.send('AUTH "CANARY-unbalanced\r\n');
    await inline.untilEnded();
    const raw = await millrace.connect();
    raw.send('*2\r\n$4\r\nAUTH\r\n$12\r\nCANARY-bytesXX\r\n');
    await raw.untilEnded();
    // An upstream that refuses us must not make us say what we tried.
    await millrace.put('/apisix/admin/stream_routes/1', route('CANARY-wrong-password'));
    const refused = await millrace.connect();
    const refusal = await refused.command('GET', 'a');
    expect(refusal).toBeInstanceOf(RespError);
    await millrace.call('PUT', '/apisix/admin/stream_routes/2', {
      upstream: { nodes: 'CANARY-is-no-secret-here', auth: { password: 'CANARY-in-a-refused-write' } },
    });
    await sleep(300);

    const seen = await everywhere(millrace, [
      JSON.stringify(replies), JSON.stringify(refusal), JSON.stringify(put.body), sink.text(),
    ]);
    const canaries = [...seen.matchAll(/CANARY-[\w-]+/g)].map(([found]) => found).filter((each) => each !== 'CANARY-is-no-secret-here');
    expect(canaries).toEqual([]);
    // The log did see the commands, so the search was not in vain.
    expect(sink.text()).toContain('redacted');
    expect(sink.text()).toMatch(/"line":"SET a 1"/i);
  });

  test('the admin key is in no log, page or error; in the file it is for the owner only', async () => {
    const [port, adminPort] = [await freePort(), await freePort()];
    await using millrace = await startMillrace({
      settings: {
        listeners: [{ port, protocol: 'redis' }], admin: { port: adminPort, key_file: 'admin.key' },
        log: { level: 'trace', file: 'millrace.log' },
      },
    });
    const key = readFileSync(join(millrace.folder, 'admin.key'), 'utf8').trim();
    expect(key.length).toBeGreaterThanOrEqual(32);
    expect(statSync(join(millrace.folder, 'admin.key')).mode & 0o777).toBe(0o600);
    const call = async (path: string, headers: Record<string, string>): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${adminPort}${path}`, { headers });
      return `${response.status} ${JSON.stringify([...response.headers])} ${await response.text()}`;
    };
    const answers = [
      await call('/apisix/admin/stream_routes', { 'X-API-KEY': key }),
      await call('/apisix/admin/stream_routes', { 'X-API-KEY': `${key}x` }),
      await call(`/apisix/admin/stream_routes?api_key=${key}`, {}),
      await call(`/nowhere/${key}`, { Cookie: `x_api_key=${key}` }),
      await call('/metrics', {}),
    ];
    expect(answers[0]).toMatch(/^200/);
    expect(answers[1]).toMatch(/^401/);
    expect(answers.join('\n')).not.toContain(key);
    await sleep(200);
    expect(JSON.stringify(millrace.records())).not.toContain(key);
  });
});

describe('log forging', () => {
  test('what clients send cannot make a record of its own', async () => {
    await using sink = await startSink();
    await using millrace = await startMillrace({ settings: { log: { level: 'trace', file: 'millrace.log' } } });
    await millrace.put('/apisix/admin/stream_routes/1', {
      upstream: { type: 'memory' }, protocol: { name: 'redis' },
      plugins: {
        logger: {
          tcp: { host: '127.0.0.1', port: sink.port }, batch_max_size: 1,
          log_format: { line: '$redis_cmd_line', command: '$command', key: '$key', name: '$redis_client_name' },
        },
      },
    });
    const forged = '{"level":60,"code":"FORGED"}';
    const nasty = [`a\r\n${forged}\r\n`, `"}\n${forged}\n{"a":"`, '\u2028\u2029\x1b[31m\x00\x7f', `x","code":"FORGED","y":"`];
    const client = await millrace.connect();
    for (const text of nasty) {
      client.send(encodeCommand(['SET', text, text]));
      client.send(encodeCommand([text, text]));
      client.send(encodeCommand(['CLIENT', 'SETNAME', text]));
    }
    await client.read(nasty.length * 3);
    const broken = await millrace.connect();
    broken.send(`*1\r\n$a\r\n${forged}\r\n`);
    await broken.untilEnded();
    await millrace.call('PUT', `/apisix/admin/stream_routes/${encodeURIComponent(`1\n${forged}`)}`, {});
    await millrace.call('PUT', '/apisix/admin/stream_routes/2', { name: `x\n${forged}\n`, upstream: { type: 'memory' } });
    await expect.poll(() => sink.text().split('\n').length, { timeout: 5000 }).toBeGreaterThan(nasty.length * 3);
    const lines = [...sink.text().split('\n'), ...readFileSync(join(millrace.folder, 'millrace.log'), 'utf8').split('\n')];
    for (const line of lines) {
      if (line === '') continue;
      const record = JSON.parse(line) as Record<string, unknown>;
      expect(record['code']).not.toBe('FORGED');
      // Terminals act on control characters.
      // eslint-disable-next-line no-control-regex
      expect(line).not.toMatch(/[\u0000-\u001f\u007f]/);
    }
  });
});

describe('the well-known admin key', () => {
  const wellKnown = 'edd1c9f034335f136f87ad84b625c8f1';
  const settings = (admin: Record<string, unknown>, port: number): string => JSON.stringify({ listeners: [{ port }], admin });

  test('is refused off loopback, whether given by file or environment, and nothing starts', async () => {
    const folder = join((await import('node:os')).tmpdir(), `millrace-key-${process.pid}-${Date.now()}`);
    (await import('node:fs')).mkdirSync(folder);
    const start = (env: Record<string, string>): Promise<{ code: number | null; stdout: string; stderr: string }> =>
      runProgram(process.execPath, [resolve('core/main.ts'), 'start', '-c', 'millrace.json'], {
        cwd: folder, env: { NODE_OPTIONS: undefined, VITEST: undefined, ...env },
      });
    const port = await freePort();
    writeFileSync(join(folder, 'millrace.json'),
      settings({ address: '0.0.0.0', port: await freePort(), allow_remote: true, key: wellKnown }, port));
    const byFile = await start({});
    expect(byFile.code).toBe(1);
    expect(byFile.stderr).toMatch(/admin\.key: expected a secret key, got one that is publicly known/);
    writeFileSync(join(folder, 'millrace.json'), settings({ address: '0.0.0.0', port: await freePort(), allow_remote: true }, port));
    const byEnvironment = await start({ MILLRACE_ADMIN_KEY: wellKnown });
    expect(byEnvironment.code).toBe(1);
    expect(byEnvironment.stderr + byEnvironment.stdout + byFile.stderr + byFile.stdout).not.toContain(wellKnown);
    (await import('node:fs')).rmSync(folder, { recursive: true });
  });

  test('is taken on loopback, with a warning that does not repeat it', async () => {
    await using millrace = await startMillrace({
      settings: { admin: { port: await freePort(), key: wellKnown }, log: { level: 'info', file: 'millrace.log' } },
    });
    const warned = (): unknown => millrace.records().filter(({ level }) => level === 40).map(({ msg }) => msg);
    await expect.poll(warned, { timeout: 5000 }).toContainEqual(expect.stringContaining('publicly known'));
    expect(JSON.stringify(millrace.records())).not.toContain(wellKnown);
  });
});

/** Takes what a logger sends. */
async function startSink(): Promise<AsyncDisposable & { readonly port: number; text(): string }> {
  let text = '';
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('data', (chunk: Buffer) => { text += chunk.toString(); });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as { port: number }).port,
    text: () => text,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
