// What all connections of one server share.
import { Blocking } from './blocking.ts';
import { Channels } from './channels.ts';
import { Database } from './database.ts';
import type { Connection } from './connection.ts';

const DATABASES = 16;
/** Keys looked at per database and sweep. */
const SWEEP_KEYS = 200;

export class Engine {
  readonly now: () => number;
  readonly startedAt: number;
  readonly blocking = new Blocking();
  readonly channels = new Channels();
  readonly connections = new Map<number, Connection>();
  readonly databases: readonly Database[];
  /** Port of the listener; 0 while connections only come through `accept`. */
  port = 0;
  commandsProcessed = 0;
  connectionsReceived = 0;
  #unflushed = new Set<Connection>();
  #resumed = new Set<Connection>();

  constructor(now: () => number) {
    this.now = now;
    this.startedAt = now();
    this.databases = Array.from({ length: DATABASES }, (_, index) =>
      new Database(index, now, (database, key) => this.blocking.keyReady(database, key)));
  }

  /** This connection has bytes to send at the end of the turn. */
  wrote(connection: Connection): void {
    this.#unflushed.add(connection);
  }

  /** This connection is no longer blocked: what it sent meanwhile runs at the end of the turn. */
  resume(connection: Connection): void {
    this.#resumed.add(connection);
  }

  /**
   * Ends a turn: runs what unblocked clients had pipelined, then sends each connection's replies in one
   * write.
   */
  settle(): void {
    for (const connection of this.#resumed) {
      this.#resumed.delete(connection);
      connection.process();
    }
    for (const connection of this.#unflushed) connection.flush();
    this.#unflushed.clear();
  }

  sweep(): void {
    for (const database of this.databases) database.sweep(SWEEP_KEYS);
  }
}
