// The certificate files of the Admin API: read at the start, and again when they change. Broken ones change nothing.
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server, TlsOptions } from 'node:tls';
import { ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Settings } from '../settings.ts';
import { largestFile, readPair } from './certificate-files.ts';
import type { Pair } from './credential.ts';
import { FileWatch } from './file-watch.ts';
import { datesOf, wrongCertificates } from './pem.ts';
import { RefusalLog } from './refusal-log.ts';

export type AdminTlsSettings = NonNullable<Settings['admin']['tls']>;

const place = 'admin.tls';

interface Files extends Pair {
  /** Null: clients show no certificate. */
  readonly clientCa: string | null;
}

export class AdminCertificate {
  readonly #settings: AdminTlsSettings;
  readonly #log: Logger;
  #files: Files;
  #watch: FileWatch | null = null;
  #server: Server | null = null;
  /** What was wrong at last, so that it is said once. */
  #told = '';

  /** Throws SETTINGS_INVALID. */
  constructor(settings: AdminTlsSettings, log: Logger) {
    this.#settings = settings;
    this.#log = log;
    const files = readFiles(settings);
    if (typeof files === 'string') throw new ProxyError('SETTINGS_INVALID', files);
    this.#files = files;
    this.#sayDates();
  }

  get options(): TlsOptions {
    const { cert, key, clientCa } = this.#files;
    const usual = { cert, key, minVersion: 'TLSv1.2', handshakeTimeout: 10_000 } as const;
    if (clientCa === null) return usual;
    // Nobody resumes: the certificate is looked at anew for each connection.
    return { ...usual, ca: clientCa, requestCert: true, rejectUnauthorized: true, secureOptions: constants.SSL_OP_NO_TICKET };
  }

  /** The server that was made with the options has newer ones from now on; its failed handshakes are logged. */
  keepOn(server: Server): void {
    this.#server = server;
    const refusals = new RefusalLog(this.#log);
    server.on('tlsClientError', (cause: Error & { readonly code?: string }, { remoteAddress: address = '' }) => {
      refusals.warn('ADMIN_DENIED', { address, reason: cause.code ?? cause.message }, 'a TLS handshake with the Admin API failed');
    });
    const { cert, key, client_ca: clientCa } = this.#settings;
    this.#watch = new FileWatch([cert, key, ...(clientCa === undefined ? [] : [clientCa])], {
      onChange: () => this.reload(),
      onError: (cause) => this.#log.error({ code: 'CERTIFICATE_INVALID', err: cause }, 'watching certificate files'),
    });
  }

  /** Reads the files again, and tells when something good is new. */
  reload(): void {
    const files = readFiles(this.#settings);
    if (typeof files === 'string') {
      if (files !== this.#told) this.#log.error({ code: 'CERTIFICATE_INVALID', source: place }, `${files}; the last good one is shown`);
      this.#told = files;
      return;
    }
    this.#told = '';
    const { cert, key, clientCa } = this.#files;
    if (files.cert === cert && files.key === key && files.clientCa === clientCa) return;
    this.#files = files;
    this.#server?.setSecureContext(this.options);
    this.#log.info({ code: 'CERTIFICATE_RELOADED', source: place }, 'a certificate was reloaded');
    this.#sayDates();
  }

  async close(): Promise<void> {
    await this.#watch?.close();
  }

  #sayDates(): void {
    const dates = datesOf(this.#files.cert, Date.now());
    if (dates !== null) this.#log.warn({ code: 'CERTIFICATE_DATES', source: place }, `certificate of ${place}: ${dates}`);
  }
}

/** What is wrong with the files: a text with its place; null: nothing. */
export function wrongAdminFiles(settings: AdminTlsSettings | undefined): string | null {
  if (settings === undefined) return null;
  const files = readFiles(settings);
  return typeof files === 'string' ? files : null;
}

/** A text says what is wrong. */
function readFiles({ cert, key, client_ca: file }: AdminTlsSettings): Files | string {
  const pair = readPair({ place, cert, key });
  if (typeof pair === 'string') return pair;
  if (file === undefined) return { ...pair, clientCa: null };
  try {
    const clientCa = readFileSync(file, 'utf8');
    const wrong = clientCa.length > largestFile ? `${clientCa.length} bytes` : wrongCertificates(clientCa);
    if (wrong === null) return { ...pair, clientCa };
    return `${place}.client_ca: ${file}: expected certificates in PEM, at most ${largestFile} bytes, got ${wrong}`;
  } catch (cause) {
    return `${place}.client_ca: ${(cause as Error).message}`;
  }
}
