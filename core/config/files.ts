// Several resources files as one configuration: a list of them, or those of a folder. Each keeps its own last good
// version; of an id that stands in two of them, the first file's counts.
import { lstatSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { problem } from '../problem.ts';
import { FileSource, type ConfigEvent, type FileSourceOptions } from './file.ts';
import { joinLists, sameList } from './plugin-list.ts';
import type { FileProblem } from './resource-file.ts';
import { kindNames, type Kind, type Resource } from './resource.ts';
import { filesIn, inOrder, isFolder, looksLikeFile } from './resource-paths.ts';
import { emptyConfig, Listeners, type Config, type ConfigSource } from './source.ts';

type ById = ReadonlyMap<string, Resource>;

/** What the application asks of one file or several. */
export interface ResourceFiles extends ConfigSource {
  /** Each of them was readable at least once. */
  readonly loaded: boolean;
  /** What was refused at the last reading, and what has no effect (yet). */
  readonly problems: readonly FileProblem[];
  readonly warnings: readonly FileProblem[];
  reload(): Promise<void>;
}

export type FilesOptions = Omit<FileSourceOptions, 'path' | 'name'>;

/** A path of a file or folder, or several. Wrong and missing files are reported, not thrown. */
export function openResources(paths: string | readonly string[], options: FilesOptions): Promise<ResourceFiles> {
  if (typeof paths === 'string' && looksLikeFile(paths) && !isFolder(paths)) return FileSource.open({ ...options, path: paths });
  return FilesSource.open([paths].flat(), options);
}

// New and removed files of a folder are found by looking; changes of those that are there come from watching each.
const lookMs = 500;

class FilesSource implements ResourceFiles {
  readonly #paths: readonly string[];
  /** Those of them that were folders once: one that is away for a moment is not a file. */
  readonly #folders = new Set<string>();
  readonly #options: FilesOptions;
  readonly #listeners = new Listeners();
  #sources: ReadonlyMap<string, FileSource> = new Map();
  #stops = new Map<string, () => void>();
  #config: Config = emptyConfig();
  #joinedFrom = new Map<Kind, readonly ById[]>();
  #duplicates = new Set<string>();
  #unreadable = '';
  #loaded = false;
  /** Files that were not there at the last look: gone, or being replaced. */
  #missing = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(paths: readonly string[], options: FilesOptions) {
    this.#paths = paths.map((path) => resolve(path));
    const { references } = options;
    this.#options = {
      ...options,
      // What one file names may stand in another one.
      references: {
        ...references,
        resource: (kind, id) => this.#listed(kind, id)?.value ?? references.resource?.(kind, id),
      },
    };
  }

  static async open(paths: readonly string[], options: FilesOptions): Promise<FilesSource> {
    const files = new FilesSource(paths, options);
    await files.#look(true);
    files.#timer = setInterval(() => void (files.#looking = files.#looking.then(() => files.#look(false))), lookMs);
    return files;
  }

  get config(): Config {
    return this.#config;
  }

  get loaded(): boolean {
    return this.#noteLoaded();
  }

  get problems(): readonly FileProblem[] {
    const duplicates = [...this.#duplicates].map((text) => ({ ...problem([], 'ids of their own', 'one twice', text), line: 1, column: 1, located: text }));
    return [...[...this.#sources.values()].flatMap(({ problems }) => problems), ...duplicates];
  }

  get warnings(): readonly FileProblem[] {
    return [...this.#sources.values()].flatMap(({ warnings }) => warnings);
  }

  onChange(listener: (config: Config) => void): () => void {
    return this.#listeners.add(listener);
  }

  async reload(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look(false));
    await this.#looking;
    for (const source of this.#sources.values()) await source.reload();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#looking;
    for (const stop of this.#stops.values()) stop();
    for (const source of this.#sources.values()) await source.close();
  }

  // Once it is, it stays so: a file that comes later and is wrong takes nothing away from what serves.
  #noteLoaded(): boolean {
    this.#loaded ||= this.#unreadable === '' && [...this.#sources.values()].every(({ loaded }) => loaded);
    return this.#loaded;
  }

  async #look(first: boolean): Promise<void> {
    if (!first) this.#noteLoaded();
    const found = this.#found();
    if (this.#closed || found === null) return;
    const added = found.filter((path) => !this.#sources.has(path));
    const absent = new Set([...this.#sources.keys()].filter((path) => !found.includes(path)));
    const gone = new Set([...absent].filter((path) => this.#missing.has(path)));
    this.#missing = absent;
    if (added.length === 0 && gone.size === 0) return;
    const opened = await this.#open(added);
    const all = new Map([...this.#sources, ...opened]);
    this.#sources = new Map(inOrder([...all.keys()].filter((path) => !gone.has(path))).map((path) => [path, all.get(path)!]));
    for (const path of gone) await this.#close(path, all.get(path)!);
    for (const [path, source] of opened) this.#stops.set(path, source.onChange(() => this.#changed()));
    if (first) this.#config = this.#join();
    else this.#changed();
    // Now that all are there, what still leads nowhere is worth a line.
    for (const source of opened.values()) await source.reload(true);
  }

  /** Null: a folder cannot be read, so nobody knows what is gone. */
  #found(): string[] | null {
    try {
      for (const path of this.#paths) if (isFolder(path)) this.#folders.add(path);
      const found = this.#paths.flatMap((path) => (this.#folders.has(path) ? filesIn(path) : [path]));
      this.#unreadable = '';
      return inOrder(found);
    } catch (error) {
      const text = `${(error as Error).message}; the last good configuration stays`;
      if (text !== this.#unreadable) this.#options.report({ code: 'CONFIG_UNREADABLE', level: 'error', text });
      this.#unreadable = text;
      return null;
    }
  }

  async #open(paths: readonly string[]): Promise<Map<string, FileSource>> {
    const opened = new Map<string, FileSource>();
    let together = true;
    for (const path of paths) {
      const report = (event: ConfigEvent): void => {
        // Taking a file out of a folder is how its resources are taken away: no error, and told when it is sure.
        const takenOut = event.code === 'CONFIG_UNREADABLE' && !this.#paths.includes(path) && !stands(path);
        if (!takenOut && !isFolder(path) && (!together || event.code === 'CONFIG_RELOADED')) this.#options.report(event);
      };
      // Two may have the same name in different folders.
      const name = join(basename(dirname(path)), basename(path));
      opened.set(path, await FileSource.open({ ...this.#options, path, name, report }));
    }
    together = false;
    return opened;
  }

  async #close(path: string, source: FileSource): Promise<void> {
    this.#stops.get(path)?.();
    this.#stops.delete(path);
    await source.close();
    if (this.#folders.has(path)) return;
    this.#options.report({ code: 'CONFIG_RELOADED', level: 'info', text: `${path} is gone, and what stood in it` });
  }

  #changed(): void {
    const next = this.#join();
    const same = kindNames.every((kind) => next.resources[kind] === this.#config.resources[kind]);
    if (same && sameList(next.plugins, this.#config.plugins)) return;
    this.#config = next;
    this.#listeners.tell(next);
  }

  #join(): Config {
    const entries = kindNames.map((kind) => [kind, this.#joinKind(kind)] as const);
    this.#reportDuplicates();
    const plugins = joinLists([...this.#sources.values()].map(({ config }) => config.plugins));
    return {
      revision: this.#config.revision + 1, resources: Object.fromEntries(entries) as unknown as Record<Kind, ById>,
      ...(plugins === undefined ? {} : { plugins }),
    };
  }

  #joinKind(kind: Kind): ById {
    const maps = [...this.#sources.values()].map(({ config }) => config.resources[kind]);
    const before = this.#joinedFrom.get(kind);
    if (before !== undefined && before.length === maps.length && maps.every((map, index) => map === before[index])) {
      return this.#config.resources[kind];
    }
    this.#joinedFrom.set(kind, maps);
    // The first of two counts, so it is set last.
    return new Map(maps.toReversed().flatMap((map) => [...map]));
  }

  #reportDuplicates(): void {
    const now = new Set<string>();
    for (const kind of kindNames) {
      const first = new Map<string, string>();
      for (const [path, { config }] of this.#sources) {
        for (const id of config.resources[kind].keys()) {
          const other = first.get(id);
          if (other === undefined) first.set(id, path);
          // One that is away was renamed, perhaps: the other one is the same under its new name.
          else if (stands(other) && stands(path)) now.add(`${path}: found duplicate id ${id} in ${kind}, which stands in ${other}, too; the one there counts`);
        }
      }
    }
    for (const text of now) if (!this.#duplicates.has(text)) this.#options.report({ code: 'CONFIG_INVALID', level: 'error', text });
    this.#duplicates = now;
  }

  #listed(kind: Kind, id: string): Resource | undefined {
    for (const { config } of this.#sources.values()) {
      const found = config.resources[kind].get(id);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** Also a link that leads nowhere. */
function stands(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
