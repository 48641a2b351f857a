// Programs that a benchmark starts, each on a processor of its own. However the benchmark ends, none of them
// stays: each is killed by its pid when this process exits, and by the kernel when it is killed itself.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep } from '../support/sleep.ts';

export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly process: ChildProcess;
  /** The end of what it printed, where that goes to a file. */
  said(): string;
  stop(): Promise<void>;
}

export interface ChildOptions {
  /** Null: any. */
  readonly cpu: number | null;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** `pipe`: standard input and output are spoken to; `file`: output is kept to be shown when it fails. */
  readonly talk: 'pipe' | 'file';
}

const running = new Set<ChildProcess>();
/** Where everything that a benchmark writes goes. */
export const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

let count = 0;

export function startChild(name: string, command: readonly string[], options: ChildOptions): Child {
  const path = join(folder, `${++count}.log`);
  const log = options.talk === 'file' ? openSync(path, 'a') : 'inherit';
  const pin = options.cpu === null ? [] : ['taskset', '-c', String(options.cpu)];
  const pinned = ['--pdeathsig', 'KILL', '--', ...pin, ...command];
  const child = spawn('setpriv', pinned, {
    env: { ...process.env, ...options.env },
    stdio: options.talk === 'file' ? ['ignore', log, log] : ['pipe', 'pipe', 'inherit'],
  });
  if (typeof log === 'number') closeSync(log);
  running.add(child);
  const exited = new Promise<void>((resolve) => {
    const gone = (): void => {
      running.delete(child);
      resolve();
    };
    child.once('error', gone);
    child.once('exit', gone);
  });
  if (child.pid === undefined) {
    throw new Error('setpriv and taskset are needed (Debian: apt-get install util-linux)');
  }
  return {
    name, pid: child.pid, process: child,
    said: () => (typeof log === 'number' ? readFileSync(path, 'utf8').slice(-2000).trim() : ''),
    stop() {
      child.kill('SIGKILL');
      return exited;
    },
  };
}

/** Resolves when something accepts connections on the port. */
export async function listening(child: Child, port: number, within = 20_000): Promise<void> {
  const end = Date.now() + within;
  while (!(await accepts(port))) {
    const dead = child.process.exitCode !== null || child.process.signalCode !== null;
    if (dead || Date.now() > end) {
      const why = dead ? ', it ended' : '';
      throw new Error(`${child.name} does not listen on port ${port}${why}:\n${child.said()}`);
    }
    await sleep(50);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
