// What a process has used so far, read from /proc.
import { readdirSync, readFileSync } from 'node:fs';

/** Microseconds on a processor, all threads together, kernel time included. */
export function cpuMicroseconds(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readThread(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0]);
  }
  return nanoseconds / 1000;
}

/** Resident memory in KiB. */
export function residentKib(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (line === null) throw new Error(`/proc/${pid}/status: expected VmRSS`);
  return Number(line[1]);
}

/** A thread may end between being listed and being read. */
function readThread(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '0';
    throw error;
  }
}
