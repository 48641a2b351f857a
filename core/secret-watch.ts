// Secrets that stand in files are looked up anew soon after one of the files has changed.
import { dirname, join } from 'node:path';
import type { FileStamps } from './config/secret-stamps.ts';
import type { Logger } from './log.ts';
import { FileWatch } from './tls/file-watch.ts';

export class SecretWatch {
  readonly #log: Logger;
  readonly #onChange: () => void;
  #stamps: FileStamps | null = null;
  #watched = '';
  #watch: FileWatch | null = null;
  #closed = false;

  constructor(log: Logger, onChange: () => void) {
    this.#log = log;
    this.#onChange = onChange;
  }

  /** From now on these are watched. */
  follow(stamps: FileStamps): void {
    this.#stamps = stamps;
    const { files } = stamps;
    const key = files.toSorted().join('\0');
    if (key === this.#watched || this.#closed) return;
    this.#watched = key;
    void this.#watch?.close();
    this.#watch = files.length === 0 ? null : new FileWatch([...files, ...mounts(files)], {
      onChange: () => this.#look(),
      onError: (cause) => this.#log.warn({ code: 'CONFIG_INVALID', err: cause }, 'files of secrets are not watched, only looked at every half minute'),
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#watch?.close();
  }

  #look(): void {
    if (this.#closed || this.#stamps?.changed !== true) return;
    this.#log.info({ code: 'CONFIG_RELOADED' }, 'a file that holds a secret has changed');
    this.#onChange();
  }
}

/** Kubernetes replaces all files of a mounted secret by turning one link of their folder. */
function mounts(files: readonly string[]): string[] {
  return [...new Set(files.map((file) => join(dirname(file), '..data')))];
}
