// A connection's MULTI state: what is queued, what is watched, and whether EXEC may still run.
import type { Command } from './command.ts';
import type { Database, Watcher } from './database.ts';

export interface Queued {
  readonly command: Command;
  readonly args: readonly Buffer[];
}

export class Transaction implements Watcher {
  /** Null outside of MULTI. */
  queue: Queued[] | null = null;
  /** A command was refused while queueing: EXEC answers EXECABORT. */
  broken = false;
  /** A watched key changed: EXEC answers nil. */
  conflict = false;
  #watched: { readonly database: Database; readonly key: string }[] = [];

  begin(): void {
    this.queue = [];
  }

  /** Ends MULTI and WATCH. */
  end(): void {
    this.queue = null;
    this.broken = false;
    this.unwatch();
  }

  watch(database: Database, key: string): void {
    if (this.#watched.some((watched) => watched.database === database && watched.key === key)) return;
    // Looking removes a key that has expired already, so that its removal later is no conflict.
    database.get(key);
    database.watch(key, this);
    this.#watched.push({ database, key });
  }

  unwatch(): void {
    for (const { database, key } of this.#watched) database.unwatch(key, this);
    this.#watched = [];
    this.conflict = false;
  }

  /** Removes watched keys that have expired since, which is a conflict. */
  checkExpiry(): void {
    for (const { database, key } of this.#watched) database.get(key);
  }

  keyChanged(): void {
    this.conflict = true;
  }
}
