// Watches a resources file and gives what is good in it. Deleting the file, half a file or a wrong file
// changes nothing.
import { watch, type FSWatcher } from 'chokidar';
import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import { ProxyError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import type { References } from './check.ts';
import { largestDocument } from './document.ts';
import type { Environment } from './environment.ts';
import { endsWithMark, readResources, type FileProblem, type FileReading } from './resource-file.ts';
import { emptyConfig, Listeners, type Config, type ConfigSource } from './source.ts';

/** Something an operator should know; the application logs it. */
export interface ConfigEvent {
  readonly code: ErrorCode;
  readonly level: 'info' | 'warn' | 'error';
  readonly text: string;
}

export interface FileSourceOptions {
  readonly path: string;
  /** How the file is called where something is wrong in it; default: its name without the folder. */
  readonly name?: string;
  readonly references: References;
  readonly environment: Environment;
  readonly report: (event: ConfigEvent) => void;
}

// Editors and scripts write in several steps; this much quiet means they are done …
const quietMs = 100;
// … and this long a series of changes is looked at in between.
const longestWaitMs = 400;
// Finds what a watch missed: network mounts, exhausted inotify handles, a folder that was replaced.
const pollMs = 500;

export class FileSource implements ConfigSource {
  readonly #path: string;
  readonly #options: FileSourceOptions;
  readonly #listeners = new Listeners();
  #config: Config = emptyConfig();
  #problems: readonly FileProblem[] = [];
  #warnings: readonly FileProblem[] = [];
  #watcher: FSWatcher | null = null;
  #poll: NodeJS.Timeout | null = null;
  #timer: NodeJS.Timeout | null = null;
  #waitingSince = 0;
  #loading: Promise<void> = Promise.resolve();
  #seen = '';
  #digest = '';
  #endMark = false;
  #loaded = false;
  #reported = '';
  #closed = false;

  private constructor(options: FileSourceOptions) {
    this.#options = options;
    this.#path = resolve(options.path);
  }

  /**
   * Reads the file once and watches it. A missing or wrong file is reported, not thrown: it may become right.
   */
  static async open(options: FileSourceOptions): Promise<FileSource> {
    const source = new FileSource(options);
    await source.reload();
    source.#watch();
    return source;
  }

  get config(): Config {
    return this.#config;
  }

  /** It was readable at least once. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** What the file as it is now has wrong; the configuration holds the last good versions of it. */
  get problems(): readonly FileProblem[] {
    return this.#problems;
  }

  get warnings(): readonly FileProblem[] {
    return this.#warnings;
  }

  onChange(listener: (config: Config) => void): () => void {
    return this.#listeners.add(listener);
  }

  /**
   * Reads the file now, changed or not: after SIGHUP, and when plugins changed and refused items may have
   * become good. `again`: what is wrong is said although it was said before.
   */
  reload(again = false): Promise<void> {
    this.#digest = '';
    if (again) this.#reported = '';
    return this.#enqueue();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#poll !== null) clearInterval(this.#poll);
    await this.#watcher?.close();
    await this.#loading;
  }

  #watch(): void {
    this.#watcher = watch(this.#path, { ignoreInitial: true });
    this.#watcher.on('all', () => this.#changed());
    // The poll goes on without it.
    this.#watcher.on('error', () => undefined);
    this.#poll = setInterval(() => void this.#look(), pollMs);
  }

  async #look(): Promise<void> {
    const now = await this.#fingerprint();
    if (now !== this.#seen && this.#timer === null) this.#changed();
  }

  // The file's own metadata through all symbolic links: a ConfigMap swaps a link two levels above.
  async #fingerprint(): Promise<string> {
    try {
      const found = await stat(this.#path, { bigint: true });
      return `${found.dev}:${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}`;
    } catch (error) {
      return `absent:${(error as NodeJS.ErrnoException).code}`;
    }
  }

  #changed(): void {
    if (this.#closed) return;
    const now = performance.now();
    if (this.#timer === null) this.#waitingSince = now;
    else clearTimeout(this.#timer);
    const wait = Math.max(0, Math.min(quietMs, this.#waitingSince + longestWaitMs - now));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#enqueue();
    }, wait);
  }

  #enqueue(): Promise<void> {
    return (this.#loading = this.#loading.then(() => this.#load()));
  }

  async #load(): Promise<void> {
    if (this.#closed) return;
    this.#seen = await this.#fingerprint();
    try {
      const text = await readWhole(this.#path);
      // Read while somebody wrote: what was read may be half of each.
      if ((await this.#fingerprint()) !== this.#seen) return this.#changed();
      const digest = createHash('sha256').update(text).digest('hex');
      if (digest === this.#digest) return;
      this.#digest = digest;
      this.#take(text, readResources(text, this.#config, {
        name: this.#options.name ?? basename(this.#path), format: extname(this.#path).toLowerCase() === '.json' ? 'json' : 'yaml',
        environment: this.#options.environment, references: this.#options.references, needsEnd: this.#endMark,
      }));
    } catch (error) {
      this.#digest = '';
      const why = error instanceof Error ? error.message : String(error);
      const text = `${this.#path}: ${why}; the last good configuration stays`;
      this.#reportOnce('CONFIG_UNREADABLE', 'error', text);
    }
  }

  #take(text: string, reading: FileReading): void {
    this.#problems = reading.problems;
    this.#warnings = reading.warnings;
    if (reading.readable) {
      this.#loaded = true;
      this.#endMark = endsWithMark(text);
    }
    const before = this.#config;
    this.#config = reading.config;
    this.#reportReading(reading, before !== reading.config);
    if (before !== reading.config) this.#listeners.tell(this.#config);
  }

  #reportReading({ problems, warnings, readable }: FileReading, changed: boolean): void {
    const stays = readable ? 'this item keeps its last good version' : 'the last good configuration stays';
    const lines = [
      ...problems.map((each) => ({ level: 'error' as const, text: `${each.located}; ${stays}` })),
      ...warnings.map((each) => ({ level: 'warn' as const, text: each.located })),
    ];
    const said = lines.map((line) => line.text).join('\n');
    if (said !== this.#reported) {
      for (const { level, text } of lines) this.#options.report({ code: 'CONFIG_INVALID', level, text });
      this.#reported = said;
    }
    if (!changed) return;
    this.#options.report({ code: 'CONFIG_RELOADED', level: 'info', text: `${this.#path} loaded` });
  }

  // A file that stays away or stays wrong is one line, not one per look.
  #reportOnce(code: ErrorCode, level: ConfigEvent['level'], text: string): void {
    if (text === this.#reported) return;
    this.#reported = text;
    this.#options.report({ code, level, text });
  }
}

async function readWhole(path: string): Promise<string> {
  await using file = await open(path, 'r');
  const found = await file.stat();
  if (!found.isFile()) throw new ProxyError('CONFIG_UNREADABLE', 'not a file');
  if (found.size > largestDocument) {
    throw new ProxyError('CONFIG_UNREADABLE', `expected at most ${largestDocument} bytes, got ${found.size}`);
  }
  const bytes = Buffer.alloc(found.size);
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length));
}
