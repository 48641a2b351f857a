// The certificate files of the settings. The main thread reads them, and again when they change; workers are given what
// is good. A pair that is broken keeps its last good version.
import { readFileSync } from 'node:fs';
import { ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { ListenerSettings } from '../settings.ts';
import type { Credential, Pair } from './credential.ts';
import { FileWatch } from './file-watch.ts';
import { datesOf, wrongPair } from './pem.ts';

/** By `address port` of the listener. */
export type ListenerCertificates = ReadonlyMap<string, readonly Credential[]>;

export interface CertificateFilesOptions {
  readonly listeners: readonly ListenerSettings[];
  readonly log: Logger;
  readonly onChange: (certificates: ListenerCertificates) => void;
}

interface Source {
  readonly listener: string;
  /** `listeners[0].tls.certificates[1]` */
  readonly place: string;
  /** Empty: for whoever nothing else is for. */
  readonly name: string;
  readonly cert: string;
  readonly key: string;
}

/** Characters. */
export const largestFile = 1024 * 1024;

export class CertificateFiles {
  readonly #options: CertificateFilesOptions;
  readonly #sources: readonly Source[];
  readonly #pairs = new Map<Source, Pair>();
  /** What was wrong at last, so that it is said once. */
  readonly #told = new Map<Source, string>();
  #watch: FileWatch | null = null;

  /** Throws SETTINGS_INVALID when a file cannot be used: at the start there is nothing else to serve with. */
  constructor(options: CertificateFilesOptions) {
    this.#options = options;
    this.#sources = options.listeners.flatMap(sourcesOf);
    for (const source of this.#sources) {
      const pair = readPair(source);
      if (typeof pair === 'string') throw new ProxyError('SETTINGS_INVALID', pair);
      this.#take(source, pair);
    }
  }

  get current(): ListenerCertificates {
    const found = new Map<string, Credential[]>();
    for (const [{ listener, place, name }, pair] of this.#pairs) {
      const credential = { source: place, names: [name], pairs: [pair], client: null, versions: null, ciphers: null };
      found.set(listener, [...found.get(listener) ?? [], credential]);
    }
    return found;
  }

  watch(): void {
    if (this.#sources.length === 0) return;
    this.#watch = new FileWatch(this.#sources.flatMap(({ cert, key }) => [cert, key]), {
      onChange: () => this.reload(),
      onError: (cause) => this.#options.log.error({ code: 'CERTIFICATE_INVALID', err: cause }, 'watching certificate files'),
    });
  }

  /** Reads all of them again, and tells when something good is new. */
  reload(): void {
    const { log, onChange } = this.#options;
    let changed = false;
    for (const source of this.#sources) {
      const pair = readPair(source);
      if (typeof pair === 'string') {
        if (this.#told.get(source) !== pair) log.error({ code: 'CERTIFICATE_INVALID', source: source.place }, `${pair}; the last good one is shown`);
        this.#told.set(source, pair);
        continue;
      }
      this.#told.delete(source);
      const old = this.#pairs.get(source);
      if (old?.cert === pair.cert && old.key === pair.key) continue;
      changed = true;
      this.#take(source, pair);
      log.info({ code: 'CERTIFICATE_RELOADED', source: source.place }, 'a certificate was reloaded');
    }
    if (changed) onChange(this.current);
  }

  async close(): Promise<void> {
    await this.#watch?.close();
  }

  #take(source: Source, pair: Pair): void {
    this.#pairs.set(source, pair);
    const dates = datesOf(pair.cert, Date.now());
    if (dates !== null) this.#options.log.warn({ code: 'CERTIFICATE_DATES', source: source.place }, `certificate of ${source.place}: ${dates}`);
  }
}

/** What is wrong with the files of listeners: a text for each, with its place. */
export function wrongFiles(listeners: readonly ListenerSettings[]): string[] {
  return listeners.flatMap(sourcesOf).map(readPair).filter((pair) => typeof pair === 'string');
}

function sourcesOf({ address, port, tls }: ListenerSettings, index: number): Source[] {
  const listener = `${address} ${port}`;
  const place = `listeners[${index}].tls`;
  const named = (tls?.certificates ?? []).map(({ sni, cert, key }, at) => (
    { listener, place: `${place}.certificates[${at}]`, name: sni?.toLowerCase() ?? '', cert, key }));
  if (tls?.cert === undefined || tls.key === undefined) return named;
  return [{ listener, place, name: '', cert: tls.cert, key: tls.key }, ...named];
}

/** A text says what is wrong. */
export function readPair({ place, cert, key }: Pick<Source, 'place' | 'cert' | 'key'>): Pair | string {
  const texts: string[] = [];
  for (const [field, file] of [['cert', cert], ['key', key]] as const) {
    try {
      const text = readFileSync(file, 'utf8');
      if (text.length > largestFile) return `${place}.${field}: ${file}: expected at most ${largestFile} bytes, got ${text.length}`;
      texts.push(text);
    } catch (cause) {
      return `${place}.${field}: ${(cause as Error).message}`;
    }
  }
  const pair = { cert: texts[0]!, key: texts[1]! };
  const wrong = wrongPair(pair);
  if (wrong === null) return pair;
  return `${place}.${wrong.field}: ${wrong.field === 'cert' ? cert : key}: expected ${wrong.expected}, got ${wrong.got}`;
}
