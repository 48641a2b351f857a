// Asks a running Millrace through its Admin API, for commands that show what it does.
import { existsSync, readFileSync } from 'node:fs';
import { loadSettings } from '../settings.ts';
import { certificatesIn } from '../tls/pem.ts';
import { pinnedFetch, type Fetched } from './pinned-fetch.ts';

export interface AdminOptions {
  /** Settings of the process that is asked. */
  readonly config?: string;
  /** `http://127.0.0.1:9180`; default: that of the settings. */
  readonly admin?: string;
}

export class AdminClient {
  readonly url: string;
  readonly #key: string;
  /** What the server shows, as its settings say; null: whatever the system trusts. */
  readonly #certificate: string | null;

  private constructor(url: string, key: string, certificate: string | null) {
    this.url = url;
    this.#key = key;
    this.#certificate = certificate;
  }

  /** Throws an Error that says what is missing. */
  static open({ config, admin }: AdminOptions): AdminClient {
    const file = config ?? (existsSync('millrace.yaml') ? 'millrace.yaml' : null);
    const { settings, problems } = loadSettings(file, process.env);
    if (settings === null) throw new Error(problems.map(({ located }) => located).join('\n'));
    const { address, port, key = process.env['MILLRACE_ADMIN_KEY'], key_file: keyFile, tls } = settings.admin;
    const host = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
    const url = admin?.replace(/\/+$/, '') ?? `${tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
    // Whoever names another process knows its certificate otherwise.
    const certificate = tls === undefined || admin !== undefined ? null : certificateOf(tls.cert);
    return new AdminClient(url, key ?? keyOf(keyFile), certificate);
  }

  /** JSON, or the text of what is none. Throws an Error with what the API said. */
  async get(path: string): Promise<any> {
    let response: Fetched;
    try {
      response = await this.#fetch(path);
    } catch (error) {
      const { cause = error as { code?: string } } = error as { cause?: { code?: string } };
      throw new Error(`${this.url} does not answer (${cause.code ?? (error as Error).message}). Is Millrace running there? --admin URL names another one`, { cause: error });
    }
    const { ok, status, type, text } = response;
    if (!ok) throw new Error(`${this.url}${path}: status ${status}: ${text.slice(0, 500)}`);
    return type.includes('json') ? JSON.parse(text) : text;
  }

  async #fetch(path: string): Promise<Fetched> {
    const headers = { 'X-API-KEY': this.#key };
    if (this.#certificate !== null) return pinnedFetch(this.url + path, headers, this.#certificate);
    const response = await fetch(this.url + path, { headers, signal: AbortSignal.timeout(10_000) });
    const { ok, status } = response;
    return { ok, status, type: response.headers.get('content-type') ?? '', text: await response.text() };
  }
}

function certificateOf(path: string): string {
  try {
    // Of a chain only the server's own: those above it have signed others, too.
    const [own] = certificatesIn(readFileSync(path, 'utf8'));
    if (own === undefined) throw new Error(`${path}: expected a certificate in PEM, got none`);
    return own.toString();
  } catch (error) {
    throw new Error(`admin.tls.cert: ${(error as Error).message}`, { cause: error });
  }
}

function keyOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    throw new Error(`no admin key: expected MILLRACE_ADMIN_KEY or the file ${path}`);
  }
}
