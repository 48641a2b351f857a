// Takes resources away whose time is over. One timer, for the next of them.
import type { Logger } from '../log.ts';
import { kindNames, type Resource } from './resource.ts';
import type { Config, Store } from './source.ts';

/** Ms between two looks at the clock, which may be set meanwhile. */
const longestWait = 10_000;
/** After a failure, in ms; twice as long after each further one. */
const retryAfter = 1000;
const longestRetry = 60_000;

export class Expiry {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #stop: () => void;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #failures = 0;

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
    this.#stop = store.onChange((config) => this.#wait(config));
    this.#wait(store.config);
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    clearTimeout(this.#timer);
  }

  #wait(config: Config): void {
    clearTimeout(this.#timer);
    const next = Math.min(...ending(config).map(({ expiresAt }) => expiresAt));
    if (this.#closed || next === Infinity) return;
    this.#again(Math.max(0, next * 1000 - Date.now()));
  }

  #again(wait: number): void {
    this.#timer = setTimeout(() => void this.#remove(), Math.min(wait, longestWait));
    this.#timer.unref();
  }

  async #remove(): Promise<void> {
    const now = Date.now() / 1000;
    const over = ending(this.#store.config).filter(({ expiresAt }) => expiresAt <= now);
    if (over.length === 0) return this.#wait(this.#store.config);
    try {
      // Written again in the meantime, it has another revision and stays.
      const done = await this.#store.write(over.map(({ kind, id, modifiedIndex }) => (
        { kind, id, value: null, revision: modifiedIndex })));
      if (done.outcome === 'conflict') return this.#again(retryAfter);
      for (const { kind, id } of over) this.#log.info({ kind, id, revision: done.revision }, 'its time to live is over');
      this.#failures = 0;
    } catch (error) {
      this.#log.error({ code: 'STORE_FAILED', err: error }, 'resources whose time is over could not be taken away');
      if (!this.#closed) this.#again(Math.min(longestRetry, retryAfter * 2 ** this.#failures++));
    }
  }
}

type Ending = Resource & { readonly expiresAt: number };

function ending(config: Config): Ending[] {
  return kindNames.flatMap((kind) => [...config.resources[kind].values()].filter((each): each is Ending => each.expiresAt !== undefined));
}
