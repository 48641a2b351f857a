// One downstream socket: where it came from, its outbox, and the ways it can end.
import type { Socket } from 'node:net';
import type { ErrorCode } from './errors.ts';
import { Outbox } from './outbox.ts';
import type { ListenerMetrics } from './stream-metrics.ts';
import type { ClientCertificate } from './tls/client-certificate.ts';

/** Facts of a connection that routes are matched on. */
export interface Origin {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Server name of the TLS handshake, lower case. */
  readonly sni: string | null;
  readonly tls: boolean;
  /** What the client showed, on routes that ask for a certificate. */
  readonly certificate?: ClientCertificate;
}

/** What a connection tells whoever serves it. */
export interface Listener {
  /** Bytes are a view, valid until this returns. */
  read(bytes: Buffer, length: number): void;
  /** The client sent its last byte; it may still read. */
  ended(): void;
  /** Everything written was taken by the kernel after it had waited. */
  drained(): void;
  /** The socket is closed; nothing can be read or written any more. */
  gone(): void;
}

const NOTHING = Buffer.alloc(0);
const connection = Symbol('connection');
type Owned = Socket & { [connection]?: Connection };

function ended(this: Socket): void {
  (this as Owned)[connection]?.ended();
}

function drained(this: Socket): void {
  (this as Owned)[connection]?.drained();
}

function failed(this: Socket): void {
  const owner = (this as Owned)[connection];
  if (owner !== undefined) owner.reason ??= 'CLIENT_RESET';
}

function gone(this: Socket): void {
  (this as Owned)[connection]?.gone();
}

export class Connection {
  readonly origin: Origin;
  readonly socket: Socket;
  readonly outbox: Outbox;
  /** Why it ended; set once, before the socket closes. */
  reason: ErrorCode | null = null;
  #listener: Listener | null = null;
  #paused = true;
  /** Of the listener that it came by. */
  readonly metrics: ListenerMetrics;
  /** Called first when it is closed: whoever counts connections. */
  onGone: ((connection: Connection) => void) | null = null;

  constructor(socket: Socket, origin: Origin, metrics: ListenerMetrics) {
    this.socket = socket;
    this.origin = origin;
    this.metrics = metrics;
    this.outbox = new Outbox(socket);
    // Four functions for all connections instead of four closures for each: ten thousand may be idle.
    (socket as Owned)[connection] = this;
    socket.on('end', ended).on('drain', drained).on('error', failed).on('close', gone);
  }

  ended(): void {
    this.#listener?.ended();
  }

  drained(): void {
    this.#listener?.drained();
  }

  gone(): void {
    this.reason ??= 'CLIENT_CLOSED';
    this.onGone?.(this);
    this.#listener?.gone();
  }

  /** From here on `listener` gets what arrives. */
  serve(listener: Listener): void {
    this.#listener = listener;
    if (this.socket.destroyed) queueMicrotask(() => listener.gone());
  }

  read(bytes: Buffer, length: number): void {
    this.#listener?.read(bytes, length);
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.socket.resume();
  }

  /**
   * Whether the client is known to have reset it. Of a socket that is not read, or whose client sent its last byte, the
   * kernel tells that only to who writes; a write of nothing is enough. (With TLS a socket is read while it is paused.)
   */
  lost(): boolean {
    const { socket } = this;
    if (!socket.destroyed && socket.writableLength === 0 && !socket.writableEnded) socket.write(NOTHING);
    return socket.destroyed || socket.errored !== null;
  }

  /** Ends after everything written has left; a client that does not take it is cut after `linger` ms. */
  finish(reason: ErrorCode, linger = 2000): void {
    this.reason ??= reason;
    this.outbox.flush();
    // Reading goes on (and what is read is dropped), so that the client gets our last bytes instead of a reset.
    this.resume();
    this.socket.end();
    const timer = setTimeout(() => this.socket.destroy(), linger);
    timer.unref();
    this.socket.once('close', () => clearTimeout(timer));
    this.socket.once('finish', () => this.socket.destroySoon());
  }

  /** Ends now. */
  destroy(reason: ErrorCode): void {
    this.reason ??= reason;
    this.outbox.flush();
    this.socket.destroy();
  }
}
