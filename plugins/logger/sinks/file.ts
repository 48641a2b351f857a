// One record a line, appended. Opened anew on SIGHUP, and when the file was moved away or deleted.
import { constants } from 'node:fs';
import { mkdir, open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { onReopen } from '../../../core/reopen.ts';
import type { Sink } from '../sink.ts';

// A pipe that nobody reads must not hold a thread of the few that everybody's files and names share. A regular file does
// not know the flag.
const { O_APPEND, O_CREAT, O_WRONLY, O_NONBLOCK } = constants;
const flags = O_APPEND | O_CREAT | O_WRONLY | (O_NONBLOCK ?? 0);

// How often in ms to look whether the file is still the one that is open.
const lookTime = 1000;

export class FileSink implements Sink {
  readonly #path: string;
  readonly #forget: () => void;
  #handle: FileHandle | null = null;
  #inode = 0;
  #lookedAt = 0;
  #stale = false;
  /** A write failed half way: the next one begins on a line of its own. */
  #torn = false;

  constructor(path: string) {
    this.#path = path;
    this.#forget = onReopen(() => { this.#stale = true; });
  }

  async send(records: readonly string[]): Promise<number> {
    const handle = await this.#current();
    const bytes = Buffer.from(`${this.#torn ? '\n' : ''}${records.join('\n')}\n`);
    this.#torn = false;
    try {
      // One write for all: workers append to the same file, and their lines must not mix.
      for (let at = 0; at < bytes.length;) {
        at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten;
        this.#torn = at < bytes.length;
      }
    } catch (cause) {
      await this.#drop();
      throw cause;
    }
    return 0;
  }

  async #current(): Promise<FileHandle> {
    if (this.#handle !== null && (this.#stale || await this.#moved())) await this.#drop();
    this.#stale = false;
    if (this.#handle === null) {
      await makeFolder(dirname(this.#path));
      this.#handle = await open(this.#path, flags, 0o640);
      this.#inode = (await this.#handle.stat()).ino;
    }
    return this.#handle;
  }

  async #moved(): Promise<boolean> {
    const now = performance.now();
    if (now - this.#lookedAt < lookTime) return false;
    this.#lookedAt = now;
    try {
      return (await stat(this.#path)).ino !== this.#inode;
    } catch {
      return true;
    }
  }

  async #drop(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close().catch(() => {});
  }

  async close(): Promise<void> {
    this.#forget();
    await this.#drop();
  }
}

// Node's own way (`recursive`) never ends where the system refuses a folder with ENOENT, as /proc does.
async function makeFolder(path: string, deeper = true): Promise<void> {
  try {
    await mkdir(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // Whether it is a folder shows when the file is opened.
    if (code === 'EEXIST' || code === 'EISDIR') return;
    if (code !== 'ENOENT' || !deeper || dirname(path) === path) throw cause;
    await makeFolder(dirname(path));
    await makeFolder(path, false);
  }
}
