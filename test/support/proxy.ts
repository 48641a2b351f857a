// A Millrace of the test's own, in this process, on free ports, with everything in a temporary folder.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, type App } from '../../core/app.ts';
import { createLogger, type Logger } from '../../core/log.ts';
import type { Plugin } from '../../core/plugin.ts';
import type { Protocol } from '../../core/protocol.ts';
import { loadSettings, type Settings } from '../../core/settings.ts';
import { REGISTRY } from '../../core/tokens.ts';
import { freePort } from './ports.ts';
import { RespClient } from './resp-client.ts';

export interface ProxyOptions {
  /** Port of the server that the route leads to; absent: the embedded one. */
  readonly upstream?: number;
  /** The stream route `1`, but for `upstream`; default: redis on everything. `null`: no route. */
  readonly route?: Record<string, unknown> | null;
  /** Parts of the settings that differ from the defaults. */
  readonly settings?: Record<string, unknown>;
  readonly limits?: Record<string, number>;
  readonly environment?: Record<string, string>;
  /** Of the test's own, known before any route is built. */
  readonly protocols?: readonly Protocol[];
  readonly plugins?: readonly Plugin[];
}

export interface Proxy extends AsyncDisposable {
  readonly app: App;
  readonly port: number;
  readonly admin: string;
  readonly key: string;
  readonly folder: string;
  /** Parsed log records so far. */
  readonly records: readonly Record<string, unknown>[];
  connect(port?: number): Promise<RespClient>;
  /** An admin request; resolves with status and parsed body. */
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }>;
  /** PUTs and throws unless it was taken. */
  put(path: string, body: unknown): Promise<void>;
  metrics(): Promise<string>;
}

const key = 'test-admin-key-0123456789abcdef';

export async function startProxy(options: ProxyOptions = {}): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-test-'));
  const port = await freePort();
  const file = join(folder, 'millrace.json');
  writeFileSync(file, JSON.stringify({
    listeners: [{ port, protocol: 'redis' }],
    admin: { port: await freePort(), key },
    workers: 1,
    ...options.settings,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  }));
  const { settings, problems } = loadSettings(file, {}, folder);
  if (settings === null) throw new Error(problems.map(({ located }) => located).join('\n'));
  const { log, records } = recordingLog();
  const environment = { ...(options.upstream === undefined ? {} : { MILLRACE_UPSTREAM: `127.0.0.1:${options.upstream}` }), ...options.environment };
  const app = await startApp({
    settings, environment, log,
    prepare(container) {
      const registry = container.resolve(REGISTRY);
      for (const protocol of options.protocols ?? []) registry.addProtocol(protocol, 'of the test', 1);
      for (const plugin of options.plugins ?? []) registry.addPlugin(plugin, 'of the test', 1);
    },
  });
  const proxy = makeProxy(app, settings, folder, records);
  if (options.route !== null && (options.route !== undefined || options.upstream !== undefined)) {
    const upstream = options.upstream === undefined ? { type: 'memory' } : { nodes: { [`127.0.0.1:${options.upstream}`]: 1 } };
    const hasUpstream = options.route?.['upstream'] !== undefined || options.route?.['upstream_id'] !== undefined;
    await proxy.put('/apisix/admin/stream_routes/1', {
      ...(hasUpstream ? {} : { upstream }), protocol: { name: 'redis' }, ...options.route,
    });
  }
  return proxy;
}

function makeProxy(app: App, settings: Settings, folder: string, records: readonly Record<string, unknown>[]): Proxy {
  const { port } = settings.listeners[0]!;
  const admin = `http://127.0.0.1:${app.admin.port}`;
  const clients: RespClient[] = [];
  const call = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: any }> => {
    const response = await fetch(admin + path, {
      method,
      headers: { 'X-API-KEY': key, 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text };
  };
  return {
    app, port, admin, key, folder, records, call,
    async connect(at = port) {
      const client = await RespClient.connect(at);
      clients.push(client);
      return client;
    },
    async put(path, body) {
      const { status, body: answer } = await call('PUT', path, body);
      if (status >= 300) throw new Error(`PUT ${path}: ${status} ${JSON.stringify(answer)}`);
    },
    metrics: async () => (await fetch(`${admin}/metrics`)).text(),
    async [Symbol.asyncDispose]() {
      for (const client of clients) void client.close();
      await app.drain(0);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function recordingLog(): { log: Logger; records: Record<string, unknown>[] } {
  const records: Record<string, unknown>[] = [];
  const { log } = createLogger({ level: 'debug' }, { write: (line) => records.push(JSON.parse(line) as Record<string, unknown>) });
  return { log, records };
}
