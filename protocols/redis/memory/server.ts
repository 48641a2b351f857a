// A small Redis of our own, in memory, for demo and development only: no persistence, no passwords, no
// replication. It answers like Redis 7.0.15 so that docs, demos and tests have an upstream where no Redis is
// installed. Known differences: CLIENT SETINFO is accepted (as from 7.2 on); HSCAN, SSCAN and ZSCAN return
// everything at once; QUIT and protocol errors close the connection also under CLIENT REPLY OFF, where Redis
// leaves it open and deaf.
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { Connection } from './connection.ts';
import { Engine } from './engine.ts';

const SWEEP_INTERVAL = 100;
/** maxclients. */
const MAX_CONNECTIONS = 10_000;

export class MemoryRedis {
  readonly #engine: Engine;
  readonly #sweeper: NodeJS.Timeout;
  #server: Server | null = null;
  #lastId = 0;

  /** `now` is the time of day in Unix milliseconds: keys expire by it. */
  constructor({ now = Date.now }: { now?: () => number } = {}) {
    this.#engine = new Engine(now);
    this.#sweeper = setInterval(() => this.#engine.sweep(), SWEEP_INTERVAL);
    this.#sweeper.unref();
  }

  /** Serves one connected stream until either end closes it. */
  accept(socket: Duplex): void {
    const { connections } = this.#engine;
    if (connections.size >= MAX_CONNECTIONS) {
      socket.on('error', () => socket.destroy());
      socket.end('-ERR max number of clients reached\r\n');
      return;
    }
    const connection = new Connection(++this.#lastId, socket, this.#engine);
    connections.set(connection.id, connection);
    this.#engine.connectionsReceived++;
  }

  /** Listens; resolves with the port, a free one when `port` is 0. */
  async listen(port = 0, host = '127.0.0.1'): Promise<number> {
    if (this.#server !== null) throw new Error(`already listening on port ${this.#engine.port}`);
    const server = createServer({ noDelay: true }, (socket) => this.accept(socket));
    this.#server = server;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => {
          server.off('error', reject);
          resolve();
        });
      });
    } catch (cause) {
      this.#server = null;
      throw cause;
    }
    this.#engine.port = (server.address() as AddressInfo).port; // a TCP server's address is never a string
    return this.#engine.port;
  }

  /** Closes the listener and all connections; what the databases hold stays until the object is let go. */
  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    for (const connection of this.#engine.connections.values()) connection.close();
    const server = this.#server;
    this.#server = null;
    if (server !== null) await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}
