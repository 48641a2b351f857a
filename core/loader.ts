// Imports plugins and protocols: ours and those of the configured folders, by the same road. A changed file is
// imported anew; the old code serves until the new one is known to be good.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { basename, dirname, extname, join, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { moduleError } from './module-error.ts';
import { formatBySyntax } from './module-format.ts';
import { provideSources, recordSources, type Source, type Sources } from './module-sources.ts';
import type { ModuleStatus } from './plane.ts';
import type { Plugin } from './plugin.ts';
import type { Protocol } from './protocol.ts';
import type { Registered, Registry } from './registry.ts';

export type ModuleKind = 'plugin' | 'protocol';

export interface ModuleFolder {
  readonly kind: ModuleKind;
  readonly path: string;
}

/** What another thread needs to run the same code. */
export interface LoadedModule {
  readonly kind: ModuleKind;
  readonly file: string;
  readonly generation: number;
  readonly sources: Sources;
}

const here = dirname(fileURLToPath(import.meta.url));
const ending = extname(fileURLToPath(import.meta.url));

/** The folders that come with Millrace. */
export const builtIn: readonly ModuleFolder[] = [
  { kind: 'plugin', path: join(here, '..', 'plugins') },
  { kind: 'protocol', path: join(here, '..', 'protocols') },
];

// A file outside of the package finds us without being installed beside us, and a reloaded file takes its own files
// along: they get its version.
const own: Readonly<Record<string, string>> = {
  millrace: pathToFileURL(join(here, `api${ending}`)).href,
  'millrace/protocol': pathToFileURL(join(here, `protocol-api${ending}`)).href,
};
registerHooks({
  resolve(specifier, context, next) {
    const ours = own[specifier];
    if (ours !== undefined) return { url: ours, shortCircuit: true };
    const found = next(specifier, context);
    const format = formatBySyntax(found.url, found.format);
    const resolved = format === found.format ? found : { ...found, format };
    const version = /[?&]v=(\d+)$/.exec(context.parentURL ?? '')?.[1];
    const relative = specifier.startsWith('./') || specifier.startsWith('../');
    if (version === undefined || !relative || !resolved.url.startsWith('file:') || inPackage(resolved.url)) return resolved;
    return { ...resolved, url: `${resolved.url}?v=${version}` };
  },
});

const packageRoot = pathToFileURL(join(here, '..') + sep).href;
function inPackage(url: string): boolean {
  return ['core/', 'protocols/', 'plugins/', 'admin/'].some((folder) => url.startsWith(packageRoot + folder));
}

/** The module files of a folder: `name.ts`, `name.js`, or for protocols also `name/index.ts`. */
export function moduleFiles({ kind, path }: ModuleFolder): string[] {
  if (!existsSync(path)) return [];
  const files: string[] = [];
  for (const name of readdirSync(path).toSorted()) {
    const full = join(path, name);
    if (isModuleFile(full)) files.push(full);
    else if (kind === 'protocol' && statSync(full).isDirectory()) {
      const index = ['index.ts', 'index.js'].map((file) => join(full, file)).find((file) => existsSync(file));
      if (index !== undefined) files.push(index);
    }
  }
  return files;
}

export function isModuleFile(path: string): boolean {
  const name = basename(path);
  return /\.(ts|js|mts|mjs)$/.test(name) && !name.endsWith('.d.ts') && !/\.test\.\w+$/.test(name) && !name.startsWith('.');
}

export class Loader {
  readonly #registry: Registry;
  readonly #status = new Map<string, ModuleStatus>();
  readonly #loaded = new Map<string, LoadedModule>();
  /** Of the first generation, whose files share what they import. */
  readonly #first = new Map<string, Source>();
  /** By file: puts back what its last load replaced. */
  readonly #undo = new Map<string, () => void>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  get modules(): readonly ModuleStatus[] {
    return [...this.#status.values()];
  }

  /** Those that serve, as they were when they were loaded. */
  get loaded(): readonly LoadedModule[] {
    return [...this.#loaded.values()];
  }

  loadedFrom(file: string): LoadedModule | undefined {
    return this.#loaded.get(file);
  }

  /** Loads every module of the folders. What fails is in `modules`, with the reason. */
  async loadAll(folders: readonly ModuleFolder[]): Promise<void> {
    for (const folder of folders) {
      for (const file of moduleFiles(folder)) await this.load(folder.kind, file, 1);
    }
  }

  /**
   * Imports a file and registers what it exports. Null: it serves; a text: the old code goes on serving. With `from` the
   * texts are those of another thread, not those on the disk.
   */
  async load(kind: ModuleKind, file: string, generation: number, from?: Sources): Promise<string | null> {
    const before = this.#status.get(file);
    const loading = from === undefined ? recordSources(generation === 1 ? this.#first : new Map<string, Source>(), inPackage) : provideSources(from);
    try {
      const url = pathToFileURL(file).href + (generation > 1 ? `?v=${generation}` : '');
      const { default: value } = await import(url) as { default?: unknown };
      const name = kind === 'plugin' ? this.#plugin(value, file, generation) : this.#protocol(value, file, generation);
      this.#status.set(file, { kind, name, file, generation, error: null });
      this.#keep({ kind, file, generation, sources: loading.sources });
      return null;
    } catch (cause) {
      const error = moduleError(cause, file, inPackage);
      this.#status.set(file, {
        kind, name: before?.name ?? basename(file, extname(file)), file, generation: before?.generation ?? 0, error,
      });
      return error;
    } finally {
      loading.stop();
    }
  }

  #keep(module: LoadedModule): void {
    const { file, generation } = module;
    const before = this.#loaded.get(file);
    if (before?.generation === generation) return;
    this.#loaded.set(file, module);
    const undo = this.#undo.get(file);
    if (before !== undefined && undo !== undefined) this.#undo.set(file, () => { undo(); this.#loaded.set(file, before); });
  }

  /** It was imported, but a route could not be built with it. */
  failed(file: string, error: string): void {
    const before = this.#status.get(file);
    if (before !== undefined) this.#status.set(file, { ...before, error });
  }

  /** What the file exported before its last load serves again. */
  undo(file: string): void {
    this.#undo.get(file)?.();
    this.#undo.delete(file);
  }

  #replacing<T>(map: Map<string, Registered<T>>, name: string, file: string, generation: number): void {
    const before = map.get(name);
    // The same generation: this thread loads it for itself after it loaded it to see whether it is good.
    if (before === undefined || before.generation === generation) return;
    this.#undo.set(file, () => {
      map.set(name, before);
      this.#registry.version++;
    });
  }

  /** The file is gone: what it exported serves on where it is configured, until a restart. */
  forget(file: string): void {
    const before = this.#status.get(file);
    if (before !== undefined) this.#status.set(file, { ...before, error: 'the file is gone' });
  }

  #plugin(value: unknown, file: string, generation: number): string {
    const plugin = value as Plugin;
    need(value, 'plugin', { name: 'string', priority: 'number', schema: 'object', setup: 'function' });
    if (Object.hasOwn(plugin.schema['properties'] as object ?? {}, '_meta')) throw new Error('schema: found forbidden property _meta');
    this.#unclaimed(this.#registry.plugins.get(plugin.name)?.file, plugin.name, file);
    this.#replacing(this.#registry.plugins, plugin.name, file, generation);
    this.#registry.addPlugin(plugin, file, generation);
    return plugin.name;
  }

  #protocol(value: unknown, file: string, generation: number): string {
    const protocol = value as Protocol;
    need(value, 'protocol', { name: 'string', schema: 'object', door: 'object', backend: 'function' });
    this.#unclaimed(this.#registry.protocols.get(protocol.name)?.file, protocol.name, file);
    this.#replacing(this.#registry.protocols, protocol.name, file, generation);
    this.#registry.addProtocol(protocol, file, generation);
    return protocol.name;
  }

  /** A copy of a file must not silently replace the original. */
  #unclaimed(owner: string | undefined, name: string, file: string): void {
    if (owner !== undefined && owner !== file && existsSync(owner)) {
      throw new Error(`name: expected one that is free, got "${name}", which ${owner} has`);
    }
  }
}

function need(value: unknown, kind: string, fields: Readonly<Record<string, string>>): void {
  if (typeof value !== 'object' || value === null) {
    throw new Error(`default export: expected a ${kind}, got ${value === undefined ? 'nothing' : typeof value}`);
  }
  for (const [field, type] of Object.entries(fields)) {
    const got = (value as Record<string, unknown>)[field];
    if (typeof got !== type || got === null || got === '') {
      throw new Error(`${field}: expected ${type === 'string' ? 'a text' : type}, got ${got === undefined ? 'nothing' : typeof got}`);
    }
  }
}
