// Millrace as a process of its own, measured from outside.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { freePort } from '../support/ports.ts';
import { sleep } from '../support/sleep.ts';

const main = resolve(import.meta.dirname, '../../core/main.ts');
const key = 'soak-admin-key-0123456789abcdef';
const ticksPerSecond = Number(spawnSync('getconf', ['CLK_TCK']).stdout?.toString() || 100);

export interface ProcessOptions {
  readonly upstream: number;
  readonly limits?: Record<string, number>;
  readonly settings?: Record<string, unknown>;
  /** Most descriptors that the process may have. */
  readonly descriptors?: number;
  readonly environment?: Record<string, string>;
}

export interface Ending { readonly code: number | null; readonly signal: string | null; readonly ms: number; readonly output: string }

export interface MillraceProcess extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  put(path: string, body: unknown): Promise<void>;
  metric(name: string): Promise<number>;
  /** Bytes in memory. */
  resident(): number;
  descriptors(): number;
  /** Seconds of CPU so far. */
  cpu(): number;
  /** Sends a signal and waits for the end. */
  stop(signal: NodeJS.Signals): Promise<Ending>;
}

export async function startMillrace(options: ProcessOptions): Promise<MillraceProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-soak-'));
  const port = await freePort();
  const admin = await freePort();
  const file = join(folder, 'millrace.json');
  writeFileSync(file, JSON.stringify({
    listeners: [{ port, protocol: 'redis' }], admin: { port: admin, key }, workers: 1, log: { level: 'warn' },
    ...options.settings, limits: options.limits ?? {},
  }));
  const command = [process.execPath, main, 'start', '-c', file];
  const limited = options.descriptors === undefined ? command
    : ['bash', '-c', `ulimit -n ${options.descriptors}; exec "$@"`, 'bash', ...command];
  const child = spawn(limited[0]!, limited.slice(1), {
    cwd: folder, env: { ...process.env, ...options.environment, MILLRACE_UPSTREAM: `127.0.0.1:${options.upstream}` },
  });
  let output = '';
  child.stdout.on('data', (bytes) => { output = (output + String(bytes)).slice(-4000); });
  child.stderr.on('data', (bytes) => { output = (output + String(bytes)).slice(-4000); });
  const ended = new Promise<{ code: number | null; signal: string | null }>((done) => {
    child.once('exit', (code, signal) => done({ code, signal }));
  });
  await listens(port, child, () => output);
  const pid = child.pid!;
  const stop = async (signal: NodeJS.Signals): Promise<Ending> => {
    const from = performance.now();
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    const how = await ended;
    return { ...how, ms: performance.now() - from, output };
  };
  const call = async (path: string, init: RequestInit = {}): Promise<Response> => fetch(`http://127.0.0.1:${admin}${path}`, {
    ...init, headers: { 'X-API-KEY': key, 'Content-Type': 'application/json' },
  });
  return {
    port, pid, stop,
    async put(path, body) {
      const response = await call(path, { method: 'PUT', body: JSON.stringify(body) });
      if (!response.ok) throw new Error(`PUT ${path}: ${response.status} ${await response.text()}`);
    },
    async metric(name) {
      let sum = 0;
      for (const line of (await (await call('/metrics')).text()).split('\n')) {
        if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
      }
      return sum;
    },
    resident: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024,
    descriptors: () => readdirSync(`/proc/${pid}/fd`).length,
    cpu() {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
      return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
    },
    async [Symbol.asyncDispose]() {
      await stop('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function listens(port: number, child: ChildProcess, output: () => string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (child.exitCode !== null) throw new Error(`millrace ended with ${child.exitCode}: ${output()}`);
    const up = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => { socket.destroy(); done(true); }).once('error', () => done(false));
    });
    if (up) {
      await sleep(100);
      return;
    }
    await sleep(25);
  }
  throw new Error(`millrace did not listen on ${port} in 10 s: ${output()}`);
}
