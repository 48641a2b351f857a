// Watches the folders of plugins and protocols: a saved file is live within a second. The main thread imports it first;
// what fails there never reaches a worker.
import { watch, type FSWatcher } from 'chokidar';
import { existsSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import { isModuleFile, moduleFiles, type Loader, type ModuleFolder, type ModuleKind } from './loader.ts';
import type { RunningPlane } from './local-plane.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';

export interface ModuleWatchOptions {
  readonly folders: readonly ModuleFolder[];
  readonly loader: Loader;
  readonly plane: RunningPlane;
  readonly log: Logger;
  /** Of the main thread. */
  readonly metrics: Metrics;
  /** When loading began, ms since the epoch. */
  readonly loadedAt: number;
  /** Configuration that was refused may have become right. */
  readonly onReloaded: () => Promise<void>;
}

// Editors write in several steps.
const quiet = 100;
/** Files' times may lie so many ms behind the clock. */
const clockGrain = 10;

export class ModuleWatch {
  readonly #options: ModuleWatchOptions;
  readonly #watcher: FSWatcher | null;
  readonly #failures: number;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #generation = 1;
  #ready = false;
  #work: Promise<void> = Promise.resolve();

  constructor(options: ModuleWatchOptions) {
    this.#options = options;
    this.#failures = options.metrics.counter(
      'millrace_module_failures_total', 'Plugin and protocol files that could not be loaded.');
    options.metrics.add(this.#failures, options.loader.modules.filter(({ error }) => error !== null).length);
    if (options.folders.length === 0) {
      this.#watcher = null;
      return;
    }
    this.#watcher = watch(options.folders.map(({ path }) => path), { depth: 2, alwaysStat: true });
    this.#watcher.once('ready', () => {
      this.#ready = true;
      for (const { file } of options.loader.modules) if (!existsSync(file)) this.#changed('unlink', file, undefined);
    });
    this.#watcher.on('all', (event, path, stats) => this.#changed(event, path, stats?.mtimeMs));
    this.#watcher.on('error', (cause) => options.log.error({ code: 'MODULE_FAILED', err: cause }, 'watching modules'));
  }

  /** Loads every file of the watched folders again, whether it changed or not. */
  async reload(): Promise<void> {
    const { loader, folders } = this.#options;
    for (const { kind, file } of loader.modules) {
      if (!folders.some(({ path }) => file.startsWith(resolve(path) + sep))) continue;
      this.#work = this.#work.then(() => this.#load(kind, file));
    }
    await this.#work;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await this.#watcher?.close();
    await this.#work;
  }

  #changed(event: string, path: string, changedAt: number | undefined): void {
    if (event !== 'add' && event !== 'change' && event !== 'unlink') return;
    const found = this.#moduleOf(path);
    if (found === null) return;
    // What is there already was loaded before; what was saved since, until everything was being watched, was not.
    const old = changedAt !== undefined && changedAt < this.#options.loadedAt - clockGrain;
    if (!this.#ready && event === 'add' && old && this.#isLoaded(found.file)) return;
    clearTimeout(this.#timers.get(found.file));
    this.#timers.set(found.file, setTimeout(() => {
      this.#timers.delete(found.file);
      this.#work = this.#work.then(() => this.#load(found.kind, found.file)).catch((cause: unknown) => {
        this.#options.log.error({ code: 'MODULE_FAILED', err: cause, file: found.file }, 'reloading a module');
      });
    }, quiet));
  }

  #isLoaded(file: string): boolean {
    return this.#options.loader.modules.some((each) => each.file === file);
  }

  /** The module that a file is, or belongs to: what lies in a folder beside or below it is loaded along with it. */
  #moduleOf(path: string): { kind: ModuleKind; file: string } | null {
    for (const folder of this.#options.folders) {
      if (!path.startsWith(folder.path)) continue;
      const files = moduleFiles(folder);
      if (files.includes(path)) return { kind: folder.kind, file: path };
      const rest = path.slice(folder.path.length + 1);
      if (!rest.includes('/')) return isModuleFile(path) ? { kind: folder.kind, file: path } : null;
      const top = rest.slice(0, rest.indexOf('/'));
      const owner = files.find((file) => file.slice(folder.path.length + 1).split(/[/.]/)[0] === top);
      return owner === undefined ? null : { kind: folder.kind, file: owner };
    }
    return null;
  }

  async #load(kind: ModuleKind, file: string): Promise<void> {
    const { loader, plane, log, onReloaded } = this.#options;
    if (!existsSync(file)) {
      loader.forget(file);
      log.warn({ code: 'MODULE_FAILED', file }, 'the file of a module is gone; its code serves until a restart');
      return;
    }
    const generation = ++this.#generation;
    const error = await loader.load(kind, file, generation);
    const failed = error ?? await plane.loadModule(loader.loadedFrom(file)!);
    if (failed !== null) {
      if (error === null) {
        loader.undo(file);
        loader.failed(file, failed);
      }
      this.#options.metrics.add(this.#failures, 1);
      log.error({ code: 'MODULE_FAILED', file, text: failed }, 'a module could not be reloaded; the old code goes on serving');
      return;
    }
    log.info({ code: 'MODULE_RELOADED', file, generation }, 'a module was reloaded');
    await onReloaded();
  }
}
