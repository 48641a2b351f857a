// Tells that files may have changed: soon after a change, and now and then in case a watch missed one.
import { watch, type FSWatcher } from 'chokidar';

// Whoever replaces both files of a pair does it one after the other.
const quiet = 200;
// Finds what a watch missed: network mounts, folders that were replaced.
const poll = 30_000;

export interface FileWatchEvents {
  readonly onChange: () => void;
  readonly onError: (cause: unknown) => void;
}

export class FileWatch {
  readonly #watcher: FSWatcher;
  readonly #poll: NodeJS.Timeout;
  #timer: NodeJS.Timeout | null = null;

  constructor(files: readonly string[], { onChange, onError }: FileWatchEvents) {
    this.#watcher = watch([...files], { ignoreInitial: true });
    this.#watcher.on('all', () => {
      this.#timer ??= setTimeout(() => {
        this.#timer = null;
        onChange();
      }, quiet);
    });
    this.#watcher.on('error', onError);
    this.#poll = setInterval(onChange, poll);
    this.#poll.unref();
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    clearInterval(this.#poll);
    await this.#watcher.close();
  }
}
