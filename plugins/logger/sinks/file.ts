// One record a line, appended. Opened anew on SIGHUP, and when the file was moved away or deleted.
import { mkdir, open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { onReopen } from '../../../core/reopen.ts';
import type { Sink } from '../sink.ts';

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
      await mkdir(dirname(this.#path), { recursive: true });
      this.#handle = await open(this.#path, 'a', 0o640);
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
