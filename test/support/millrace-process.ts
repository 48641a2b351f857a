// `millrace start` as a process of its own: what signals, worker threads and reloaded modules can only be tested on.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { freePort } from './ports.ts';
import { RespClient } from './resp-client.ts';
import { sleep } from './sleep.ts';

export interface ProcessOptions {
  /** Port of the default route's server; absent: the embedded one. */
  readonly upstream?: number;
  readonly settings?: Record<string, unknown>;
  /** Files in its folder before it starts, e.g. `plugins/a.ts`. */
  readonly files?: Readonly<Record<string, string>>;
  /** Folder to use again; it is kept then. */
  readonly folder?: string;
}

export interface MillraceProcess extends AsyncDisposable {
  readonly port: number;
  readonly adminPort: number;
  readonly pid: number;
  readonly folder: string;
  readonly exited: Promise<number | null>;
  /** Records of all threads so far. */
  records(): readonly Record<string, unknown>[];
  connect(port?: number): Promise<RespClient>;
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }>;
  put(path: string, body: unknown): Promise<void>;
  metrics(): Promise<string>;
  /** The value of a series: the name with its labels as the page shows it; 0 when it is not there. */
  metric(series: string): Promise<number>;
  write(file: string, text: string): void;
  signal(name: NodeJS.Signals): void;
}

const key = 'test-admin-key-0123456789abcdef';

export async function startMillrace(options: ProcessOptions = {}): Promise<MillraceProcess> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'millrace-process-'));
  const [port, adminPort] = [await freePort(), await freePort()];
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  };
  write('millrace.json', JSON.stringify({
    listeners: [{ port, protocol: 'redis' }], admin: { port: adminPort, key }, workers: 1,
    log: { level: 'debug', file: 'millrace.log' }, ...options.settings,
  }));
  for (const [file, text] of Object.entries(options.files ?? {})) write(file, text);
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(MILLRACE_|NODE_OPTIONS|VITEST)/.test(name)));
  const child = spawn(process.execPath, [resolve('core/main.ts'), 'start', '-c', 'millrace.json'], {
    cwd: folder, stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...clean, ...(options.upstream === undefined ? {} : { MILLRACE_UPSTREAM: `127.0.0.1:${options.upstream}` }) },
  });
  // A test that timed out disposes of nothing.
  const killed = (): void => { child.kill('SIGKILL'); };
  process.once('exit', killed);
  child.once('close', () => process.off('exit', killed));
  let out = '';
  child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString(); });
  child.stderr.on('data', (bytes: Buffer) => { out += bytes.toString(); });
  const exited = new Promise<number | null>((done) => child.once('close', (code) => done(code)));
  const clients: RespClient[] = [];
  const admin = `http://127.0.0.1:${adminPort}`;
  const stop = async (): Promise<void> => {
    for (const client of clients) await client.close();
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
  };
  for (let attempt = 0; !out.includes('\nTry'); attempt++) {
    if (child.exitCode !== null || attempt > 750) {
      await stop();
      throw new Error(`millrace did not start: ${out}`);
    }
    await sleep(20);
  }
  const call: MillraceProcess['call'] = async (method, path, body) => {
    const response = await fetch(admin + path, {
      method, headers: { 'X-API-KEY': key }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: /^[[{]/.test(text) ? JSON.parse(text) : text };
  };
  const metrics = async (): Promise<string> => (await fetch(`${admin}/metrics`)).text();
  return {
    port, adminPort, pid: child.pid!, folder, exited, call, write, metrics,
    records() {
      const file = join(folder, 'millrace.log');
      if (!existsSync(file)) return [];
      // The last line may be half written.
      return readFileSync(file, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    async connect(at = port) {
      const client = await RespClient.connect(at);
      clients.push(client);
      return client;
    },
    async put(path, body) {
      const { status, body: answer } = await call('PUT', path, body);
      if (status >= 300) throw new Error(`PUT ${path}: ${status} ${JSON.stringify(answer)}`);
    },
    async metric(series) {
      const line = (await metrics()).split('\n').find((each) => each.startsWith(`${series} `));
      return line === undefined ? 0 : Number(line.slice(series.length + 1));
    },
    signal: (name) => { child.kill(name); },
    [Symbol.asyncDispose]: stop,
  };
}
