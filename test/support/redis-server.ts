// A real redis-server of the test's own, on a free port, stopped by pid when disposed.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.ts';

const binary = ['redis-server', 'valkey-server'].find((name) => spawnSync('which', [name]).status === 0);

/** Path of the server the tests use: `REDIS_SERVER`, else redis-server, else valkey-server on PATH. */
export const redisBinary: string | undefined = process.env['REDIS_SERVER'] ?? binary;

export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  readonly process: ChildProcess;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a server without persistence; `args` are added to its command line. Rejects when none is installed. */
export async function startRedis(args: readonly string[] = [], port = 0): Promise<RedisServer> {
  if (redisBinary === undefined) throw new Error('no redis-server or valkey-server on PATH: run scripts/test-needs.sh');
  const at = port === 0 ? await freePort() : port;
  const dir = mkdtempSync(join(tmpdir(), 'millrace-redis-'));
  const child = spawn(
    redisBinary,
    ['--port', String(at), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir,
      '--enable-debug-command', 'yes', '--logfile', join(dir, 'log'), ...args],
    { stdio: 'ignore' },
  );
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await listening(at, child).catch((error: Error) => {
    child.kill('SIGKILL');
    throw new Error(`${error.message}: ${lastLines(join(dir, 'log'))}`);
  });
  const stop = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
    rmSync(dir, { recursive: true, force: true });
  };
  return { port: at, process: child, stop, [Symbol.asyncDispose]: () => stop() };
}

const lastLines = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8').slice(-600) : 'it wrote no log');

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null) throw new Error(`redis-server exited with ${child.exitCode}`);
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => { socket.destroy(); resolve(true); });
      socket.once('error', () => resolve(false));
    });
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`redis-server did not listen on ${port} in 5 s`);
}
