// What resources files do, row by row of the parity list.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { startMillrace } from '../support/millrace-process.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { RespError } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';

let folder: string;
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'millrace-parity-')); });
afterEach(() => { rmSync(folder, { recursive: true, force: true }); });

const write = (name: string, value: object | string): void => {
  const yaml = name.endsWith('.yaml');
  const text = typeof value === 'string' ? value : yaml ? `${stringify(value)}#END\n` : JSON.stringify(value);
  writeFileSync(join(folder, name), text);
};
const start = (name: string, environment: Record<string, string> = {}): Promise<Proxy> =>
  startProxy({ route: null, settings: { resources: join(folder, name) }, environment });
const memory = { upstream: { type: 'memory' }, protocol: { name: 'redis' } };
const mocking = (reply: string): object => ({ mocking: { rules: [{ commands: ['ping'], reply }] } });
const route = (id: string, port: number, reply: string, more: object = {}): object =>
  ({ id, server_port: port, ...memory, plugins: mocking(reply), ...more });

async function ping(proxy: Proxy, port = proxy.port): Promise<string> {
  const client = await proxy.connect(port);
  const reply = await client.command('PING');
  await client.close();
  return reply instanceof RespError ? reply.text : String(reply);
}
const connects = (port: number): Promise<boolean> => new Promise((resolve) => {
  const socket = createConnection(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
  socket.on('error', () => resolve(false));
});
/** What a port answers, or that it is closed. */
const at = async (proxy: Proxy, port: number): Promise<string> => (await connects(port) ? ping(proxy, port) : 'closed');
async function until(proxy: Proxy, port: number, answer: string): Promise<void> {
  await expect.poll(() => at(proxy, port), { timeout: 8000, interval: 30 }).toBe(answer);
}
const said = (proxy: Proxy, level = 40): string =>
  proxy.records.filter((each) => Number(each['level']) >= level).map((each) => [each['id'], each['msg']].join(' ')).join('\n');

describe.each(['resources.yaml', 'resources.json'])('%s', (name) => {
  test('ST-13 a route whose plugin is not in the list of plugins does not serve, and the log names the plugin', async () => {
    const [off, on] = [await freePort(), await freePort()];
    write(name, { plugins: [{ name: 'mocking', stream: true }], stream_routes: [
      route('off', off, 'x', { plugins: { 'request-id': {} } }), route('on', on, 'here'),
    ] });
    await using proxy = await start(name);
    expect([await at(proxy, off), await at(proxy, on)]).toEqual(['closed', 'here']);
    expect(said(proxy)).toContain('off unknown plugin [request-id]: it is not in the list of plugins');
    const refused = await proxy.call('PUT', '/apisix/admin/stream_routes/1', { ...memory, plugins: { 'request-id': {} } });
    expect([refused.status, refused.body.error_msg]).toEqual([400, expect.stringContaining('unknown plugin [request-id]')]);
    const { body: status } = await proxy.call('GET', '/apisix/admin/configs/status');
    expect(JSON.stringify(status.not_in_use)).toContain('unknown plugin [request-id]');
    const shown = await proxy.call('GET', '/apisix/admin/configs');
    expect(shown.body.plugins).toEqual([{ name: 'mocking' }]);
  });

  test('ST-14 variables: numbers and booleans are such, larger ones stay text, defaults count, keys are replaced', async () => {
    const port = await freePort();
    const json = name.endsWith('.json');
    write(name, {
      stream_routes: [{
        id: 'r', server_port: '${PORT}', desc: '${{BIG}}', name: '${UNSET:-a default} ${{UNSET:=old}}',
        upstream: { type: 'memory', retries: '${{UNSET:=3}}' }, protocol: { name: 'redis', metric: { enable: '${FLAG}' } },
      }],
      upstreams: [{ id: 'u', nodes: { '${HOST}:6379': 1 } }],
    });
    await using proxy = await start(name, { PORT: String(port), BIG: '12345678901234567890123', FLAG: 'false', HOST: 'cache.example' });
    expect(said(proxy)).toBe('');
    expect(await at(proxy, port)).toBe('PONG');
    const { body: { stream_routes: [shown], upstreams: [upstream] } } = await proxy.call('GET', '/apisix/admin/configs');
    expect(shown).toMatchObject({
      server_port: port, desc: '12345678901234567890123', name: 'a default old', upstream: { retries: 3 },
      protocol: { metric: { enable: false } },
    });
    expect(upstream.nodes).toEqual({ 'cache.example:6379': 1 });
    if (json) return;
    // In quotes it is text, which JSON has no way to say.
    write(name, 'upstreams: [{ id: u, type: memory, desc: "${PORT}", labels: { flag: "${FLAG}" } }]\n#END\n');
    await expect.poll(async () => (await proxy.call('GET', '/apisix/admin/configs')).body.upstreams[0], { timeout: 8000 })
      .toMatchObject({ desc: String(port), labels: { flag: 'false' } });
  });
});

test('ST-14 with a variable that is not set it does not start, and says which and where', async () => {
  const resources = 'upstreams:\n  - id: u\n    type: memory\n    desc: ${MISSING_HERE}\n';
  await expect(startMillrace({ settings: { resources: 'resources.yaml' }, files: { 'resources.yaml': resources } }))
    .rejects.toThrow('millrace: resources.yaml:4:11: upstreams[0].desc: environment variable MISSING_HERE is not set');
});

test('ST-15 a file that does not end with the mark is not loaded, neither at the start nor later', async () => {
  const port = await freePort();
  const text = (reply: string): string => stringify({ stream_routes: [route('r', port, reply)] });
  write('resources.yaml', `${text('one')}#END\nupstreams: []\n`);
  await using proxy = await start('resources.yaml');
  expect(await at(proxy, port)).toBe('closed');
  expect(said(proxy)).toContain('more stands behind the end mark #END');
  expect((await proxy.call('GET', '/status/ready')).status).toBe(503);
  write('resources.yaml', `${text('two')}#END \n\n`);
  await until(proxy, port, 'two');
  write('resources.yaml', text('three'));
  await expect.poll(() => said(proxy), { timeout: 8000 }).toContain('the end mark #END is missing');
  await sleep(600);
  expect(await at(proxy, port)).toBe('two');
  write('resources.yaml', `${text('four')}#END`);
  await until(proxy, port, 'four');
});

test('ST-16 before the file was read once it is not ready, from then on it is, whatever becomes of the file', async () => {
  write('resources.yaml', 'stream_routes: [');
  await using proxy = await start('resources.yaml');
  const ready = async (): Promise<number> => (await proxy.call('GET', '/status/ready')).status;
  expect([await ready(), (await proxy.call('GET', '/status')).status]).toEqual([503, 200]);
  write('resources.yaml', { stream_routes: [] });
  await expect.poll(ready, { timeout: 8000 }).toBe(200);
  rmSync(join(folder, 'resources.yaml'));
  await expect.poll(() => said(proxy), { timeout: 8000 }).toContain('no such file');
  expect(await ready()).toBe(200);
});

test('ST-17 the list of plugins follows the file: changed, unchanged, invalid, empty, gone', async () => {
  const port = await freePort();
  const file = (plugins: unknown, reply: string): object => ({ plugins, stream_routes: [route('r', port, reply)] });
  write('resources.yaml', file([{ name: 'request-id' }], 'one'));
  await using proxy = await start('resources.yaml');
  expect(await at(proxy, port)).toBe('closed');
  write('resources.yaml', file([{ name: 'request-id' }, { name: 'mocking', stream: true }], 'one'));
  await until(proxy, port, 'one');
  write('resources.yaml', file([{ name: 'request-id' }, { name: 'mocking', stream: true }], 'two'));
  await until(proxy, port, 'two');
  write('resources.yaml', file([{ name: 7 }], 'three'));
  await until(proxy, port, 'three');
  expect(said(proxy)).toContain('plugins[0].name: expected the name of a plugin, got 7');
  const open = await proxy.connect(port);
  write('resources.yaml', file([], 'three'));
  await until(proxy, port, 'closed');
  // Who is connected is not served by what may not run any more, nor without it.
  await expect(open.command('PING')).rejects.toThrow('the connection ended');
  expect(said(proxy)).toContain('r unknown plugin [mocking]: it is not in the list of plugins');
  write('resources.yaml', { stream_routes: [route('r', port, 'four')] });
  await until(proxy, port, 'four');
});

test('ST-17 a route that is changed to name a plugin that is not listed goes on as it was', async () => {
  const port = await freePort();
  const file = (plugins: object): object => ({ plugins: ['mocking', 'nobody-has-it'], stream_routes: [route('r', port, '', { plugins })] });
  write('resources.yaml', file(mocking('good')));
  await using proxy = await start('resources.yaml');
  expect([await at(proxy, port), said(proxy)]).toEqual(['good', expect.stringContaining('no such plugin, ignored: nobody-has-it')]);
  write('resources.yaml', file({ ...mocking('bad'), 'request-id': {} }));
  await expect.poll(() => said(proxy), { timeout: 8000 }).toContain('unknown plugin [request-id]');
  expect(await at(proxy, port)).toBe('good');
  // By way of a service and of a global rule it runs no more than on the route itself.
  write('resources.yaml', {
    plugins: ['request-id'], global_rules: [{ id: 1, plugins: mocking('of all') }],
    services: [{ id: 's', upstream: { type: 'memory' }, plugins: mocking('of the service') }],
    stream_routes: [{ id: 'r', server_port: port, service_id: 's', protocol: { name: 'redis' } }, { id: 'other', remote_addr: '127.0.0.1', ...memory }],
  });
  await until(proxy, port, 'closed');
  expect(await ping(proxy)).toBe('PONG');
});

test('SR-65 in file mode, without the Admin API, each route stands for itself', async () => {
  const [adminPort, sane, badConf, unknown, byUpstream, plain] = [await freePort(), await freePort(), await freePort(), await freePort(), await freePort(), await freePort()];
  await using millrace = await startMillrace({
    settings: { resources: 'resources.yaml', admin: { port: adminPort, key: 'test-admin-key-0123456789abcdef', api: false } },
    files: { 'resources.yaml': `${stringify({
      upstreams: [{ id: 'u', type: 'memory' }],
      stream_routes: [
        route('sane', sane, 'sane'), route('bad', badConf, 'x', { plugins: { mocking: { rules: 7 } } }),
        route('unknown', unknown, 'x', { plugins: { 'no-such': {} } }),
        { id: 'by-upstream', server_port: byUpstream, upstream_id: 'u', protocol: { name: 'redis' } },
        { id: 'protocol', server_port: plain, upstream: { type: 'memory' }, protocol: { name: 'redis', conf: { faults: [{ commands: ['get'], error: 'of the protocol' }] } } },
      ],
    })}#END\n` },
  });
  const answer = async (port: number, ...command: string[]): Promise<unknown> => (await millrace.connect(port)).command(...command);
  expect(await answer(sane, 'PING')).toBe('sane');
  expect([await connects(badConf), await connects(unknown)]).toEqual([false, false]);
  expect(await answer(byUpstream, 'SET', 'a', '1')).toBe('OK');
  expect(await answer(plain, 'GET', 'a')).toEqual(new RespError('ERR of the protocol'));
  const log = millrace.records().filter((each) => each['level'] === 50).map((each) => String(each['msg']));
  expect(log).toEqual([
    expect.stringMatching(/^resources\.yaml:\d+:\d+: stream_routes\[1\]\.plugins\.mocking\.rules: expected/),
    expect.stringMatching(/^resources\.yaml:\d+:\d+: stream_routes\[2\]\.plugins\.no-such: unknown plugin \[no-such\]/),
  ]);
  expect((await fetch(`http://127.0.0.1:${adminPort}/apisix/admin/stream_routes`, { headers: { 'X-API-KEY': 'test-admin-key-0123456789abcdef' } })).status).toBe(404);
  expect((await fetch(`http://127.0.0.1:${adminPort}/status/ready`)).status).toBe(200);
});
