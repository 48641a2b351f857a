import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:tls';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Hooks } from '../../core/plugin.ts';
import { reopenAll } from '../../core/reopen.ts';
import { ProxyError } from '../../core/errors.ts';
import logger from '../../plugins/logger.ts';
import { cpuTime } from '../support/cpu-time.ts';
import { LineRequest, lineSession } from '../support/line-request.ts';
import { httpLogSink, tcpLogSink, udpLogSink } from '../support/log-sinks.ts';
import { problemsOf, setUp, testContext } from '../support/plugin-context.ts';
import { freePort } from '../support/ports.ts';

let folder: string;
let files = 0;
const newPath = (): string => join(folder, `log-${++files}`);

beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'millrace-logger-')); });
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs an answered request through the hooks as the proxy does. */
function pass(hooks: Hooks, request: LineRequest): boolean {
  const wanted = hooks.select === undefined || hooks.select(request);
  // Nothing that anybody could wait for.
  if (wanted) expect<unknown>(hooks.log!(request)).toBeUndefined();
  return wanted;
}

const answered = (line: string, milliseconds = 5): LineRequest => new LineRequest(line).finish('+ok', milliseconds);

/** The records that a place with this configuration writes for these requests. */
async function records(conf: object, requests: LineRequest[], metadata = {}): Promise<unknown[]> {
  const path = newPath();
  const hooks = setUp(logger, { file: { path }, ...conf }, testContext({ metadata }));
  for (const request of requests) pass(hooks, request);
  await hooks.close!();
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as unknown);
}

describe('records', () => {
  test('say the essential by default, and neither keys nor values', async () => {
    expect(await records({}, [answered('get secret-key', 12)])).toEqual([{
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/), route_id: '1', protocol: 'line', remote_addr: '127.0.0.1',
      user: '', command: 'get', upstream_addr: '', bytes_in: 15, bytes_out: 4, rpc_time: 0.012, outcome: 'ok',
    }]);
  });

  test('follow a format with variables, constants and nested objects; times and sizes stay numbers', async () => {
    const log_format = {
      what: '$command of $key', host: 'a"b', n: 5, yes: true, none: null, time: '$rpc_time', empty: {},
      client: { addr: '$remote_addr', deeper: { size: '$bytes_in' } },
    };
    expect(await records({ log_format }, [answered('get a', 1)])).toEqual([{
      what: 'get of a', host: 'a"b', n: 5, yes: true, none: null, time: 0.001, empty: {},
      client: { addr: '127.0.0.1', deeper: { size: 6 } }, route_id: '1',
    }]);
  });

  test('XF-34 to XF-36, XF-41: the format may stand in the metadata; one of the place itself wins', async () => {
    const metadata = { log_format: { client_ip: '$remote_addr', rpc_time: '$rpc_time' } };
    expect(await records({}, [answered('get a', 2)], metadata))
      .toEqual([{ client_ip: '127.0.0.1', rpc_time: 0.002, route_id: '1' }]);
    expect(await records({ log_format: { c: '$command' } }, [answered('get a')], metadata))
      .toEqual([{ c: 'get', route_id: '1' }]);
  });

  test('one record is one line, whatever a client sends', async () => {
    const evil = new LineRequest('get', lineSession({ user: 'a\n{"outcome":"ok"}' }), {}, [
      Buffer.from('k\r\n{"forged":true}\u2028')]).finish('+ok');
    const made = await records({ log_format: { user: '$user', key: '$key' } }, [evil]);
    expect(made).toEqual([{ user: 'a\n{"outcome":"ok"}', key: 'k\\r\\n{"forged":true}\\u2028', route_id: '1' }]);
  });

  test('a long key is cut to 64 bytes', async () => {
    const [made] = await records({ log_format: { key: '$key' } }, [answered(`get ${'k'.repeat(1000)}`)]);
    expect((made as { key: string }).key).toMatch(/^k{64}\.\.\.\(1000 bytes, [0-9a-f]{16}\)$/);
  });

  test('tell how a request failed, or that nobody waited for its answer', async () => {
    const failed = new LineRequest('get a');
    failed.settle(new ProxyError('UPSTREAM_TIMEOUT'));
    const left = new LineRequest('get a');
    left.endedAt = left.startedAt + 1;
    const made = await records({ log_format: { o: '$outcome' } }, [failed.finish(''), left]);
    expect(made.map((each) => (each as { o: string }).o)).toEqual(['upstream_timeout', 'unfinished']);
  });

  test('of a connection tell who, how long and why it ended', async () => {
    const path = newPath();
    const context = testContext();
    const hooks = setUp(logger, { per: 'connection', file: { path } }, context);
    expect('log' in hooks).toBe(false);
    const session = lineSession({ user: 'ann', openedAt: context.now(), written: 512 });
    context.advance(1500);
    hooks.disconnect!(session, 'CLIENT_IDLE');
    await hooks.close!();
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      time: expect.any(String), route_id: '1', protocol: 'line', remote_addr: '127.0.0.1', remote_port: 40001,
      session_id: 7, user: 'ann', bytes_out: 512, duration: 1.5, reason: 'client_idle',
    });
  });
});

describe('which requests', () => {
  const format = { log_format: { key: '$key' } };
  const keys = (made: unknown[]): string[] => made.map((each) => (each as { key: string }).key);

  test('XF-26 to XF-33, XF-42: a filter is asked after the answer when it has to be', async () => {
    const requests = [answered('get fast', 1), answered('get slow', 20)];
    const filtered = async (filter: unknown): Promise<string[]> => keys(await records({ ...format, filter }, requests));
    expect(await filtered([['rpc_time', '>=', 0.01]])).toEqual(['slow']);
    expect(await filtered([['rpc_time', '>=', 0]])).toEqual(['fast', 'slow']);
    expect(await filtered([['rpc_time', '<', 0.01], ['rpc_time', '>', 0.01]])).toEqual([]);
    expect(await filtered([['key', '==', 'fast']])).toEqual(['fast']);
    expect(await filtered([])).toEqual(['fast', 'slow']);
  });

  test('one that is known before the answer spares the others the slow path', () => {
    const hooks = setUp(logger, { file: { path: newPath() }, filter: [['command', '==', 'set']] });
    expect(hooks.select!(new LineRequest('get a'))).toBe(false);
    expect(hooks.select!(new LineRequest('set a'))).toBe(true);
    expect('select' in setUp(logger, { file: { path: newPath() }, filter: [['rpc_time', '>', 1]] })).toBe(false);
    expect('select' in setUp(logger, { file: { path: newPath() } })).toBe(false);
  });

  test('a sample is drawn before the answer', async () => {
    const hooks = setUp(logger, { file: { path: newPath() }, sample: 0.1 });
    let wanted = 0;
    for (let i = 0; i < 10_000; i++) if (hooks.select!(new LineRequest('get a'))) wanted++;
    expect(wanted).toBeGreaterThan(800);
    expect(wanted).toBeLessThan(1200);
    await hooks.close!();
    const half = setUp(logger, { file: { path: newPath() }, sample: 0.5 });
    const taken = Array.from({ length: 10_000 }, () => half.select!(new LineRequest('get a')));
    expect(taken.filter(Boolean).length / 10_000).toBeCloseTo(0.5, 1);
    // One that was taken says nothing about the next.
    expect(taken.filter((each, i) => each && taken[i - 1]).length / 10_000).toBeCloseTo(0.25, 1);
    const none = setUp(logger, { file: { path: newPath() }, sample: 0 });
    expect(none.select!(new LineRequest('get a'))).toBe(false);
  });
});

describe('what is refused when it is written', () => {
  const file = { path: '/tmp/x' };
  test.each<[object, string]>([
    [{}, 'expected one of file, tcp, udp, http, syslog, got none'],
    [{ syslog: { host: 'a', port: 1, sock_type: 'udp', tls: true } },
      'syslog.tls: expected only with sock_type tcp, got sock_type udp'],
    [{ file, filter: [{}] }, 'filter[0]: rule too short: expected [variable, operator, value], got {}'],
    [{ file, log_format: { a: '${x y}' } }, 'log_format.a: variable: expected letters, digits and _, got "x y"'],
    [{ file, log_format: { a: { b: { c: { d: { e: { f: 1 } } } } } } }, 'log_format.a.b.c.d.e: expected at most 5 levels'],
    [{ file, log_format: { a: ['b'] } }, 'log_format.a: expected a text, number or object'],
  ])('%j (XF-24: a bad filter is)', (conf, message) => {
    expect(problemsOf(logger, conf)).toEqual([message]);
  });

  test.each([{ file: {} }, { file, sample: 2 }, { tcp: { host: 'a' } }, { http: { uri: 'ftp://a' } }, { file, more: 1 }])(
    '%j by the schema', (conf) => { expect(problemsOf(logger, conf).length).toBeGreaterThan(0); });
});

describe('batches', () => {
  test('a full one is sent at once, a part of one after a time without records', async () => {
    await using sink = await httpLogSink();
    const hooks = setUp(logger, {
      http: { uri: `http://127.0.0.1:${sink.port}/` }, log_format: { k: '$key' }, batch_max_size: 3, inactive_timeout: 0.1,
    });
    for (const key of ['a', 'b', 'c', 'd']) pass(hooks, answered(`get ${key}`));
    const [first] = await sink.wait(1);
    expect(JSON.parse(first!)).toEqual(['a', 'b', 'c'].map((k) => ({ k, route_id: '1' })));
    const before = performance.now();
    const [, second] = await sink.wait(2);
    expect(JSON.parse(second!)).toEqual([{ k: 'd', route_id: '1' }]);
    // By default it would be 5 s.
    expect(performance.now() - before).toBeLessThan(3000);
    await hooks.close!();
    expect(hooks.status!()).toEqual({ http: { sent: 4, dropped: 0, pending: 0 } });
  });

  test('the oldest record waits no longer than buffer_duration', async () => {
    await using sink = await httpLogSink();
    const hooks = setUp(logger, {
      http: { uri: `http://127.0.0.1:${sink.port}/` }, inactive_timeout: 0.1, buffer_duration: 0.2,
    });
    const began = performance.now();
    const timer = setInterval(() => pass(hooks, answered('get a')), 20);
    await sink.wait(1);
    expect(performance.now() - began).toBeGreaterThan(150);
    // By default it would be 60 s.
    expect(performance.now() - began).toBeLessThan(3000);
    clearInterval(timer);
    await hooks.close!();
  });

  test('a sink that is down: tried again, then dropped, counted, and said once a minute', async () => {
    const said: string[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => { said.push(line); } });
    const context = testContext({ log });
    const hooks = setUp(logger, {
      tcp: { host: '127.0.0.1', port: await freePort() }, batch_max_size: 1, max_retry_count: 2, retry_delay: 0.01,
    }, context);
    for (let i = 0; i < 5; i++) pass(hooks, answered('get a'));
    await expect.poll(() => hooks.status!()).toEqual({ tcp: { sent: 0, dropped: 5, pending: 0 } });
    expect(said).toHaveLength(1);
    expect(JSON.parse(said[0]!)).toMatchObject({ code: 'LOG_DROPPED', route: '1', sink: 'tcp', count: 1 });
    expect(context.counted).toMatchObject({ log_records_total: 5, log_records_dropped_total: 5, log_records_sent_total: 0 });
    await hooks.close!();
  });

  test('a server that fails once gets the same records again', async () => {
    await using sink = await httpLogSink();
    sink.statuses.push(500);
    const hooks = setUp(logger, {
      http: { uri: `http://127.0.0.1:${sink.port}/` }, batch_max_size: 2, max_retry_count: 1, retry_delay: 0.01,
    });
    pass(hooks, answered('get a'));
    pass(hooks, answered('get b'));
    const [first, second] = await sink.wait(2);
    expect(second).toBe(first);
    await hooks.close!();
    expect(hooks.status!()).toEqual({ http: { sent: 2, dropped: 0, pending: 0 } });
  });

  test('a sink that takes nothing: memory is bounded, requests do not wait, close gives up', async () => {
    await using sink = await tcpLogSink(0, false);
    const hooks = setUp(logger, {
      tcp: { host: '127.0.0.1', port: sink.port, timeout: 300 }, max_pending_entries: 1000, batch_max_size: 100,
      log_format: { filler: 'x'.repeat(1000), more: 'y'.repeat(4000), key: '$key' },
    });
    let slowest = 0;
    for (let i = 0; i < 20_000; i++) {
      const request = answered('get a');
      slowest = Math.max(slowest, cpuTime(() => void pass(hooks, request)));
      if (i % 1000 === 0) await sleep(1);
    }
    expect(slowest).toBeLessThan(100);
    const { tcp } = hooks.status!() as { tcp: { sent: number; dropped: number; pending: number } };
    expect(tcp.pending).toBeLessThanOrEqual(1000);
    expect(tcp.dropped).toBeGreaterThan(1000);
    expect(tcp.sent + tcp.dropped + tcp.pending).toBe(20_000);
    await hooks.close!();
    const after = hooks.status!() as { tcp: { sent: number; dropped: number; pending: number } };
    expect(after.tcp.pending).toBe(0);
    expect(after.tcp.sent + after.tcp.dropped).toBe(20_000);
  });
});

describe('sinks', () => {
  test('a file is opened anew when it was moved and we are told', async () => {
    const path = newPath();
    const hooks = setUp(logger, { file: { path }, batch_max_size: 1, log_format: { k: '$key' } });
    const lines = async (name: string): Promise<number> => (await readFile(name, 'utf8').catch(() => '')).split('\n').length - 1;
    pass(hooks, answered('get a'));
    await expect.poll(() => lines(path)).toBe(1);
    await rename(path, `${path}.1`);
    reopenAll();
    pass(hooks, answered('get b'));
    await expect.poll(() => lines(path)).toBe(1);
    expect(await lines(`${path}.1`)).toBe(1);
    expect((await stat(path)).mode & 0o007).toBe(0);
    await hooks.close!();
  });

  test('a file that was deleted comes back by itself within a second or two', async () => {
    const path = newPath();
    const hooks = setUp(logger, { file: { path }, batch_max_size: 1 });
    pass(hooks, answered('get a'));
    await expect.poll(() => stat(path).then(() => true, () => false)).toBe(true);
    await rm(path);
    await sleep(1050);
    pass(hooks, answered('get b'));
    await expect.poll(() => stat(path).then(() => true, () => false)).toBe(true);
    await hooks.close!();
  });

  test('a file that cannot be written loses records, not requests', async () => {
    const hooks = setUp(logger, { file: { path: '/dev/full' }, batch_max_size: 1 });
    pass(hooks, answered('get a'));
    await expect.poll(() => hooks.status!()).toEqual({ file: { sent: 0, dropped: 1, pending: 0 } });
    await hooks.close!();
  });

  test('several places append whole lines to one file', async () => {
    const path = newPath();
    const places = [1, 2, 3].map(() => setUp(logger, { file: { path }, batch_max_size: 7, log_format: { filler: 'x'.repeat(3000) } }));
    for (let i = 0; i < 300; i++) for (const place of places) pass(place, answered('get a'));
    for (const place of places) await place.close!();
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    expect(lines).toHaveLength(900);
    for (const line of lines) expect((JSON.parse(line) as { filler: string }).filler).toHaveLength(3000);
  });

  test('a TCP connection is kept, and made anew when the sink closed it', async () => {
    await using sink = await tcpLogSink();
    const hooks = setUp(logger, {
      tcp: { host: 'localhost', port: sink.port }, batch_max_size: 1, log_format: { k: '$key' }, max_retry_count: 1, retry_delay: 0,
    });
    for (const key of ['a', 'b']) pass(hooks, answered(`get ${key}`));
    await sink.wait(2);
    expect(sink.accepted).toBe(1);
    for (const socket of sink.connections) socket.destroy();
    await sleep(50);
    pass(hooks, answered('get c'));
    const lines = await sink.wait(3);
    expect(lines.map((line) => (JSON.parse(line) as { k: string }).k)).toEqual(['a', 'b', 'c']);
    expect(sink.accepted).toBe(2);
    await hooks.close!();
  });

  test('TLS: a certificate that nobody vouches for is refused, unless it is not to be checked', async () => {
    const pem = ['key', 'cert'].map((name) => join(folder, `${name}.pem`));
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
      '-keyout', pem[0]!, '-out', pem[1]!, '-days', '2', '-subj', '/CN=localhost'], { stdio: 'ignore' });
    const lines: string[] = [];
    const server = createServer({ key: await readFile(pem[0]!), cert: await readFile(pem[1]!) }, (socket) => {
      socket.on('error', () => {}).setEncoding('utf8').on('data', (text: string) => lines.push(text));
    });
    server.on('tlsClientError', () => {}).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const place = (more: object): Hooks => setUp(logger,
      { tcp: { host: '127.0.0.1', port, tls: true, ...more }, batch_max_size: 1, log_format: { k: '$key' } });
    const strict = place({});
    pass(strict, answered('get a'));
    await expect.poll(() => strict.status!()).toEqual({ tcp: { sent: 0, dropped: 1, pending: 0 } });
    const loose = place({ ssl_verify: false });
    pass(loose, answered('get b'));
    await expect.poll(() => lines).toEqual(['{"k":"b","route_id":"1"}\n']);
    await strict.close!();
    await loose.close!();
    server.close();
  });

  test('a datagram per record; what no datagram can carry is counted as dropped', async () => {
    await using sink = await udpLogSink();
    const hooks = setUp(logger, { udp: { host: '127.0.0.1', port: sink.port }, batch_max_size: 3, log_format: { u: '$user' } });
    for (const user of ['a', 'x'.repeat(70_000), 'b']) {
      pass(hooks, new LineRequest('get', lineSession({ user })).finish('+ok'));
    }
    expect((await sink.wait(2)).map((text) => (JSON.parse(text) as { u: string }).u)).toEqual(['a', 'b']);
    await hooks.close!();
    expect(hooks.status!()).toEqual({ udp: { sent: 2, dropped: 1, pending: 0 } });
  });

  test('HTTP: one record alone, a list, or lines, with the header that was asked for', async () => {
    await using sink = await httpLogSink();
    const post = async (conf: object, more: object = {}): Promise<void> => {
      const http = { uri: `http://127.0.0.1:${sink.port}/in`, auth_header: 'Bearer abc', ...conf };
      const hooks = setUp(logger, { http, log_format: { k: '$key' }, ...more });
      pass(hooks, answered('get a'));
      if (!('batch_max_size' in more)) pass(hooks, answered('get b'));
      await hooks.close!();
    };
    await post({}, { batch_max_size: 1 });
    await post({});
    await post({ concat_method: 'new_line' });
    expect(sink.records.map((body) => body.replaceAll(',"route_id":"1"', ''))).toEqual([
      '{"k":"a"}', '[{"k":"a"},{"k":"b"}]', '{"k":"a"}\n{"k":"b"}']);
    expect(sink.headers.map((each) => [each.authorization, each['content-type']])).toEqual([
      ['Bearer abc', 'application/json'], ['Bearer abc', 'application/json'], ['Bearer abc', 'text/plain; charset=utf-8']]);
  });

  test('several at once', async () => {
    await using tcp = await tcpLogSink();
    await using udp = await udpLogSink();
    const hooks = setUp(logger, {
      tcp: { host: '127.0.0.1', port: tcp.port }, syslog: { host: '127.0.0.1', port: udp.port, sock_type: 'udp' },
    });
    pass(hooks, answered('get a'));
    await hooks.close!();
    const [line] = await tcp.wait(1);
    const [message] = await udp.wait(1);
    expect(message).toMatch(/^<46>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ millrace \d+ - - \{/);
    expect(message!.endsWith(line!)).toBe(true);
  });
});
