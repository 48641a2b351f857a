// One record a datagram.
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Targets } from '../../../core/plugin.ts';
import type { Sink } from '../sink.ts';

/** The most that a UDP datagram can carry over IPv4. */
const longestDatagram = 65_507;

export interface UdpOptions {
  readonly targets: Targets;
  readonly host: string;
  readonly port: number;
  /** Milliseconds for finding the address. */
  readonly timeout: number;
}

export class UdpSink implements Sink {
  readonly #options: UdpOptions;
  #socket: Socket | null = null;

  constructor(options: UdpOptions) {
    this.#options = options;
  }

  async send(records: readonly string[]): Promise<number> {
    const socket = this.#socket ?? await this.#open();
    let lost = 0;
    for (const record of records) {
      const bytes = Buffer.from(record);
      if (bytes.length > longestDatagram) lost++;
      else await this.#sendOne(socket, bytes);
    }
    return lost;
  }

  #sendOne(socket: Socket, bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      socket.send(bytes, (cause) => {
        if (cause === null) return resolve();
        // Another address may answer to the name by now.
        this.#drop(socket);
        reject(cause);
      });
    });
  }

  async #open(): Promise<Socket> {
    const { port } = this.#options;
    const { host, lookup } = this.#options.targets.dial(this.#options.host, port);
    const address = await new Promise<string>((resolve, reject) => {
      lookup(host, {}, (cause, found) => (cause === null ? resolve(found as string) : reject(cause)));
    });
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    // "Nobody listens" arrives as an error of the socket after a send; the next send reports it, too.
    socket.on('error', () => {});
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.connect(port, address, () => { socket.off('error', reject); resolve(); });
    });
    socket.unref();
    this.#socket = socket;
    return socket;
  }

  #drop(socket: Socket): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    socket.close();
  }

  async close(): Promise<void> {
    if (this.#socket !== null) this.#drop(this.#socket);
  }
}
