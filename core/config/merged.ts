// One configuration out of two sources: the store that the admin API writes and the watched file. The file
// wins.
import type { ConfigEvent } from './file.ts';
import { kindNames, type Kind, type Resource } from './resource.ts';
import { emptyConfig, Listeners, type Config, type ConfigSource } from './source.ts';

type ById = ReadonlyMap<string, Resource>;

export class MergedConfig implements ConfigSource {
  readonly #store: ConfigSource;
  readonly #file: ConfigSource;
  readonly #report: (event: ConfigEvent) => void;
  readonly #listeners = new Listeners();
  readonly #stops: (() => void)[];
  // What each kind was joined from: a kind whose sources did not change keeps its map.
  readonly #joinedFrom = new Map<Kind, readonly [ById, ById]>();
  #shadowed = new Set<string>();
  #config: Config = emptyConfig();

  /** Does not own its sources: closing it leaves them open. */
  constructor(store: ConfigSource, file: ConfigSource, report: (event: ConfigEvent) => void) {
    this.#store = store;
    this.#file = file;
    this.#report = report;
    this.#config = this.#join();
    this.#stops = [store, file].map((source) => source.onChange(() => this.#changed()));
  }

  get config(): Config {
    return this.#config;
  }

  onChange(listener: (config: Config) => void): () => void {
    return this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
  }

  #changed(): void {
    this.#config = this.#join();
    this.#listeners.tell(this.#config);
  }

  #join(): Config {
    const entries = kindNames.map((kind) => [kind, this.#joinKind(kind)] as const);
    this.#reportShadowed();
    const { plugins } = this.#file.config;
    return {
      revision: this.#config.revision + 1, ...(plugins === undefined ? {} : { plugins }),
      resources: Object.fromEntries(entries) as unknown as Record<Kind, ReadonlyMap<string, Resource>>,
    };
  }

  #joinKind(kind: Kind): ReadonlyMap<string, Resource> {
    const store = this.#store.config.resources[kind];
    const file = this.#file.config.resources[kind];
    const [oldStore, oldFile] = this.#joinedFrom.get(kind) ?? [];
    if (oldStore === store && oldFile === file) return this.#config.resources[kind];
    this.#joinedFrom.set(kind, [store, file]);
    return new Map([...store, ...file]);
  }

  #reportShadowed(): void {
    const now = new Set<string>();
    for (const kind of kindNames) {
      const store = this.#store.config.resources[kind];
      for (const id of this.#file.config.resources[kind].keys()) if (store.has(id)) now.add(`${kind} ${id}`);
    }
    for (const name of now) {
      if (this.#shadowed.has(name)) continue;
      const text = `${name} is in the store and in the file; the file wins`;
      this.#report({ code: 'CONFIG_SHADOWED', level: 'warn', text });
    }
    this.#shadowed = now;
  }
}
