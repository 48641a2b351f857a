// What must hold for the process as a whole: ends of resources over a restart and on all workers, and reloads of plugins.
import { setTimeout as sleep } from 'node:timers/promises';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startMillrace, type MillraceProcess } from '../support/millrace-process.ts';
import { freePort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';
import { RespClient } from '../support/resp-client.ts';
import { definePlugin } from '../../core/plugin.ts';
import { clientsByWorker } from '../support/worker-clients.ts';

const patient = { timeout: 30_000 };
const memory = { type: 'memory' };
const routes = '/apisix/admin/stream_routes';

test('an end survives kill -9, and then the route is gone on every worker', patient, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-lasting-'));
  using _gone = { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
  const settings = { workers: 2 };
  const port = await freePort();
  let expiresAt: number;
  {
    await using first = await startMillrace({ folder, settings });
    const route = { server_port: port, upstream: memory, protocol: { name: 'redis' } };
    const { status, body } = await first.call('PUT', `${routes}/short?ttl=14`, route);
    expect([status, body.expires_at]).toEqual([201, expect.any(Number)]);
    expiresAt = body.expires_at as number;
    // Over before the next start.
    await first.call('PUT', `${routes}/shorter?ttl=1`, { ...route, server_port: await freePort() });
    first.signal('SIGKILL');
    await first.exited;
    // Ends are whole seconds, rounded up.
    await sleep(2000);
  }
  await using second = await startMillrace({ folder, settings });
  for (let i = 0; i < 16; i++) expect(await (await second.connect(port)).command('PING')).toBe('PONG');
  expect((await second.call('GET', `${routes}/short`)).body.expires_at).toBe(expiresAt);
  expect((await second.call('GET', `${routes}/shorter`)).status).toBe(404);
  await expect.poll(async () => (await second.call('GET', `${routes}/short`)).status, { timeout: 16_000 }).toBe(404);
  expect(Date.now() / 1000).toBeGreaterThanOrEqual(expiresAt);
  await expect.poll(() => RespClient.connect(port).then(async (client) => client.close(), ({ message }: Error) => message), { timeout: 2000 })
    .toContain('ECONNREFUSED');
  // A worker that still listened would take some of them.
  for (let i = 0; i < 16; i++) await expect(RespClient.connect(port)).rejects.toThrow('ECONNREFUSED');
  expect((await second.call('GET', routes)).body).toEqual({ total: 0, list: [] });
});

/** Answers `GET who` with what stood in a file, which nobody watches, when it was loaded; `GET exit` ends the worker. */
const answering = (file: string): string => `import { definePlugin, ProxyError } from 'millrace';
import { readFileSync } from 'node:fs';
const word = readFileSync(${JSON.stringify(file)}, 'utf8');
export default definePlugin({
  name: 'answering', version: word, priority: Number(word.length), schema: { type: 'object' },
  setup: () => ({
    request(request) {
      const key = request.name === 'get' ? request.key(0).toString() : '';
      if (key === 'who') request.settle(new ProxyError('DENIED', word));
      if (key === 'exit') process.exit(3);
    },
  }),
});
`;

async function expectAll(millrace: MillraceProcess, text: string): Promise<void> {
  for (const clients of (await clientsByWorker(millrace, 2)).values()) {
    for (const client of clients) expect(await client.command('GET', 'who')).toMatchObject({ text });
  }
}

test('AA-22 AA-23 a reload reaches all workers and the lists of plugins, and a worker that missed it runs the new code, too', patient, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-word-'));
  using _gone = { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
  const file = join(folder, 'word.txt');
  writeFileSync(file, 'one');
  await using millrace = await startMillrace({ settings: { workers: 2, plugins: ['plugins'] }, files: { 'plugins/answering.ts': answering(file) } });
  await millrace.put(`${routes}/1`, { upstream: memory, protocol: { name: 'redis' }, plugins: { answering: {} } });
  await expectAll(millrace, 'ERR one');
  writeFileSync(file, 'three');
  // Nobody said so.
  await expectAll(millrace, 'ERR one');
  expect(await millrace.call('PUT', '/apisix/admin/plugins/reload')).toEqual({ status: 200, body: 'done' });
  await expectAll(millrace, 'ERR three');
  for (const list of ['', '/list']) {
    for (const subsystem of ['stream', 'http']) {
      const { body } = await millrace.call('GET', `/apisix/admin/plugins${list}?subsystem=${subsystem}&all=true`);
      expect(list === '' ? body.answering : body.includes('answering')).toEqual(list === '' ? { priority: 5, version: 'three', schema: { type: 'object' } } : true);
    }
  }
  const [client] = (await clientsByWorker(millrace, 2)).get(1)!;
  client!.send('GET exit\r\n');
  await client!.untilEnded();
  await expect.poll(() => millrace.records().filter(({ code }) => code === 'WORKER_STARTED').length, { timeout: 10_000 }).toBe(1);
  await expectAll(millrace, 'ERR three');
});

test('SR-05 a stream plugin of one\'s own and chash on a variable that it makes are accepted', async () => {
  const mqtt = definePlugin({
    name: 'mqtt-proxy', priority: 1000,
    schema: {
      type: 'object', required: ['protocol_name', 'protocol_level'], additionalProperties: false,
      properties: { protocol_name: { type: 'string' }, protocol_level: { type: 'integer' } },
    },
    setup: () => ({}),
  });
  await using proxy = await startProxy({ route: null, plugins: [mqtt] });
  const upstream = { type: 'chash', key: 'mqtt_client_id', nodes: { '127.0.0.1:1883': 1 } };
  const plugins = { 'mqtt-proxy': { protocol_name: 'MQTT', protocol_level: 4 } };
  expect((await proxy.call('PUT', `${routes}/1`, { plugins, upstream })).status).toBe(201);
  expect((await proxy.call('PUT', `${routes}/2`, { plugins: { 'mqtt-proxy': { protocol_name: 'MQTT' } }, upstream })).body.error_msg)
    .toContain('plugins.mqtt-proxy.protocol_level');
});

test('SR-14 no mode must be switched on before stream routes are taken: a node without listeners opens the port of a route', async () => {
  await using millrace = await startMillrace({ settings: { listeners: [] } });
  const port = await freePort();
  expect((await millrace.call('GET', routes)).body).toEqual({ total: 0, list: [] });
  await millrace.put(`${routes}/1`, { server_port: port, upstream: memory, protocol: { name: 'redis' } });
  expect(await (await millrace.connect(port)).command('PING')).toBe('PONG');
});
