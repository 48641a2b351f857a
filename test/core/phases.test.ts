import { createHook } from 'node:async_hooks';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../core/errors.ts';
import { Message } from '../../core/protocol-api.ts';
import type { Hooks } from '../../core/plugin.ts';
import type { Request } from '../../core/request.ts';
import { makeAuthority } from '../support/certificates.ts';
import { plugin, startLineProxy } from '../support/line-proxy.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { freePort } from '../support/ports.ts';
import { sleep } from '../support/sleep.ts';

describe('a plugin that misbehaves', () => {
  const never = new Promise<void>(() => {});
  const twice = (request: Request): void => {
    request.settle(new ProxyError('DENIED', 'first'));
    request.settle(new ProxyError('DENIED', 'second'));
  };
  test.for<{ what: string; hooks: Hooks; answer: string; code: string | null }>([
    {
      what: 'throws', hooks: { request() { throw new Error('oops'); } },
      answer: '-PLUGIN_FAILED a plugin failed', code: 'PLUGIN_FAILED',
    },
    {
      what: 'throws what is no error', hooks: { request() { throw 'oops'; } },
      answer: '-PLUGIN_FAILED a plugin failed', code: 'PLUGIN_FAILED',
    },
    {
      what: 'throws a failure of ours', hooks: { request() { throw new ProxyError('DENIED', 'not you'); } },
      answer: '-DENIED not you', code: null,
    },
    {
      what: 'rejects', hooks: { request: () => Promise.reject(new Error('oops')) },
      answer: '-PLUGIN_FAILED a plugin failed', code: 'PLUGIN_FAILED',
    },
    {
      what: 'never resolves', hooks: { request: () => never, maxWait: 50 },
      answer: '-PLUGIN_TIMEOUT a plugin did not answer in time', code: 'PLUGIN_TIMEOUT',
    },
    { what: 'settles twice', hooks: { request: twice }, answer: '-DENIED first', code: null },
    {
      what: 'throws after it settled',
      hooks: { request(request) { twice(request); throw new Error('oops'); } }, answer: '-DENIED first',
      code: 'PLUGIN_FAILED',
    },
    {
      what: 'settles after its deadline',
      hooks: { async request(request) { await sleep(80); twice(request); }, maxWait: 30 },
      answer: '-PLUGIN_TIMEOUT a plugin did not answer in time', code: 'PLUGIN_TIMEOUT',
    },
    {
      what: 'throws in its response hook', hooks: { response() { throw new Error('oops'); } },
      answer: '-PLUGIN_FAILED a plugin failed', code: 'PLUGIN_FAILED',
    },
    {
      what: 'throws in its log hook', hooks: { log() { throw new Error('oops'); } }, answer: 'get a!',
      code: 'PLUGIN_FAILED',
    },
    {
      what: 'throws in select', hooks: { select() { throw new Error('oops'); }, log() {} }, answer: 'get a!',
      code: 'PLUGIN_FAILED',
    },
    {
      what: 'throws when a connection ends', hooks: { disconnect() { throw new Error('oops'); } },
      answer: 'get a!', code: 'PLUGIN_FAILED',
    },
    {
      what: 'throws when it is closed', hooks: { close() { throw new Error('oops'); } }, answer: 'get a!',
      code: 'PLUGIN_FAILED',
    },
    {
      what: 'rejects when it is closed', hooks: { close: () => Promise.reject(new Error('oops')) },
      answer: 'get a!', code: 'PLUGIN_FAILED',
    },
  ])('that $what harms its own request only', async ({ hooks, answer, code }) => {
    await using upstream = await startLineUpstream();
    await using proxy = await startLineProxy({
      nodes: [upstream.port], plugins: [plugin('bad', () => hooks)], use: { bad: {} },
    });
    await proxy.put('/apisix/admin/stream_routes/2', {
      server_addr: '127.0.0.2', upstream: { nodes: { [`127.0.0.1:${upstream.port}`]: 1 } }, protocol: { name: 'line' },
    });
    const client = await proxy.dial();
    client.send('get a\nget a\n');
    expect(await client.read(2)).toEqual([answer, answer]);
    client.socket.destroy();
    await expect.poll(() => proxy.metrics()).toMatch(/connections_closed_total\{reason="CLIENT_/);
    await proxy.route({});
    expect(await (await proxy.dial()).ask('get b')).toBe('get b!');
    const failures = (): unknown[] => proxy.records.filter(({ plugin: name }) => name === 'bad').map((record) => record['code']);
    if (code !== null) await expect.poll(failures).not.toEqual([]);
    await sleep(100);
    // Said once a second at most, counted each time.
    expect(failures()).toEqual(code === null ? [] : [code]);
  });

  test('a hook that is set up wrongly keeps the route as it was', async () => {
    await using upstream = await startLineUpstream();
    const broken = plugin('broken', () => { throw new Error('no such thing'); });
    await using proxy = await startLineProxy({ nodes: [upstream.port], plugins: [broken] });
    const client = await proxy.dial();
    expect(await client.ask('get a')).toBe('get a!');
    await proxy.call('PUT', '/apisix/admin/stream_routes/1', {
      upstream: { nodes: { '127.0.0.1:1': 1 } }, protocol: { name: 'line' }, plugins: { broken: {} },
    });
    expect(await client.ask('get b')).toBe('get b!');
    expect(JSON.stringify(proxy.records)).toContain('plugins.broken: no such thing');
  });
});

describe('phases', () => {
  test('run in order: connect, request, response, log, disconnect; places by priority, then by name', async () => {
    await using upstream = await startLineUpstream();
    const steps: string[] = [];
    const tracer = (name: string, priority: number): ReturnType<typeof plugin> => plugin(name, () => ({
      connect() { steps.push(`${name} connect`); },
      request(request) { steps.push(`${name} request ${request.name}`); },
      response(request) { steps.push(`${name} response ${request.outcome?.constructor.name}`); },
      log(request) { steps.push(`${name} log ${request.bytesOut}`); },
      disconnect(_session, reason) { steps.push(`${name} disconnect ${reason}`); },
    }), { priority });
    await using proxy = await startLineProxy({
      nodes: [upstream.port], plugins: [tracer('b', 1), tracer('a', 1), tracer('c', 2)], use: { a: {}, b: {}, c: {} },
    });
    const client = await proxy.dial();
    expect(await client.ask('get a')).toBe('get a!');
    client.end();
    await client.untilEnded();
    const order = ['c', 'a', 'b'];
    await expect.poll(() => steps).toEqual([
      'connect', 'request get', 'response Message', 'log 7', 'disconnect CLIENT_CLOSED',
    ].flatMap((step) => order.map((name) => `${name} ${step}`)));
  });

  test('a response hook may replace the answer', async () => {
    await using upstream = await startLineUpstream();
    const shout = plugin('shout', () => ({
      response(request: Request) {
        const { outcome } = request;
        if (outcome instanceof Message) request.outcome = new Message(Buffer.from(outcome.raw.toString().toUpperCase()));
      },
    }));
    await using proxy = await startLineProxy({
      nodes: [upstream.port], plugins: [shout], use: { shout: {} },
    });
    const client = await proxy.dial();
    client.send('get a\nping\nget b\n');
    expect(await client.read(3)).toEqual(['GET A!', 'PONG', 'GET B!']);
  });

  test('later hooks do not run once a request is answered, its log hooks do', async () => {
    await using upstream = await startLineUpstream();
    const seen: string[] = [];
    const refuse = (request: Request): void => request.settle(new ProxyError('DENIED'));
    const deny = plugin('deny', () => ({ request: refuse }), { priority: 2 });
    const after = plugin('after', () => ({
      request() { seen.push('request'); },
      log(request) { seen.push((request.outcome as ProxyError).code); },
    }), { priority: 1 });
    await using proxy = await startLineProxy({
      nodes: [upstream.port], plugins: [deny, after], use: { deny: {}, after: {} },
    });
    expect(await (await proxy.dial()).ask('get a')).toBe('-DENIED denied');
    expect(seen).toEqual(['DENIED']);
    expect(upstream.received).toEqual([]);
  });

  test('a connection that a connect hook refuses is told so and never read', async () => {
    await using upstream = await startLineUpstream();
    const gate = plugin('gate', () => ({
      async connect() { await sleep(5); throw new ProxyError('DENIED', 'not you'); },
    }));
    await using proxy = await startLineProxy({ nodes: [upstream.port], plugins: [gate], use: { gate: {} } });
    const client = await proxy.dial();
    client.send('get a\n');
    expect(await client.read(1)).toEqual(['-not you']);
    await client.untilEnded();
    expect(upstream.received).toEqual([]);
  });

  test.for<{ what: string; hooks: Hooks }>([
    { what: 'throws', hooks: { connect() { throw new Error('oops'); } } },
    { what: 'rejects', hooks: { connect: () => Promise.reject(new Error('oops')) } },
  ])('a gate that $what stays shut', async ({ hooks }) => {
    await using upstream = await startLineUpstream();
    await using proxy = await startLineProxy({
      nodes: [upstream.port], plugins: [plugin('gate', () => hooks)], use: { gate: {} },
    });
    const client = await proxy.dial();
    client.send('get a\n');
    await client.untilEnded();
    expect(client.lines).toEqual(['-a plugin failed']);
    expect(upstream.received).toEqual([]);
    expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="PLUGIN_FAILED"\} 1/);
  });

  test('a TLS client is not read either before its connect hooks are done', async () => {
    using authority = makeAuthority();
    const { cert, key } = authority.issue('localhost', ['IP:127.0.0.1']);
    await using upstream = await startLineUpstream();
    const gate = plugin('gate', () => ({
      async connect() { await sleep(30); throw new ProxyError('DENIED', 'not you'); },
    }));
    const port = await freePort();
    await using proxy = await startLineProxy({
      nodes: [upstream.port], plugins: [gate], use: { gate: {} }, settings: { listeners: [{ port, tls: { cert, key } }] },
    });
    expect(proxy.app.listeners).toMatchObject([{ tls: true }]);
    const socket = connectTls({ port, host: '127.0.0.1', ca: authority.text });
    socket.write('get a\n');
    let text = '';
    for await (const bytes of socket) text += String(bytes);
    expect(text).toBe('-not you\n');
    expect(upstream.received).toEqual([]);
  });

  test('_meta narrows a place: phases, filter, error text, disable', async () => {
    await using upstream = await startLineUpstream();
    let logs = 0;
    const deny = plugin('deny', () => ({
      request: (request) => request.settle(new ProxyError('DENIED', 'its own text')),
      log() { logs++; },
    }));
    await using proxy = await startLineProxy({ nodes: [upstream.port], plugins: [deny], use: { deny: {} } });
    const client = await proxy.dial();
    const use = (meta: Record<string, unknown>): Promise<void> => proxy.route({
      plugins: { deny: { _meta: meta } },
    });
    await use({ error_response: 'the text of the route' });
    expect(await client.ask('get a')).toBe('-DENIED the text of the route');
    await use({ filter: [['command', '==', 'set']] });
    client.send('get a\nset a\n');
    expect(await client.read(2)).toEqual(['get a!', '-DENIED its own text']);
    logs = 0;
    await use({ phases: ['log'] });
    expect(await client.ask('get a')).toBe('get a!');
    expect(logs).toBe(1);
    await use({ disable: true });
    expect(await client.ask('get a')).toBe('get a!');
    expect(logs).toBe(1);
  });
});

describe('the plain path', () => {
  test('creates no promise and no timer, with and without synchronous hooks', async () => {
    await using upstream = await startLineUpstream();
    const count = plugin('count', () => ({ request() {}, log() {}, response() {} }));
    await using proxy = await startLineProxy({ nodes: [upstream.port], plugins: [count] });
    const client = await proxy.dial();
    const created: Record<string, number> = {};
    const hook = createHook({ init(_id, type) { created[type] = (created[type] ?? 0) + 1; } });
    for (const plugins of [{}, { count: {} }]) {
      await proxy.route({ plugins });
      await client.ask('get warm');
      await sleep(20);
      delete created['PROMISE'];
      delete created['Timeout'];
      const lines = 'get a\n'.repeat(200);
      const done = new Promise<void>((resolve) => {
        // Counted without the test's own waits: what the proxy does until the last reply is there.
        const look = (): void => {
          if (client.lines.length < 200) return void setImmediate(look);
          hook.disable();
          resolve();
        };
        hook.enable();
        client.send(lines);
        setImmediate(look);
      });
      await done;
      client.lines.length = 0;
      expect(created['PROMISE'] ?? 0).toBeLessThan(20);
      expect(created['Timeout'] ?? 0).toBeLessThan(20);
    }
  });

  test('all requests have one shape', async () => {
    setFlagsFromString('--allow-natives-syntax');
    // eslint-disable-next-line no-new-func -- the only way to the engine's own answer
    const sameShape = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (a: object, b: object) => boolean;
    setFlagsFromString('--no-allow-natives-syntax');
    await using upstream = await startLineUpstream();
    const seen: Request[] = [];
    const keep = plugin('keep', () => ({
      request(request) { seen.push(request); return request.name === 'wait' ? sleep(5) : undefined; },
      log() {},
    }));
    await using proxy = await startLineProxy({ nodes: [upstream.port], plugins: [keep], use: { keep: {} } });
    const client = await proxy.dial();
    client.send('get a\nwait b\nget c d e\nget\n');
    await client.read(4);
    expect(seen).toHaveLength(4);
    for (const request of seen) expect(sameShape(request, seen[0]!)).toBe(true);
  });
});
