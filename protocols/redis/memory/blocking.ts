// Clients blocked on keys (BLPOP and its kin). As in Redis, keys that became ready are served after the
// command that filled them, the longest waiting client first; serving one may make another key ready.
import type { Database } from './database.ts';

export interface Wait {
  readonly database: Database;
  readonly keys: readonly string[];
  /** Tries to answer from this key; false when it still holds nothing of use. */
  readonly serve: (key: string) => boolean;
  /** Called once after `serve` returned true. */
  readonly served: () => void;
}

export class Blocking {
  readonly #waits = new Map<Database, Map<string, Set<Wait>>>();
  #ready: { readonly database: Database; readonly key: string }[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(wait: Wait): void {
    this.#count++;
    let byKey = this.#waits.get(wait.database);
    if (byKey === undefined) this.#waits.set(wait.database, (byKey = new Map()));
    for (const key of wait.keys) {
      const waits = byKey.get(key);
      if (waits === undefined) byKey.set(key, new Set([wait]));
      else waits.add(wait);
    }
  }

  remove(wait: Wait): void {
    this.#count--;
    const byKey = this.#waits.get(wait.database);
    for (const key of wait.keys) {
      const waits = byKey?.get(key);
      waits?.delete(wait);
      if (waits?.size === 0) byKey?.delete(key);
    }
  }

  keyReady(database: Database, key: string): void {
    if (this.#waits.get(database)?.has(key) === true) this.#ready.push({ database, key });
  }

  /** SWAPDB brings many keys at once. */
  databaseReady(database: Database): void {
    for (const key of this.#waits.get(database)?.keys() ?? []) this.#ready.push({ database, key });
  }

  serveReady(): void {
    while (this.#ready.length > 0) {
      const ready = this.#ready;
      this.#ready = [];
      for (const { database, key } of ready) {
        // A copy: those served leave the set.
        for (const wait of Array.from(this.#waits.get(database)?.get(key) ?? [])) {
          if (wait.serve(key)) wait.served();
        }
      }
    }
  }
}
