// What a user gets: the packed package, installed into an empty folder.
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Running } from '../cli/millrace.ts';
import { startOtlpCollector } from '../support/otlp-collector.ts';
import { freePort } from '../support/ports.ts';
import { RespClient } from '../support/resp-client.ts';

// npm and the compiler take their time on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const temporary = mkdtempSync(join(tmpdir(), 'millrace-package-'));
const folder = join(temporary, 'use');

interface Ended { readonly code: number; readonly out: string; readonly err: string }

function run(command: string, args: readonly string[], cwd = folder): Promise<Ended> {
  return new Promise((done) => {
    execFile(command, args, { cwd, maxBuffer: 16 * 1024 * 1024 }, (error, out, err) => {
      done({ code: error === null ? 0 : Number(error.code ?? 1), out, err });
    });
  });
}

async function good(command: string, args: readonly string[], cwd = folder): Promise<string> {
  const { code, out, err } = await run(command, args, cwd);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${code}\n${out}\n${err}`);
  return out;
}

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

beforeAll(async () => {
  mkdirSync(folder);
  write('package.json', '{ "private": true, "type": "module" }');
  const packed = await good('npm', ['pack', '--json', '--pack-destination', temporary], resolve('.'));
  const file = /"filename":\s*"([^"]+)"/.exec(packed)?.[1] ?? 'none';
  // Optional is only a Node of its own.
  const options = ['--prefer-offline', '--no-audit', '--no-fund', '--omit=optional'];
  await good('npm', ['install', ...options, join(temporary, file)]);
}, 120_000);

afterAll(() => rmSync(temporary, { recursive: true, force: true }));

test('the command runs', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(await run('npx', ['millrace', '--version'])).toMatchObject({ code: 0, out: `${version}\n` });
});

test('a file is checked with the plugins and protocols that are shipped', async () => {
  write('resources.json', JSON.stringify({ stream_routes: [
    { id: 1, server_port: 9100, protocol: { name: 'redis' }, upstream: { type: 'memory' },
      plugins: { 'limit-count': { count: 1, time_window: 1 } } }] }));
  expect(await run('npx', ['millrace', 'check', '-c', 'resources.json'])).toMatchObject({ code: 0, out: 'ok\n' });
  write('resources.json', '{"stream_routes": [{"id": 1, "upstream": {"nodes": {"a:0": 1}}}]}');
  expect(await run('npx', ['millrace', 'check', '-c', 'resources.json'])).toMatchObject({
    code: 1,
    err: expect.stringContaining(
      'resources.json:1:60: stream_routes[0].upstream.nodes["a:0"]: invalid port 0, expected 1..65535\n'),
  });
});

test('it starts with workers of its own and stops', async () => {
  write('millrace.json', JSON.stringify({
    listeners: [{ port: await freePort(), protocol: 'redis' }], admin: { port: await freePort() }, workers: 2,
  }));
  const main = join(folder, 'node_modules/millrace/dist/core/main.js');
  const args = [main, 'start', '-c', 'millrace.json'];
  await using running = new Running(spawn(process.execPath, args, { cwd: folder }));
  expect(await running.started()).toContain('2 workers');
  running.signal('SIGTERM');
  expect((await running.ended).code).toBe(0);
});

const traced = (port: number): object => ({ stream_routes: [{
  id: 1, protocol: { name: 'redis' }, upstream: { type: 'memory' },
  plugins: { opentelemetry: { endpoint: `http://127.0.0.1:${port}`, sample: 1, batch_delay: 60 } },
}] });

test('plugins whose packages are not installed are refused, and it is said what to install', async () => {
  write('resources.json', JSON.stringify({ stream_routes: [
    { id: 1, protocol: { name: 'redis' }, upstream: { type: 'memory' }, plugins: {
      'opentelemetry': {}, 'kafka-logger': { brokers: [{ host: 'a', port: 1 }], kafka_topic: 't' } } }] }));
  const { code, err } = await run('npx', ['millrace', 'check', '-c', 'resources.json']);
  expect(code).toBe(1);
  expect(err).toContain('stream_routes[0].plugins.opentelemetry: opentelemetry needs packages that are not installed: '
    + 'npm install @opentelemetry/api @opentelemetry/sdk-trace @opentelemetry/exporter-trace-otlp-http\n');
  expect(err).toContain('stream_routes[0].plugins.kafka-logger: kafka-logger needs a package that is not installed: npm install @platformatic/kafka\n');
});

test('with its packages beside it, opentelemetry sends the spans of all workers, at the latest when it ends', async () => {
  await using collector = await startOtlpCollector();
  symlinkSync(resolve('node_modules/@opentelemetry'), join(folder, 'node_modules/@opentelemetry'));
  write('resources.json', JSON.stringify(traced(collector.port)));
  expect(await run('npx', ['millrace', 'check', '-c', 'resources.json'])).toMatchObject({ code: 0, out: 'ok\n' });
  const port = await freePort();
  write('millrace.json', JSON.stringify({
    listeners: [{ port, protocol: 'redis' }], admin: { port: await freePort() }, workers: 2, resources: 'resources.json',
  }));
  const main = join(folder, 'node_modules/millrace/dist/core/main.js');
  await using running = new Running(spawn(process.execPath, [main, 'start', '-c', 'millrace.json'], { cwd: folder }));
  await running.started();
  for (let i = 0; i < 20; i++) {
    const client = await RespClient.connect(port);
    await client.command('SET', 'a', String(i));
    await client.close();
  }
  expect(collector.spans).toEqual([]);
  running.signal('SIGTERM');
  expect((await running.ended).code).toBe(0);
  expect(collector.spans.map(({ name }) => name)).toEqual(Array.from({ length: 20 }, () => 'set'));
});

test('a scaffolded plugin and a scaffolded protocol pass their tests', async () => {
  for (const kind of ['plugin', 'protocol']) {
    expect(await run('npx', ['millrace', 'new', kind, 'mine'])).toMatchObject({ code: 0 });
    expect(await run('npx', ['millrace', 'test', `${kind}s/mine.test.ts`])).toMatchObject({ code: 0 });
  }
});

test('plugins and protocols are checked against the types that are shipped', async () => {
  write('tsconfig.json', JSON.stringify({
    compilerOptions: {
      target: 'ES2024', module: 'NodeNext', strict: true, noEmit: true, allowImportingTsExtensions: true,
      noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, verbatimModuleSyntax: true,
      erasableSyntaxOnly: true, types: ['node'], typeRoots: [resolve('node_modules/@types')],
    },
    include: ['plugins', 'protocols'],
  }));
  const compiler = resolve('node_modules/typescript/bin/tsc');
  const right = await run(process.execPath, [compiler, '-p', '.']);
  expect([right.code, right.out]).toEqual([0, '']);
  const file = join(folder, 'plugins/mine.ts');
  writeFileSync(file, readFileSync(file, 'utf8').replace('request.name', 'request.nmae'));
  const wrong = await run(process.execPath, [compiler, '-p', '.']);
  expect(wrong.code).not.toBe(0);
  expect(wrong.out).toMatch(/plugins\/mine\.ts\(\d+,\d+\): error TS\d+: Property 'nmae' does not exist/);
});
