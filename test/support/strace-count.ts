// System calls per request of a running process, counted by Debian's strace.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SyscallCount {
  readonly requests: number;
  readonly total: number;
  readonly perRequest: number;
  /** Calls by name. */
  readonly calls: ReadonlyMap<string, number>;
}

/** Why counting can't be done here, or null when it can. For `test.skipIf` and its message. */
export function straceMissing(): string | null {
  const run = spawnSync('strace', ['-c', '-o', '/dev/null', 'true']);
  if (run.error !== undefined) return 'strace is not installed: system calls are not counted';
  return run.status === 0 ? null
    : `strace is not allowed to trace here: ${run.stderr.toString().trim().slice(0, 200)}`;
}

/**
 * Attaches to all threads of `pid`, runs `work`, which returns how many requests it made, and counts. Slows
 * the process.
 */
export async function countSyscalls(pid: number, work: () => Promise<number>): Promise<SyscallCount> {
  const missing = straceMissing();
  if (missing !== null) throw new Error(missing);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-strace-'));
  const table = join(folder, 'table');
  const strace = spawn('strace', ['-c', '-f', '-p', String(pid), '-o', table],
    { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise<void>((resolve) => { strace.once('exit', () => resolve()); });
  try {
    await attached(strace.stderr, exited);
    const requests = await work();
    strace.kill('SIGINT');
    await exited;
    const calls = parseTable(readFileSync(table, 'utf8'));
    const total = [...calls.values()].reduce((sum, each) => sum + each, 0);
    return { requests, total, perRequest: total / requests, calls };
  } finally {
    if (strace.exitCode === null && strace.signalCode === null) strace.kill('SIGINT');
    await exited;
    rmSync(folder, { recursive: true, force: true });
  }
}

// strace says "attached" once per thread or once with their number; both come before the first count.
function attached(stderr: NodeJS.ReadableStream, exited: Promise<void>): Promise<void> {
  let said = '';
  return new Promise((resolve, reject) => {
    stderr.on('data', (bytes: Buffer) => {
      said += bytes.toString();
      if (said.includes('attached')) setTimeout(resolve, 100);
    });
    void exited.then(() => reject(new Error(`strace ended: ${said.trim().slice(0, 200)}`)));
  });
}

/** The table of `strace -c`: % time, seconds, usecs/call, calls, errors (may be empty), syscall. */
export function parseTable(table: string): Map<string, number> {
  const calls = new Map<string, number>();
  for (const line of table.split('\n')) {
    const match = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)\s*$/.exec(line);
    if (match?.[2] !== undefined && match[2] !== 'total') calls.set(match[2], Number(match[1]));
  }
  return calls;
}
