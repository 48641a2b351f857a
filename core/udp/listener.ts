// A UDP port: datagrams of one client address and port are a session, as a connection is.
import { createSocket, type RemoteInfo, type Socket as DatagramSocket } from 'node:dgram';
import { isIPv6, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { Connection, type Origin } from '../connection.ts';
import { endpoint } from '../endpoint.ts';
import type { Engine } from '../engine.ts';
import type { ErrorCode } from '../errors.ts';
import { runConnectHooks } from '../connect-hooks.ts';
import type { ClientCounter } from '../listener.ts';
import type { Route } from '../route.ts';
import type { ListenerMetrics } from '../stream-metrics.ts';
import { listenFailure } from '../taken-ports.ts';
import { UdpSession } from './session.ts';

export interface UdpListenerOptions {
  readonly address: string;
  readonly port: number;
  readonly reusePort: boolean;
  readonly engine: Engine;
  /** Sessions of this worker on this listener, and per client address. */
  readonly clients: number;
  readonly perAddress: ClientCounter;
  readonly route: (origin: Origin) => Route | null;
}

const refusalEvery = 1000;

export class UdpListener {
  readonly #options: UdpListenerOptions;
  readonly #socket: DatagramSocket;
  readonly #sessions = new Map<string, UdpSession>();
  #port = 0;
  #closing = false;
  #closed = false;
  /** While it listens. */
  #metrics: ListenerMetrics | null = null;
  #lastRefusal = -Infinity;

  constructor(options: UdpListenerOptions) {
    this.#options = options;
    this.#socket = createSocket({ type: isIPv6(options.address) ? 'udp6' : 'udp4', reusePort: options.reusePort });
  }

  listen(): Promise<number> {
    const { address, port, engine } = this.#options;
    return new Promise((resolve, reject) => {
      const failed = (cause: Error): void => reject(listenFailure(address, port, cause));
      this.#socket.once('error', failed);
      this.#socket.bind(port, address, () => {
        this.#socket.off('error', failed);
        this.#socket.on('error', (cause) => engine.log.error({ code: 'LISTEN_FAILED', err: cause, port }, 'listener'));
        this.#socket.on('message', (bytes, from) => this.#received(bytes, from));
        this.#port = this.#socket.address().port;
        this.#metrics = engine.streams.listener(endpoint(address, this.#port));
        resolve(this.#port);
      });
    });
  }

  /** Begins nothing new; sessions go on, and the port is given up with the last of them. */
  close(): void {
    this.#closing = true;
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (!this.#closing || this.#closed || this.#sessions.size > 0) return;
    this.#closed = true;
    this.#socket.close();
    this.#metrics?.release();
  }

  #received(bytes: Buffer, { address, port }: RemoteInfo): void {
    const key = `${address} ${port}`;
    const known = this.#sessions.get(key);
    if (known !== undefined) return known.read(bytes, bytes.length);
    if (!this.#closing) this.#begin(key, bytes, address, port);
  }

  #begin(key: string, first: Buffer, remoteAddress: string, remotePort: number): void {
    const { engine, clients, perAddress, address } = this.#options;
    const metrics = this.#metrics!;
    const origin: Origin = { remoteAddress, remotePort, localAddress: address, localPort: this.#port, sni: null, tls: false };
    const route = this.#options.route(origin);
    // A protocol of requests frames a stream; a datagram is none.
    if (route === null || route.plan === null || route.protocol !== 'tcp') return this.#refuse('NO_ROUTE', origin);
    if (engine.crowded) return this.#refuse('MEMORY_LIMIT', origin);
    if (this.#sessions.size >= clients || !perAddress.take(remoteAddress)) return this.#refuse('TOO_MANY_CONNECTIONS', origin);
    const connection = new Connection(new Peer() as unknown as Socket, origin, metrics);
    metrics.opened();
    connection.onGone = () => {
      metrics.closed();
      perAddress.giveBack(remoteAddress);
      this.#sessions.delete(key);
      this.#closeIfDone();
    };
    const session = new UdpSession(connection, route, engine);
    session.reply = (bytes) => this.#socket.send(bytes, remotePort, remoteAddress);
    this.#sessions.set(key, session);
    connection.serve(session);
    session.read(first, first.length);
    const places = route.plan.connect;
    if (places.length === 0) return session.opened();
    void runConnectHooks(places, session, engine.limits.requestTimeout).then((refused) => {
      if (session.closed) return;
      if (refused === null) session.opened();
      else session.destroy(refused.code);
    });
  }

  #refuse(code: ErrorCode, origin: Origin): void {
    const { engine } = this.#options;
    engine.connectionEnded(code, '', origin.remoteAddress);
    this.#metrics?.ended(code, null);
    const now = engine.clock.now();
    if (now - this.#lastRefusal < refusalEvery) return;
    this.#lastRefusal = now;
    engine.log.info({ code, remote_addr: origin.remoteAddress, server_port: origin.localPort }, 'a datagram was dropped');
  }
}

/** What stands for the client's socket: it can end, and nothing else. */
class Peer extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, done: () => void): void { done(); }
  destroySoon(): void { this.destroy(); }
}
