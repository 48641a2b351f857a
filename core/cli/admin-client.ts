// Asks a running Millrace through its Admin API, for commands that show what it does.
import { existsSync, readFileSync } from 'node:fs';
import { loadSettings } from '../settings.ts';

export interface AdminOptions {
  /** Settings of the process that is asked. */
  readonly config?: string;
  /** `http://127.0.0.1:9180`; default: that of the settings. */
  readonly admin?: string;
}

export class AdminClient {
  readonly url: string;
  readonly #key: string;

  private constructor(url: string, key: string) {
    this.url = url;
    this.#key = key;
  }

  /** Throws an Error that says what is missing. */
  static open({ config, admin }: AdminOptions): AdminClient {
    const file = config ?? (existsSync('millrace.yaml') ? 'millrace.yaml' : null);
    const { settings, problems } = loadSettings(file, process.env);
    if (settings === null) throw new Error(problems.map(({ located }) => located).join('\n'));
    const { address, port, key = process.env['MILLRACE_ADMIN_KEY'], key_file: keyFile } = settings.admin;
    const host = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
    const url = admin?.replace(/\/+$/, '') ?? `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
    return new AdminClient(url, key ?? keyOf(keyFile));
  }

  /** JSON, or the text of what is none. Throws an Error with what the API said. */
  async get(path: string): Promise<any> {
    let response: Response;
    try {
      response = await fetch(this.url + path, { headers: { 'X-API-KEY': this.#key }, signal: AbortSignal.timeout(10_000) });
    } catch (error) {
      const { cause } = error as { cause?: { code?: string } };
      throw new Error(`${this.url} does not answer (${cause?.code ?? (error as Error).message}). Is Millrace running there? --admin URL names another one`, { cause: error });
    }
    const text = await response.text();
    if (!response.ok) throw new Error(`${this.url}${path}: status ${response.status}: ${text.slice(0, 500)}`);
    return /json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : text;
  }
}

function keyOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    throw new Error(`no admin key: expected MILLRACE_ADMIN_KEY or the file ${path}`);
  }
}
