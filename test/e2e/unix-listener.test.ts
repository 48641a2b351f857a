// Clients that come by a Unix socket: its file, what routes and plugins see of them, several workers.
import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { writeProxyHeader } from '../../core/proxy-header.ts';
import { loadSettings } from '../../core/settings.ts';
import { makeAuthority } from '../support/certificates.ts';
import { startMillrace, type MillraceProcess } from '../support/millrace-process.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { RespError } from '../support/resp.ts';
import { RespClient } from '../support/resp-client.ts';
import { runProgram } from '../support/run-program.ts';
import { sleep } from '../support/sleep.ts';

let redis: RedisServer;
let folder: string;
let path: string;
beforeAll(async () => { redis = await startRedis(); });
afterAll(async () => { await redis[Symbol.asyncDispose](); });
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-unix-'));
  path = join(folder, 'proxy.sock');
});
afterEach(() => { rmSync(folder, { recursive: true, force: true }); });

const listening = (...listeners: object[]): Promise<Proxy> => startProxy({ route: null, settings: { listeners } });
const toRedis = (): object => ({ upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis' } });
const route = (proxy: Proxy | MillraceProcess, id: string, fields: object = {}): Promise<void> =>
  proxy.put(`/apisix/admin/stream_routes/${id}`, { ...toRedis(), ...fields });

async function client(at = path): Promise<RespClient> {
  const socket = connect({ path: at, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return new RespClient(socket);
}
/** A reply as text, that of an error too. */
async function said(one: RespClient, ...command: string[]): Promise<string> {
  const reply = await one.command(...command);
  return reply instanceof RespError ? reply.text : String(reply);
}
const abort = (error: string): object => ({ plugins: { 'fault-injection': { commands: ['get'], abort: { error } } } });

test('redis-cli -s works through it, and the file is gone after the end', async () => {
  const proxy = await listening({ unix: path, protocol: 'redis' });
  await route(proxy, '1');
  const cli = (...args: string[]): ReturnType<typeof runProgram> => runProgram('redis-cli', ['-s', path, ...args]);
  expect((await cli('SET', 'by-socket', 'yes')).stdout).toBe('OK\n');
  expect((await cli('GET', 'by-socket')).stdout).toBe('yes\n');
  expect((await runProgram('redis-cli', ['-p', String(redis.port), 'GET', 'by-socket'])).stdout).toBe('yes\n');
  expect((await cli('CLIENT', 'INFO')).stdout).toContain(`addr=${path}:0 laddr=${path}:0 `);
  // Nothing else was left beside it.
  expect(readdirSync(folder)).toEqual(['proxy.sock']);
  await proxy[Symbol.asyncDispose]();
  expect(readdirSync(folder)).toEqual([]);
});

test('ten thousand pipelined requests and a value of 4 MiB pass as on a port', async () => {
  await using proxy = await listening({ unix: path, protocol: 'redis' });
  await route(proxy, '1');
  await using one = await client();
  const numbers = Array.from({ length: 10_000 }, (_, index) => String(index));
  expect(await one.pipeline(numbers.map((each) => ['ECHO', each]))).toEqual(numbers);
  const big = 'x'.repeat(4 * 1024 ** 2);
  expect(await one.command('SET', 'big', big)).toBe('OK');
  expect(await one.command('GET', 'big')).toBe(big);
});

describe('the file', () => {
  test.each([['0660', 0o660], ['600', 0o600], ['0666', 0o666]])('has the rights %s', async (mode, bits) => {
    await using _proxy = await listening({ unix: path, protocol: 'redis', mode });
    expect(lstatSync(path).mode & 0o777).toBe(bits);
  });

  test('has 0660 if nothing is said, whatever the umask', async () => {
    const before = process.umask(0);
    try {
      await using _proxy = await listening({ unix: path, protocol: 'redis' });
      expect(lstatSync(path).mode & 0o777).toBe(0o660);
    } finally {
      process.umask(before);
    }
  });

  test('of a process that was killed is replaced', async () => {
    await using first = await startMillrace({ settings: { listeners: [{ port: await freePort(), protocol: 'redis' }, { unix: path, protocol: 'redis' }] } });
    first.signal('SIGKILL');
    await first.exited;
    expect(lstatSync(path).isSocket()).toBe(true);
    await expect(client()).rejects.toThrow('ECONNREFUSED');
    await using _second = await listening({ unix: path, protocol: 'redis' });
    await using one = await client();
    expect(await one.command('PING')).toBe('PONG');
    expect(readdirSync(folder)).toEqual(['proxy.sock']);
  });

  test('is left alone where somebody answers, and the error says so', async () => {
    await using _first = await listening({ unix: path, protocol: 'redis' });
    await expect(listening({ unix: path, protocol: 'redis' })).rejects.toMatchObject({
      code: 'LISTEN_FAILED', message: expect.stringContaining(`unix:${path}: could not listen: another process listens there`),
    });
    await using one = await client();
    expect(await one.command('PING')).toBe('PONG');
  });

  test('is left alone if it is no socket: a file, or a link to a socket', async () => {
    writeFileSync(path, 'precious');
    await expect(listening({ unix: path })).rejects.toThrow(`unix:${path}: could not listen: there is a file that is no socket`);
    symlinkSync('/nowhere', join(folder, 'link'));
    await expect(listening({ unix: join(folder, 'link') })).rejects.toThrow('there is a file that is no socket');
    expect(readdirSync(folder).toSorted()).toEqual(['link', 'proxy.sock']);
  });

  test('is not removed at the end if another process put its own there', async () => {
    const proxy = await listening({ unix: path, protocol: 'redis' });
    rmSync(path);
    const other = createServer().listen(path);
    await new Promise((resolve) => other.once('listening', resolve));
    await proxy[Symbol.asyncDispose]();
    expect(existsSync(path)).toBe(true);
    await new Promise((resolve) => other.close(resolve));
  });

  test('in a folder that is missing is told with its path', async () => {
    const missing = join(folder, 'no', 'such.sock');
    await expect(listening({ unix: missing })).rejects.toThrow(`unix:${missing}: could not listen: ENOENT (no such file or directory)`);
  });
});

describe('settings', () => {
  const problemsOf = (listener: object, ...others: object[]): string[] => {
    const file = join(folder, 'millrace.json');
    writeFileSync(file, JSON.stringify({ listeners: [listener, ...others] }));
    return loadSettings(file, {}, folder).problems.map(({ message }) => message);
  };

  test('a path that is too long or not absolute, a folder that is, and twice the same path are told', () => {
    const expected = 'expected an absolute path of at most 107 bytes, in a folder of at most 97';
    expect(problemsOf({ unix: `/${'a'.repeat(106)}` })).toEqual([]);
    expect(problemsOf({ unix: `/${'a'.repeat(107)}` })[0]).toContain(`listeners[0].unix: ${expected}, got`);
    expect(problemsOf({ unix: `/${'é'.repeat(54)}` })[0]).toContain(expected);
    expect(problemsOf({ unix: 'run/a.sock' })).toEqual([`listeners[0].unix: ${expected}, got "run/a.sock"`]);
    expect(problemsOf({ unix: `/${'a'.repeat(97)}/s` })[0]).toContain(expected);
    expect(problemsOf({ unix: '/run/a.sock' }, { unix: '/run/a.sock' })).toEqual([
      'listeners[1].unix: expected a path that listeners[0] does not use, got "/run/a.sock"',
    ]);
  });

  test('what does not go together is told', () => {
    expect(problemsOf({ unix: '/a', port: 1 })).toEqual(['listeners[0].port: expected none beside unix, got 1']);
    expect(problemsOf({ unix: '/a', address: '::1' })).toEqual(['listeners[0].address: expected none beside unix, got "::1"']);
    expect(problemsOf({ unix: '/a', transport: 'udp' })).toEqual(['listeners[0].transport: expected tcp with unix, got udp']);
    expect(problemsOf({ port: 1, mode: '0600' })).toEqual(['listeners[0].mode: expected none without unix, got "0600"']);
    expect(problemsOf({ protocol: 'redis' })).toEqual(['listeners[0].port: expected a port, or unix with a path, got neither']);
    expect(problemsOf({ unix: '/a', mode: '0888' })[0]).toContain('listeners[0].mode: expected octal digits in quotes, such as "0660"');
  });
});

describe('such a client', () => {
  test('takes the route of its socket before one for all, and none that asks for an address or a port', async () => {
    const other = join(folder, 'other.sock');
    await using proxy = await listening({ unix: path }, { unix: other });
    await route(proxy, '1', { server_addr: `unix:${path}`, ...abort('its own') });
    await route(proxy, '2', abort('for all'));
    await route(proxy, '3', { remote_addr: '0.0.0.0/0', ...abort('any IPv4 client') });
    await route(proxy, '4', { server_addr: '::/0', ...abort('any IPv6 address') });
    await route(proxy, '5', { server_port: await freePort(), ...abort('a port') });
    await using one = await client();
    await using two = await client(other);
    expect(await said(one, 'GET', 'a')).toContain('its own');
    expect(await said(two, 'GET', 'a')).toContain('for all');
    const explained = await proxy.call('GET', `/apisix/admin/explain?server=unix:${encodeURIComponent(other)}`);
    expect(explained.body).toMatchObject({ connection: { client: 'unix:', server: `unix:${other}` }, route: '2' });
    expect(explained.body.others.find((each: { route: string }) => each.route === '1').why)
      .toBe(`server_addr: it asks for unix:${path}, the connection has unix:${other}`);
  });

  test('is closed and logged where no route fits, and a route for a socket and a port is refused', async () => {
    await using proxy = await listening({ unix: path });
    await route(proxy, '3', { remote_addr: '0.0.0.0/0' });
    await using one = await client();
    await one.untilEnded();
    expect(proxy.records).toContainEqual(expect.objectContaining({ code: 'NO_ROUTE', remote_addr: 'unix:', server_addr: `unix:${path}`, server_port: 0 }));
    const refused = await proxy.call('PUT', '/apisix/admin/stream_routes/9', { ...toRedis(), server_addr: `unix:${path}`, server_port: 1024 });
    expect(refused.status).toBe(400);
    expect(refused.body.error_msg).toContain('server_port: expected none beside a server_addr that is a Unix socket, got 1024');
    const wrong = await proxy.call('PUT', '/apisix/admin/stream_routes/9', { ...toRedis(), server_addr: 'unix:run/a' });
    expect(wrong.body.error_msg).toContain('invalid server_addr: unix:run/a');
  });

  test('shows in the sessions, in variables, and can be killed by its address', async () => {
    await using proxy = await listening({ unix: path });
    await route(proxy, '1', abort('$remote_addr $remote_port $server_addr $server_port'));
    await using one = await client();
    expect(await said(one, 'GET', 'a')).toContain(`unix: 0 unix:${path} 0`);
    const { body } = await proxy.call('GET', '/apisix/admin/sessions?client=unix:');
    expect(body).toMatchObject({ total: 1, list: [{ client: 'unix:', server: `unix:${path}`, route: '1' }] });
    expect((await proxy.call('DELETE', '/apisix/admin/sessions?client=unix:')).body).toEqual({ killed: 1 });
    await one.untilEnded();
  });

  test('is let in by ip-restriction only where unix: is listed, and shares one budget per remote_addr', async () => {
    await using proxy = await listening({ unix: path });
    const pinged = async (): Promise<string> => {
      await using one = await client();
      return await said(one, 'PING');
    };
    await route(proxy, '1', { plugins: { 'ip-restriction': { whitelist: ['0.0.0.0/0', '::/0'] } } });
    expect(await pinged()).toContain('not allowed');
    await route(proxy, '1', { plugins: { 'ip-restriction': { whitelist: ['10.0.0.0/8', 'unix:'] } } });
    expect(await pinged()).toBe('PONG');
    await route(proxy, '1', { plugins: { 'ip-restriction': { blacklist: ['0.0.0.0/0', '::/0'] } } });
    expect(await pinged()).toBe('PONG');
    await route(proxy, '1', { plugins: { 'ip-restriction': { blacklist: ['unix:'] } } });
    expect(await pinged()).toContain('not allowed');
    await route(proxy, '1', { plugins: { 'limit-count': { count: 2, time_window: 60, key: 'remote_addr' } } });
    expect([await pinged(), await pinged()]).toEqual(['PONG', 'PONG']);
    expect(await pinged()).not.toBe('PONG');
  });

  test('is not counted per address, but by the limit of its listener', async () => {
    await using proxy = await startProxy({
      route: null, settings: { listeners: [{ unix: path, protocol: 'redis' }] }, limits: { clients_per_address: 1, clients_per_listener: 3 },
    });
    const three = await Promise.all([client(), client(), client()]);
    for (const each of three) expect(await each.command('PING')).toBe('PONG');
    await using fourth = await client();
    expect(String((await fourth.readRaw({ idle: 300 })))).toContain('-ERR');
    for (const each of three) await each.close();
    expect(proxy.records).toContainEqual(expect.objectContaining({ code: 'TOO_MANY_CONNECTIONS', remote_addr: 'unix:' }));
  });

  test('has an address of its own behind a balancer that is let in as unix:', async () => {
    await using proxy = await listening({ unix: path, proxy_protocol: { trusted: ['unix:'] } });
    await route(proxy, '1', { server_addr: `unix:${path}`, remote_addr: '203.0.113.0/24', ...abort('$remote_addr') });
    const header = writeProxyHeader(1, { remoteAddress: '203.0.113.9', remotePort: 4711, localAddress: '192.0.2.1', localPort: 6379 });
    await using one = await client();
    one.send(header);
    expect(await said(one, 'GET', 'a')).toContain('203.0.113.9');
  });

  test('may speak TLS', async () => {
    using authority = makeAuthority();
    const certificate = authority.issue('a.example', ['DNS:a.example']);
    await using proxy = await listening({ unix: path, protocol: 'redis', tls: { ...certificate } });
    await route(proxy, '1', { sni: 'a.example' });
    const socket = connectTls({ path, ca: authority.text, servername: 'a.example' });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    await using one = new RespClient(socket);
    expect(await one.command('PING')).toBe('PONG');
    const { body } = await proxy.call('GET', '/apisix/admin/sessions');
    expect(body.list).toMatchObject([{ client: 'unix:', sni: 'a.example' }]);
  });
});

describe('with three workers', () => {
  test('each socket is one worker\'s, in turn, shows in the status, and has a new one when that ends', { timeout: 60_000 }, async () => {
    const bad = `
      import { definePlugin } from 'millrace';
      export default definePlugin({
        name: 'bad', priority: 1, schema: { type: 'object' },
        setup: () => ({ request(request) { if (request.name === 'get') process.exit(3); } }),
      });`;
    const paths = ['a', 'b'].map((name) => join(folder, name));
    await using millrace = await startMillrace({
      settings: { workers: 3, plugins: ['plugins'], listeners: [{ port: await freePort(), protocol: 'redis' }, ...paths.map((unix) => ({ unix, protocol: 'redis' }))] },
      files: { 'plugins/bad.ts': bad },
    });
    await route(millrace, '1', { plugins: { bad: {} } });
    const workersOf = async (at: string): Promise<Set<number>> => {
      const seen = new Set<number>();
      for (let i = 0; i < 5; i++) {
        await using one = await client(at);
        seen.add((Number(await one.command('CLIENT', 'ID')) - 1) % 3);
      }
      return seen;
    };
    expect([await workersOf(paths[0]!), await workersOf(paths[1]!)]).toEqual([new Set([0]), new Set([1])]);
    const { body } = await millrace.call('GET', '/apisix/admin/plugins/status');
    expect(body.listeners).toEqual(expect.arrayContaining(paths.map((each) => expect.objectContaining({ address: `unix:${each}`, port: 0, error: null }))));
    await using last = await client(paths[0]);
    last.send('GET a\r\n');
    await last.untilEnded();
    await expect.poll(() => millrace.records().some(({ code }) => code === 'WORKER_STARTED'), { timeout: 20_000 }).toBe(true);
    expect(await workersOf(paths[0]!)).toEqual(new Set([0]));
    // Another Millrace cannot take it, and the end leaves nothing.
    await expect(listening({ unix: paths[1] })).rejects.toThrow('another process listens there');
    millrace.signal('SIGTERM');
    await millrace.exited;
    await sleep(10);
    expect(readdirSync(folder)).toEqual([]);
  });
});

test('millrace doctor says what is with a socket', async () => {
  const file = join(folder, 'millrace.json');
  writeFileSync(file, JSON.stringify({ listeners: [{ unix: path, protocol: 'redis' }], admin: { port: await freePort() } }));
  const doctor = async (): Promise<string> => (await runProgram(process.execPath, ['core/main.ts', 'doctor', '-c', file])).stdout;
  expect(await doctor()).toContain(`ok  listener unix:${path} is free`);
  await using _proxy = await listening({ unix: path, protocol: 'redis' });
  expect(await doctor()).toContain(`warn  unix:${path}: could not listen: another process listens there`);
});
