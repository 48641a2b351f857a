// All that one worker shows to clients: certificates of the configuration and of the settings' files. Listeners ask
// for each handshake anew, so a change holds from the next one on, and open connections never notice.
import type { Resource } from '../config/resource.ts';
import type { TlsVersion } from '../config/schemas/ssl.ts';
import type { Logger } from '../log.ts';
import type { ListenerSettings } from '../settings.ts';
import type { ListenerCertificates } from './certificate-files.ts';
import { CredentialBook } from './credential.ts';
import { Handshakes, type HandshakeEvents } from './handshakes.ts';
import { datesOf } from './pem.ts';

export interface CertificatesOptions {
  readonly log: Logger;
  readonly files: ListenerCertificates;
  /** Keys of session tickets are made from it: the same in all workers, new with each start. */
  readonly ticketSecret: Uint8Array;
  /** Milliseconds for a handshake. */
  readonly timeout: number;
  /** Of several workers only one says it. */
  readonly warns: boolean;
}

const versions: readonly TlsVersion[] = ['TLSv1.2', 'TLSv1.3'];
const empty = new CredentialBook([]);

export class Certificates {
  readonly #options: CertificatesOptions;
  #ssls: ReadonlyMap<string, Resource> = new Map();
  #shared = empty;
  #own: ReadonlyMap<string, CredentialBook> = new Map();

  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.setFiles(options.files);
  }

  setFiles(files: ListenerCertificates): void {
    this.#own = new Map([...files].map(([listener, credentials]) => [listener, new CredentialBook(credentials)]));
  }

  follow(ssls: ReadonlyMap<string, Resource>): void {
    if (ssls === this.#ssls) return;
    if (this.#options.warns) for (const [id, ssl] of ssls) if (this.#ssls.get(id) !== ssl) this.#warn(ssl);
    this.#ssls = ssls;
    this.#shared = CredentialBook.of(ssls);
  }

  handshakes({ address, port, tls }: ListenerSettings, events: HandshakeEvents): Handshakes {
    const { log, timeout, ticketSecret } = this.#options;
    const { min_version: least = versions[0]!, max_version: latest = versions[1]! } = tls ?? {};
    return new Handshakes({
      log, timeout, events,
      secret: ticketSecret,
      versions: versions.filter((version) => version >= least && version <= latest),
      ciphers: tls?.ciphers ?? null,
      fallbackSni: tls?.fallback_sni?.toLowerCase() ?? null,
      books: () => [this.#own.get(`${address} ${port}`) ?? empty, this.#shared],
    });
  }

  #warn({ id, value }: Resource): void {
    if (value['status'] === 0) return;
    for (const cert of [value['cert'], ...(value['certs'] as string[] | undefined ?? [])]) {
      const dates = datesOf(String(cert), Date.now());
      if (dates !== null) this.#options.log.warn({ code: 'CERTIFICATE_DATES', source: `ssls/${id}` }, `certificate of ssls/${id}: ${dates}`);
    }
  }
}
