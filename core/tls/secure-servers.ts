// TLS ends for the connections of one listener: one per certificate and server name, made when a client first asks for
// it. A session ticket is good at the end that gave it and nowhere else: nobody resumes under another name, with another
// certificate, or past a client certificate that is asked for.
import { constants, createHash, hkdfSync } from 'node:crypto';
import { Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { TlsVersion } from '../config/schemas/ssl.ts';
import type { Credential } from './credential.ts';

/** What a listener says about its handshakes. */
export interface HandshakeRules {
  readonly versions: readonly TlsVersion[];
  readonly ciphers: string | null;
  /** Milliseconds. */
  readonly timeout: number;
  /** Session tickets' keys come from it; the same in all workers. */
  readonly secret: Uint8Array;
}

export interface SecureEvents {
  readonly onSecure: (socket: TLSSocket, credential: Credential) => void;
  readonly onFailed: (cause: Error, socket: TLSSocket, credential: Credential) => void;
}

/** Names under one `*.` are any number. */
const most = 512;

export class SecureServers {
  readonly #rules: HandshakeRules;
  readonly #events: SecureEvents;
  /** The one that was not asked for the longest time is first. */
  readonly #servers = new Map<string, { readonly credential: Credential; readonly server: Server }>();

  constructor(rules: HandshakeRules, events: SecureEvents) {
    this.#rules = rules;
    this.#events = events;
  }

  /** Null: it and the listener have no TLS version in common. Throws when the certificate cannot be used. */
  for(credential: Credential, name: string): Server | null {
    const key = `${credential.source} ${name}`;
    const known = this.#servers.get(key);
    this.#servers.delete(key);
    if (known?.credential === credential) {
      this.#servers.set(key, known);
      return known.server;
    }
    const server = this.#make(credential, name);
    if (server === null) return null;
    this.#servers.set(key, { credential, server });
    if (this.#servers.size > most) this.#servers.delete(this.#servers.keys().next().value!);
    return server;
  }

  #make(credential: Credential, name: string): Server | null {
    const versions = this.#rules.versions.filter((version) => credential.versions?.includes(version) ?? true).toSorted();
    const [minVersion, maxVersion] = [versions[0], versions.at(-1)];
    if (minVersion === undefined || maxVersion === undefined) return null;
    const ciphers = credential.ciphers ?? this.#rules.ciphers;
    const server = new Server({
      pauseOnConnect: true,
      allowHalfOpen: true,
      handshakeTimeout: this.#rules.timeout,
      cert: credential.pairs.map(({ cert }) => cert),
      key: credential.pairs.map(({ key }) => key),
      minVersion,
      maxVersion,
      ...(ciphers === null ? {} : { ciphers }),
      ...ticketsOf(credential, name, this.#rules.secret),
      ...clientOptions(credential),
    });
    server.on('secureConnection', (socket) => this.#events.onSecure(socket, credential));
    server.on('tlsClientError', (cause, socket) => this.#events.onFailed(cause, socket, credential));
    return server;
  }
}

function ticketsOf(credential: Credential, name: string, secret: Uint8Array): TlsOptions {
  const { pairs, client, versions, ciphers } = credential;
  const what = createHash('sha256').update(JSON.stringify([name, pairs, client, versions, ciphers])).digest();
  return {
    ticketKeys: Buffer.from(hkdfSync('sha256', secret, what, 'session tickets', 48)),
    sessionIdContext: what.toString('hex').slice(0, 32),
  };
}

/** Nobody who must show a certificate resumes: it is looked at anew for each connection. */
function clientOptions({ client }: Credential): TlsOptions {
  if (client === null) return {};
  return {
    ca: client.ca, requestCert: true, rejectUnauthorized: true, secureOptions: constants.SSL_OP_NO_TICKET,
    ...(client.revoked === null ? {} : { crl: [...client.revoked] }),
  };
}
