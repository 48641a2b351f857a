// A store that may be read and not written, such as one on a disk that was mounted read-only after an error: SQLite
// cannot look into its write-ahead log where it lies, so a copy is read.
import { accessSync, constants, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** The path of the copy; null when the file may be written, is not there or cannot be read. */
export function readableCopy(path: string): string | null {
  if (!isReadOnly(path)) return null;
  const copy = join(mkdtempSync(join(tmpdir(), 'millrace-store-')), basename(path));
  copyFileSync(path, copy);
  // Acknowledged writes stand there until SQLite moves them into the file itself.
  if (existsSync(`${path}-wal`)) copyFileSync(`${path}-wal`, `${copy}-wal`);
  return copy;
}

export function removeCopy(copy: string): void {
  rmSync(dirname(copy), { recursive: true, force: true });
}

function isReadOnly(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
  } catch {
    return false;
  }
  return !mayWrite(path) || !mayWrite(dirname(path));
}

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
