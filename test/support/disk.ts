import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A disk of its own, of that size; null where disks cannot be mounted. */
export function mountDisk(size: string): Disposable & { readonly path: string; remount(how: string): void } | null {
  const path = mkdtempSync(join(tmpdir(), 'millrace-disk-'));
  const run = (...command: [string, ...string[]]): void => {
    execFileSync(command[0], command.slice(1), { stdio: 'ignore' });
  };
  try {
    run('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path);
  } catch {
    rmSync(path, { recursive: true });
    return null;
  }
  return {
    path,
    remount: (how) => run('mount', '-o', `remount,${how}`, path),
    [Symbol.dispose]() {
      run('umount', '-l', path);
      rmSync(path, { recursive: true });
    },
  };
}

/** Until not a byte more fits. */
export function fill(folder: string): void {
  for (let size = 64 * 1024; size >= 1; size /= 4) {
    try {
      for (;;) writeFileSync(join(folder, 'filler'), Buffer.alloc(size), { flag: 'a' });
    } catch {
      // Full, for pieces of this size.
    }
  }
}
