// From an accepted socket to a TLS connection: reads the client's hello ahead, finds the certificate for its name, and
// lets the TLS library do the rest. Certificates may change at any time; a handshake takes those of its moment.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { TlsVersion } from '../config/schemas/ssl.ts';
import type { ErrorCode } from '../errors.ts';
import type { Logger } from '../log.ts';
import { longestHello, readClientHello } from './client-hello.ts';
import { clientCertificateOf, depthOf, type ClientCertificate } from './client-certificate.ts';
import { findCredential, type Credential, type CredentialBook } from './credential.ts';
import { RefusalLog } from './refusal-log.ts';
import { SecureServers } from './secure-servers.ts';

export interface HandshakesOptions {
  readonly versions: readonly TlsVersion[];
  readonly ciphers: string | null;
  /** Stands for the name of a client that sends none. */
  readonly fallbackSni: string | null;
  /** Milliseconds that a client has. */
  readonly timeout: number;
  readonly secret: Uint8Array;
  /** As they are at the moment: what is in the first goes before. */
  readonly books: () => readonly CredentialBook[];
  readonly log: Logger;
  readonly events: HandshakeEvents;
}

export interface HandshakeEvents {
  readonly onSecure: (socket: TLSSocket, raw: Socket, greeted: Greeted) => void;
  /** Answers the client's address: a balancer may have told it, and a socket that is closed has none. */
  readonly onFailed: (code: ErrorCode, raw: Socket) => string;
}

/** What became known of a client while it shook hands. */
export interface Greeted {
  readonly sni: string | null;
  readonly certificate: ClientCertificate | null;
}

/** RFC 8446, 6.2. */
const alerts = { protocol_version: 70, internal_error: 80, unrecognized_name: 112 } as const;

export class Handshakes {
  readonly #options: HandshakesOptions;
  readonly #servers: SecureServers;
  readonly #log: RefusalLog;
  /** Of handshakes under way, and of the connections that came of them. */
  readonly #names = new WeakMap<Socket, string | null>();

  constructor(options: HandshakesOptions) {
    this.#options = options;
    this.#log = new RefusalLog(options.log);
    this.#servers = new SecureServers(options, {
      onSecure: (socket, credential) => this.#secured(socket, credential),
      onFailed: (cause, socket, credential) => this.#broke(cause, socket, credential),
    });
  }

  /** Takes a paused socket. */
  begin(raw: Socket): void {
    let bytes: Buffer | null = null;
    const timer = setTimeout(() => failed(tooLate()), this.#options.timeout);
    const ended = (): void => failed(new Error('the client left before its hello was complete'));
    const stop = (): void => {
      clearTimeout(timer);
      raw.off('data', read).off('end', ended).off('close', ended);
    };
    const failed = (cause: Error): void => {
      stop();
      this.#refuse(raw, 'TLS_FAILED', null, cause);
      raw.destroy();
    };
    const read = (chunk: Buffer): void => {
      bytes = bytes === null ? chunk : Buffer.concat([bytes, chunk]);
      const hello = bytes.length > longestHello ? 'garbage' : readClientHello(bytes);
      if (hello === 'more') return;
      stop();
      raw.pause();
      raw.unshift(bytes);
      this.#greet(raw, hello === 'garbage' ? null : hello.name, hello === 'garbage');
    };
    raw.on('error', () => undefined);
    raw.on('data', read).on('end', ended).on('close', ended);
    raw.resume();
  }

  #greet(raw: Socket, sent: string | null, garbage: boolean): void {
    const name = sent ?? this.#options.fallbackSni;
    const credential = findCredential(this.#options.books(), name);
    if (garbage && credential === undefined) {
      this.#refuse(raw, 'TLS_FAILED', null, new Error('the client sent no TLS hello'));
      raw.destroy();
    } else if (credential === undefined) {
      if (name === null) this.#refuse(raw, 'TLS_NO_SNI', name, undefined, 'failed to find SNI');
      else this.#refuse(raw, 'TLS_NO_CERTIFICATE', name);
      alert(raw, 'unrecognized_name');
    } else {
      this.#hand(raw, name, credential);
    }
  }

  #hand(raw: Socket, name: string | null, credential: Credential): void {
    try {
      const server = this.#servers.for(credential, name ?? '');
      if (server === null) {
        this.#refuse(raw, 'TLS_FAILED', name, new Error(`the listener takes none of the TLS versions of ${credential.source}`));
        alert(raw, 'protocol_version');
        return;
      }
      this.#names.set(raw, name);
      server.emit('connection', raw);
    } catch (cause) {
      this.#refuse(raw, 'CERTIFICATE_INVALID', name, cause as Error, `${credential.source} cannot be used`);
      alert(raw, 'internal_error');
    }
  }

  #secured(socket: TLSSocket, { client }: Credential): void {
    const raw = underlying(socket);
    const sni = this.#names.get(raw);
    if (sni === undefined) {
      socket.destroy();
      return;
    }
    const certificate = client === null ? null : clientCertificateOf(socket);
    if (client !== null) {
      const depth = depthOf(socket, client.ca);
      const wrong = certificate === null || !socket.authorized ? 'it was not verified'
        : depth === null || depth > client.depth ? `its chain is longer than ${client.depth}` : null;
      if (wrong !== null) {
        this.#refuse(raw, 'TLS_CLIENT_REFUSED', sni, undefined, `client certificate refused: ${wrong}`);
        socket.destroy();
        return;
      }
    }
    this.#options.events.onSecure(socket, raw, { sni, certificate });
  }

  #broke(cause: Error & { code?: string }, socket: TLSSocket, { client }: Credential): void {
    const raw = underlying(socket);
    // Node leaves it open, also after its handshake took too long.
    socket.destroy();
    const untrusted = socket.authorizationError as Error | string | null | undefined;
    const none = cause.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
    const sni = this.#names.get(raw) ?? null;
    if (client !== null && (none || (untrusted ?? null) !== null)) {
      this.#refuse(raw, 'TLS_CLIENT_REFUSED', sni, undefined, `client certificate refused: ${none ? 'it showed none' : String(untrusted)}`);
    } else {
      this.#refuse(raw, 'TLS_FAILED', sni, cause);
    }
  }

  #refuse(raw: Socket, code: ErrorCode, sni: string | null, cause?: Error, text?: string): void {
    const from = this.#options.events.onFailed(code, raw);
    const record = { sni, remote_addr: from, ...(cause === undefined ? {} : { err: cause }) };
    // Scanners and clients that leave are everyday life.
    if (code === 'TLS_FAILED') this.#options.log.debug({ code, ...record }, 'TLS handshake failed');
    else this.#log.warn(code, record, text ?? `failed to match any SSL certificate by SNI: ${sni}`);
  }
}

/** The socket that a TLS socket was made on. Node has no public name for it; where it is not known, nobody is let in. */
function underlying(socket: TLSSocket): Socket {
  // oxlint-disable-next-line no-underscore-dangle
  return (socket as TLSSocket & { _parent?: Socket })._parent ?? socket;
}

/** As Node says it of the rest of the handshake. */
function tooLate(): Error {
  return Object.assign(new Error('TLS handshake timeout'), { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' });
}

/** Says why, in the clear as nothing else was agreed on, and closes. */
function alert(raw: Socket, name: keyof typeof alerts): void {
  const timer = setTimeout(() => raw.destroy(), 1000);
  timer.unref();
  raw.once('close', () => clearTimeout(timer));
  // What it sends meanwhile is dropped; left unread, it would turn our close into a reset.
  raw.resume();
  raw.end(Buffer.from([21, 3, 3, 0, 2, 2, alerts[name]]));
  raw.once('finish', () => raw.destroySoon());
}
