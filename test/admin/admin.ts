// A real Admin API over HTTP in front of a plane that only remembers what it was given.
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAdmin, type AdminServer } from '../../admin/server.ts';
import { AdminKeys } from '../../admin/keys.ts';
import type { Registry } from '../../admin/registry.ts';
import type { ConfigEvent } from '../../core/config/file.ts';
import { MemoryStore } from '../../core/config/memory-store.ts';
import { MergedConfig } from '../../core/config/merged.ts';
import type { Config, Store } from '../../core/config/source.ts';
import type { References } from '../../core/config/check.ts';
import { silentLogger } from '../../core/log.ts';
import { Metrics } from '../../core/metrics.ts';
import type { Plane, PlaneStatus, Rejection } from '../../core/plane.ts';
import type { AdminKeyEntry } from '../../core/settings-admin.ts';
import { compileSchema, problem, type JsonSchema, type Validator } from '../../core/schema.ts';

export const key = 'a-key-of-the-tests-0123456789';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: any;
}

export interface Asked {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly withoutKey?: boolean;
  readonly localAddress?: string;
  /** The body is sent without saying its length. */
  readonly chunked?: boolean;
}

export interface Bench extends AsyncDisposable {
  readonly admin: AdminServer;
  readonly store: Store;
  readonly file: MemoryStore;
  readonly config: MergedConfig;
  readonly plane: FakePlane;
  ask(method: string, path: string, asked?: Asked): Promise<Answer>;
}

const limitCount: JsonSchema = {
  type: 'object', required: ['count'], additionalProperties: false,
  properties: { count: { type: 'integer', minimum: 1 }, password: { type: 'string', writeOnly: true } },
};
const redis: JsonSchema = {
  type: 'object', additionalProperties: false, properties: { faults: { type: 'array' } },
};

export const registry: Registry = {
  plugins: () => [
    { name: 'limit-count', priority: 1002, schema: limitCount, metadataSchema: limitCount },
    { name: 'fault-injection', priority: 11000, schema: { type: 'object' } },
  ],
  protocols: () => [{ name: 'redis', schema: redis }, { name: 'line', schema: { type: 'object' } }],
};

const plugins: Readonly<Record<string, Validator>> = {
  'limit-count': compileSchema(limitCount), 'fault-injection': () => [],
};
const protocols: Readonly<Record<string, Validator>> = { redis: compileSchema(redis), line: () => [] };
const references: References = {
  checkPlugin: (name, conf) => plugins[name]?.(conf),
  checkMetadata: (name, conf) => plugins[name]?.(conf),
  checkProtocol: (name, conf) => protocols[name]?.(conf),
  checkExpression: (expression) =>
    (JSON.stringify(expression).includes('==') ? [] : [problem([], 'an operator', 'none')]),
};

export class FakePlane implements Pick<Plane, 'apply' | 'status' | 'metrics' | 'inspect' | 'tail'> {
  readonly applied: Config[] = [];
  /** What the workers refuse of a configuration. */
  refuse: (config: Config) => readonly Rejection[] = () => [];
  /** Workers need this long. */
  delay = 0;
  failure: Error | null = null;

  async apply(config: Config): Promise<readonly Rejection[]> {
    if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
    // What runs already needs nobody.
    if (this.failure !== null && config !== this.applied.at(-1)) throw this.failure;
    this.applied.push(config);
    return this.refuse(config);
  }

  async tail(): Promise<() => void> {
    return () => undefined;
  }

  async inspect(): Promise<readonly []> {
    return [];
  }

  async status(): Promise<readonly PlaneStatus[]> {
    const modules = [{
      kind: 'plugin' as const, name: 'limit-count', file: 'limit-count.ts', generation: 1, error: null,
    }];
    return [0, 1].map((worker) => ({ worker, revision: 7, sessions: 3, modules, listeners: [], places: [
      { plugin: 'limit-count', version: '1', route: '1', worker, status: { left: 4 } }] }));
  }

  async metrics(): Promise<ReturnType<Metrics['snapshot']>> {
    const metrics = new Metrics();
    metrics.add(metrics.counter('millrace_requests_total', 'Requests.'), 3);
    return metrics.snapshot();
  }
}

export async function startAdmin(
  options: { readonly store?: Store; readonly bodyLimit?: number; readonly ready?: () => string | null; readonly keys?: readonly AdminKeyEntry[]; readonly allow?: readonly string[] } = {},
): Promise<Bench> {
  const store = options.store ?? new MemoryStore({ time: () => 1_700_000_000 });
  const file = new MemoryStore();
  const events: ConfigEvent[] = [];
  const config = new MergedConfig(store, asFile(file), (event) => void events.push(event));
  const plane = new FakePlane();
  const admin = await createAdmin({
    settings: {
      address: '127.0.0.1', port: 0, body_limit_bytes: options.bodyLimit ?? 1_572_864,
      ...(options.allow === undefined ? {} : { allow: options.allow }),
    },
    keys: AdminKeys.open({ address: '127.0.0.1', key, key_file: 'none', keys: options.keys ?? [] }), store, config, references, plane, registry, log: silentLogger,
    ...(options.ready === undefined ? {} : { ready: options.ready }),
  });
  return {
    admin, store, file, config, plane,
    ask: (method, path, asked = {}) => ask(admin.port, method, path, asked),
    [Symbol.asyncDispose]: async () => {
      await admin.close();
      await config.close();
    },
  };
}

// A store's resources say that they come from a store.
function asFile(store: MemoryStore): MemoryStore {
  return new Proxy(store, {
    get: (target, name) => {
      if (name !== 'config') return (Reflect.get(target, name, target) as (() => void)).bind(target);
      const { revision, resources } = target.config;
      const entries = Object.entries(resources).map(([kind, map]) => [
        kind, new Map([...map].map(([id, resource]) => [id, { ...resource, origin: 'file' }])),
      ]);
      return { revision, resources: Object.fromEntries(entries) as Config['resources'] };
    },
  });
}

// Not fetch: it tidies paths, and refuses some methods and headers.
export function ask(port: number, method: string, path: string, asked: Asked = {}): Promise<Answer> {
  const { body, headers = {}, withoutKey = false, localAddress, chunked = false } = asked;
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      host: '127.0.0.1', port, method, path, agent: false,
      ...(localAddress === undefined ? {} : { localAddress }),
      headers: {
        ...(withoutKey ? {} : { 'X-API-KEY': key }),
        ...(text === undefined || chunked ? {} : { 'content-length': String(Buffer.byteLength(text)) }),
        ...headers,
      },
    }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => void chunks.push(chunk));
      response.on('end', () => {
        const answer = Buffer.concat(chunks).toString();
        const isJson = String(response.headers['content-type']).includes('json') && answer !== '';
        resolve({
          status: response.statusCode ?? 0, headers: response.headers, text: answer,
          json: isJson ? JSON.parse(answer) : undefined,
        });
      });
    });
    request.on('error', reject);
    if (chunked) request.write(text);
    request.end(chunked ? undefined : text);
  });
}

/** A folder of a test's own, gone afterwards. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'millrace-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
