// A port that clients connect to: accepts, counts, finds the route, runs its connect hooks, opens the door.
import { createServer, type Server, type Socket } from 'node:net';
import { Connection, type Origin } from './connection.ts';
import { endpoint, unixClient } from './endpoint.ts';
import type { Engine } from './engine.ts';
import { runConnectHooks } from './connect-hooks.ts';
import { ProxyError, type ErrorCode } from './errors.ts';
import { adoptAccepted, readData } from './inlet.ts';
import { holderOf } from './network.ts';
import type { Protocol } from './protocol.ts';
import { leftEarly, readProxyHeader, type ProxyAddresses } from './proxy-header.ts';
import type { Route } from './route.ts';
import type { ListenerMetrics } from './stream-metrics.ts';
import { listenFailure } from './taken-ports.ts';
import type { Greeted, HandshakeEvents, Handshakes } from './tls/handshakes.ts';
import { RefusalLog } from './tls/refusal-log.ts';
import { listenUnix, type UnixSettings } from './unix-listener.ts';

export interface ListenerOptions {
  /** `unix:/path` of a Unix socket, whose port is 0. */
  readonly address: string;
  readonly port: number;
  /** Null: a port. */
  readonly unix: UnixSettings | null;
  /** Null: no TLS. */
  readonly handshakes: ((events: HandshakeEvents) => Handshakes) | null;
  /** Whose PROXY header is believed, and must be there; null: nobody sends one. */
  readonly balancers: ((address: string) => boolean) | null;
  /** Several workers listen on the same port. */
  readonly reusePort: boolean;
  readonly engine: Engine;
  /** Connections per listener and per client address of this worker. */
  readonly clients: number;
  readonly perAddress: ClientCounter;
  readonly route: (origin: Origin) => Route | null;
  readonly protocol: (name: string) => Protocol | undefined;
}

/** Log lines a second about clients that no route matches. */
const mostUnroutedLines = 10;
/** TLS handshakes under way per listener of a worker. */
const mostHandshakes = 1000;

/** Connections per client address; who has one IPv6 address has as many as he likes, so a /64 is one. */
export class ClientCounter {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  take(address: string): boolean {
    const holder = holderOf(address);
    const count = this.#counts.get(holder) ?? 0;
    if (count >= this.#most) return false;
    this.#counts.set(holder, count + 1);
    return true;
  }

  giveBack(address: string): void {
    const holder = holderOf(address);
    const count = this.#counts.get(holder) ?? 0;
    if (count <= 1) this.#counts.delete(holder);
    else this.#counts.set(holder, count - 1);
  }
}

export class PortListener {
  readonly options: ListenerOptions;
  readonly #server: Server;
  #clients = 0;
  /** TLS: connections, those whose handshake is under way among them. */
  #raw = 0;
  /** Connections whose PROXY header did not come yet. */
  #announcing = 0;
  readonly #refusals: RefusalLog;
  #lastRefusal = 0;
  /** Clients without a route in the second that began then. */
  #unrouted = 0;
  #unroutedSince = -Infinity;
  /** While it listens. */
  #metrics!: ListenerMetrics;
  /** Removes the file of a Unix socket. */
  #unlink: (() => void) | null = null;

  constructor(options: ListenerOptions) {
    this.options = options;
    this.#refusals = new RefusalLog(options.engine.log);
    const sockets = { pauseOnConnect: true, allowHalfOpen: true, noDelay: true } as const;
    const behind = new WeakMap<Socket, ProxyAddresses>();
    /** Of handshakes: a socket that is closed knows it no more. */
    const clients = new WeakMap<Socket, string>();
    const handshakes = options.handshakes?.({
      onSecure: (socket, raw, greeted) => this.#accepted(socket, greeted, behind.get(raw)),
      onFailed: (code, raw) => {
        const from = clients.get(raw) ?? this.#from(raw);
        this.#turnedAway(code, '', from);
        return from;
      },
    });
    const begin = (socket: Socket, addresses?: ProxyAddresses): void => {
      if (handshakes === undefined) return this.#accepted(socket, null, addresses);
      if (addresses !== undefined) behind.set(socket, addresses);
      clients.set(socket, addresses?.remoteAddress ?? this.#from(socket));
      if (this.#mayShakeHands(socket)) handshakes.begin(socket);
    };
    this.#server = createServer(sockets, options.balancers === null ? (socket) => begin(socket) : (socket) => this.#announced(socket, begin));
  }

  /** A connection of a balancer, which says first whose it is. */
  #announced(socket: Socket, begin: (socket: Socket, addresses?: ProxyAddresses) => void): void {
    const { engine, balancers, clients } = this.options;
    const from = this.#from(socket);
    const refuse = (text: string): void => {
      socket.destroy();
      this.#turnedAway('PROXY_HEADER', '', from);
      // Balancers that see whether a port is open connect and leave.
      if (text === leftEarly) engine.log.debug({ code: 'PROXY_HEADER', remote_addr: from }, text);
      else this.#refusals.warn('PROXY_HEADER', { remote_addr: from }, `a connection was closed for its PROXY header: ${text}`);
    };
    socket.on('error', () => undefined);
    if (!balancers!(from)) return refuse('it comes from an address that is not trusted');
    if (this.#announcing >= clients) return refuse('too many of them are waited for');
    this.#announcing++;
    readProxyHeader(socket, engine.limits.requestTimeout)
      .then(({ addresses }) => begin(socket, addresses ?? undefined), (error: Error) => refuse(error.message))
      .finally(() => { this.#announcing--; });
  }

  async listen(): Promise<number> {
    const { address, port, reusePort, unix } = this.options;
    if (unix !== null) {
      // Clients may come before it is known that all went well.
      this.#metrics = this.options.engine.streams.listener(address);
      try {
        this.#unlink = await listenUnix(this.#server, unix);
      } catch (cause) {
        this.#metrics.release();
        throw cause;
      }
      this.#reportErrors();
      return port;
    }
    return new Promise((resolve, reject) => {
      const failed = (cause: Error): void => reject(listenFailure(address, port, cause));
      this.#server.once('error', failed);
      this.#server.listen({ host: address, port, backlog: 4096, reusePort }, () => {
        this.#server.off('error', failed);
        const at = this.#server.address();
        const open = typeof at === 'object' && at !== null ? at.port : port;
        this.#metrics = this.options.engine.streams.listener(endpoint(address, open));
        this.#reportErrors();
        resolve(open);
      });
    });
  }

  /** EMFILE and the like: the process goes on serving those it has. */
  #reportErrors(): void {
    const { engine, address, port } = this.options;
    this.#server.on('error', (cause) => engine.log.error({ code: 'LISTEN_FAILED', err: cause, address, port }, 'listener'));
  }

  /** Accepts nobody any more; open connections go on. */
  close(): void {
    this.#server.close();
    this.#metrics.release();
    this.#unlink?.();
    this.#unlink = null;
  }

  /** It ended before it had a session. */
  #turnedAway(code: ErrorCode, route: string, from: string): void {
    this.options.engine.connectionEnded(code, route, from);
    this.#metrics.ended(code, null);
  }

  #from(socket: Socket): string {
    return this.options.unix === null ? plain(socket.remoteAddress ?? '') : unixClient;
  }

  readonly #gone = (connection: Connection): void => {
    this.#clients--;
    this.options.perAddress.giveBack(connection.origin.remoteAddress);
    connection.metrics.closed();
  };

  /** Handshakes cost much, and whoever begins one is not counted as a client yet. */
  #mayShakeHands(raw: Socket): boolean {
    const { clients } = this.options;
    this.#raw++;
    raw.once('close', () => { this.#raw--; });
    if (this.#raw - this.#clients <= Math.min(clients, mostHandshakes)) return true;
    raw.destroy();
    this.#turnedAway('TOO_MANY_CONNECTIONS', '', this.#from(raw));
    return false;
  }

  #accepted(socket: Socket, greeted: Greeted | null, announced?: ProxyAddresses): void {
    const { engine, perAddress, unix, address } = this.options;
    const origin: Origin = {
      remoteAddress: this.#from(socket),
      remotePort: socket.remotePort ?? 0,
      localAddress: unix === null ? plain(socket.localAddress ?? '') : address,
      localPort: socket.localPort ?? this.options.port,
      ...(announced === undefined ? {} : announcedAs(announced, this.options)),
      sni: greeted?.sni ?? null,
      tls: greeted !== null,
      ...(greeted === null || greeted.certificate === null ? {} : { certificate: greeted.certificate }),
    };
    if (origin.remoteAddress === '') {
      // It was reset before it was accepted.
      socket.destroy();
      return;
    }
    let connection: Connection | null = null;
    const sink = (bytes: Buffer, length: number): void => connection?.read(bytes, length);
    // Behind a header there may be bytes already, which an adopted socket would not see.
    const adopted = greeted === null && this.options.balancers === null ? adoptAccepted(socket, sink) : readData(socket, sink);
    connection = new Connection(adopted, origin, this.#metrics);
    const { clients } = this.options;
    if (engine.crowded) {
      this.#refuse(connection, 'MEMORY_LIMIT', this.options.route(origin));
      return;
    }
    if (this.#clients >= clients || !perAddress.take(origin.remoteAddress)) {
      this.#refuse(connection, 'TOO_MANY_CONNECTIONS', this.options.route(origin));
      return;
    }
    this.#clients++;
    this.#metrics.opened();
    connection.onGone = this.#gone;
    const route = this.options.route(origin);
    if (route === null || route.plan === null) {
      this.#notHit(origin);
      this.#refuse(connection, 'NO_ROUTE', null);
      return;
    }
    this.#open(connection, route);
  }

  /** A port scan must not fill a disk: a second has so many lines, and the next one says how many more there were. */
  #notHit({ remoteAddress, localAddress, localPort, sni }: Origin): void {
    const { log, clock } = this.options.engine;
    const now = clock.now();
    if (now - this.#unroutedSince > 1000) {
      const count = this.#unrouted - mostUnroutedLines;
      if (count > 0) log.info({ code: 'NO_ROUTE', server_port: localPort, count }, 'more clients that hit no route');
      this.#unroutedSince = now;
      this.#unrouted = 0;
    }
    if (++this.#unrouted > mostUnroutedLines) return;
    log.info({ code: 'NO_ROUTE', remote_addr: remoteAddress, server_addr: localAddress, server_port: localPort, sni }, 'not hit any route');
  }

  #open(connection: Connection, route: Route): void {
    const { engine } = this.options;
    const protocol = this.options.protocol(route.protocol);
    if (protocol === undefined || route.plan === null) return this.#refuse(connection, 'NO_ROUTE', null);
    const { plan } = route;
    const session = protocol.door.open(connection, route, engine);
    connection.serve(session);
    if (plan.connect.length === 0) {
      connection.resume();
      session.opened();
      return;
    }
    void runConnectHooks(plan.connect, session, engine.limits.requestTimeout).then((refused) => {
      if (session.closed) return;
      if (refused === null) {
        connection.resume();
        session.opened();
        return;
      }
      const bytes = protocol.door.refuse?.(refused.message) ?? null;
      if (bytes !== null && refused.code !== 'CONNECTION_REFUSED') connection.outbox.append(bytes, 0, bytes.length);
      session.end(refused.code);
    });
  }

  #refuse(connection: Connection, code: ErrorCode, route: Route | null): void {
    const { engine } = this.options;
    const protocol = route === null ? undefined : this.options.protocol(route.protocol);
    const bytes = protocol?.door.refuse?.(new ProxyError(code).message) ?? null;
    if (bytes === null) {
      connection.destroy(code);
    } else {
      connection.outbox.append(bytes, 0, bytes.length);
      connection.finish(code, 200);
    }
    this.#turnedAway(code, route?.id ?? '', connection.origin.remoteAddress);
    const now = engine.clock.now();
    if (code !== 'NO_ROUTE' && now - this.#lastRefusal > 1000) {
      this.#lastRefusal = now;
      engine.log.warn({ code, remote_addr: connection.origin.remoteAddress }, 'connection refused');
    }
  }
}

/** Routes go by the port or Unix socket that is ours: what the balancer listened on says nothing here. */
function announcedAs(
  { remoteAddress, remotePort, localAddress }: ProxyAddresses, { unix, address, port }: Pick<ListenerOptions, 'unix' | 'address' | 'port'>,
): Partial<Origin> {
  return { remoteAddress: plain(remoteAddress), remotePort, localAddress: unix === null ? plain(localAddress) : address, localPort: port };
}

/** IPv4 clients of an IPv6 socket are named as what they are. */
function plain(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
