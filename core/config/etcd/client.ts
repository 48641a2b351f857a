// What the store needs of etcd, over its JSON gateway (v3): ranges, transactions, leases, watches. Keys and values
// travel as base64, numbers as decimal texts.
import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { foreignAnswer } from './foreign-answer.ts';

export interface EtcdOptions {
  /** `http://127.0.0.1:2379`; asked in turn, beginning with the one that answered last. */
  readonly endpoints: readonly string[];
  readonly username?: string;
  readonly password?: string;
  /** Milliseconds for one answer. */
  readonly timeout: number;
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer; readonly verify: boolean };
}

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface WatchEvent extends KeyValue {
  readonly deleted: boolean;
}

export interface Batch {
  readonly events: readonly WatchEvent[];
  readonly revision: number;
}

/** What etcd answered with instead of a result. */
export class EtcdError extends Error {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.name = 'EtcdError';
    this.status = status;
  }
}

export interface Watching {
  close(): void;
}

export interface WatchHandlers {
  onBatch(batch: Batch): void;
  /** The revision to begin with is no longer kept: everything has to be read again. */
  onCompacted(): void;
  /** It is over, for whatever reason but `close`. */
  onEnd(cause: unknown): void;
}

// A watch sends nothing for hours when nothing changes; a connection that died without a word is found by asking for
// progress now and then.
const progressEvery = 10_000;
const longestLine = 64 * 1024 * 1024;

export class EtcdClient {
  readonly #options: EtcdOptions;
  readonly #agents: readonly [HttpAgent, HttpsAgent];
  #current = 0;
  #token: string | null = null;

  constructor(options: EtcdOptions) {
    this.#options = options;
    const { ca, cert, key, verify = true } = options.tls ?? { verify: true };
    this.#agents = [
      new HttpAgent({ keepAlive: true }),
      new HttpsAgent({
        keepAlive: true, rejectUnauthorized: verify,
        ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }),
      }),
    ];
  }

  close(): void {
    for (const agent of this.#agents) agent.destroy();
  }

  /** All keys that begin so, of one moment. */
  async range(prefix: string): Promise<{ readonly revision: number; readonly list: readonly KeyValue[] }> {
    const { header, kvs = [] } = await this.call('/v3/kv/range', { key: encode(prefix), range_end: encode(after(prefix)) });
    return { revision: Number(header.revision), list: kvs.map(keyValue) };
  }

  /** Does all operations if all comparisons hold. */
  async transaction(compare: readonly object[], success: readonly object[]): Promise<{ readonly succeeded: boolean; readonly revision: number }> {
    const { header, succeeded = false } = await this.call('/v3/kv/txn', { compare, success });
    return { succeeded, revision: Number(header.revision) };
  }

  async lease(seconds: number): Promise<string> {
    const { ID: id } = await this.call('/v3/lease/grant', { TTL: String(seconds) });
    return String(id);
  }

  watch(prefix: string, from: number, handlers: WatchHandlers): Watching {
    let closed = false;
    let request: ClientRequest | null = null;
    const end = (cause: unknown): void => {
      if (closed) return;
      closed = true;
      request?.destroy();
      handlers.onEnd(cause);
    };
    const begin = async (): Promise<void> => {
      const body = JSON.stringify({ create_request: {
        key: encode(prefix), range_end: encode(after(prefix)), start_revision: String(from), progress_notify: true,
      } });
      request = this.#request('/v3/watch', await this.#authorized());
      request.setTimeout(progressEvery * 6 * 10, () => end(new Error('etcd sent nothing for ten minutes')));
      request.on('error', end);
      request.on('response', (response) => this.#follow(response, handlers, end));
      request.end(body);
    };
    begin().catch(end);
    return { close: () => { closed = true; request?.destroy(); } };
  }

  #follow(response: IncomingMessage, handlers: WatchHandlers, end: (cause: unknown) => void): void {
    let rest = '';
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
      rest += text;
      if (rest.length > longestLine) return end(new Error('a message of etcd is too long'));
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() !== '') this.#message(line, handlers, end);
    });
    response.on('end', () => end(new Error('etcd ended the watch')));
    response.on('error', end);
    response.on('aborted', () => end(new Error('the connection to etcd was lost')));
  }

  #message(line: string, handlers: WatchHandlers, end: (cause: unknown) => void): void {
    let message: any;
    try {
      message = JSON.parse(line);
    } catch {
      return end(new Error('etcd sent what is not JSON'));
    }
    const { result, error } = message;
    if (error !== undefined) {
      this.#token = null;
      return end(new EtcdError(String(error.message ?? error.http_status ?? 'watch refused'), 0));
    }
    if (result?.compact_revision !== undefined) return handlers.onCompacted();
    if (result?.canceled === true) {
      this.#token = null;
      return end(new EtcdError(String(result.cancel_reason ?? 'etcd cancelled the watch'), 0));
    }
    const events = (result?.events ?? []).map(({ type, kv }: any): WatchEvent => ({ ...keyValue(kv), deleted: type === 'DELETE' }));
    handlers.onBatch({ events, revision: Number(result?.header?.revision ?? 0) });
  }

  /** Tries every endpoint once. */
  async call(path: string, body: object): Promise<any> {
    let failure: unknown;
    for (let tries = 0; tries < this.#options.endpoints.length; tries++) {
      try {
        return await this.#once(path, body, true);
      } catch (cause) {
        if (cause instanceof EtcdError && cause.status < 500) throw cause;
        failure = cause;
        this.#current = (this.#current + 1) % this.#options.endpoints.length;
      }
    }
    throw failure;
  }

  async #once(path: string, body: object, again: boolean): Promise<any> {
    const headers = path === '/v3/auth/authenticate' ? {} : await this.#authorized();
    try {
      return await this.#answer(path, body, headers);
    } catch (cause) {
      const stale = cause instanceof EtcdError && /auth token|revision of auth store is old/i.test(cause.message);
      if (!again || !stale) throw cause;
      this.#token = null;
      return this.#once(path, body, false);
    }
  }

  async #authorized(): Promise<Record<string, string>> {
    const { username, password } = this.#options;
    if (username === undefined || password === undefined) return {};
    this.#token ??= String((await this.#once('/v3/auth/authenticate', { name: username, password }, false)).token);
    return { authorization: this.#token };
  }

  #answer(path: string, body: object, headers: Record<string, string>): Promise<any> {
    return new Promise((resolve, reject) => {
      const request = this.#request(path, headers);
      request.setTimeout(this.#options.timeout, () => request.destroy(new Error(`no answer in ${this.#options.timeout} ms`)));
      request.on('error', reject);
      request.on('response', (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          const status = response.statusCode ?? 0;
          try {
            const parsed = JSON.parse(text);
            if (status === 200) resolve(parsed);
            else reject(new EtcdError(String(parsed.message ?? parsed.error ?? `status ${status}`), status));
          } catch {
            reject(new EtcdError(foreignAnswer(status, text), status === 200 ? 502 : status));
          }
        });
      });
      request.end(JSON.stringify(body));
    });
  }

  #request(path: string, headers: Record<string, string>): ClientRequest {
    const url = new URL(path, this.#options.endpoints[this.#current]);
    const tls = url.protocol === 'https:';
    const make = tls ? httpsRequest : httpRequest;
    return make(url, { method: 'POST', agent: this.#agents[tls ? 1 : 0], headers: { 'content-type': 'application/json', ...headers } });
  }
}

function keyValue({ key = '', value = '', create_revision: created = 0, mod_revision: modified = 0 }: any): KeyValue {
  return { key: decode(key), value: decode(value), createRevision: Number(created), modRevision: Number(modified) };
}

export function encode(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8');
}

/** The first key that does not begin so: the end of a range of all that do. */
function after(prefix: string): string {
  const bytes = Buffer.from(prefix, 'latin1');
  bytes[bytes.length - 1]!++;
  return bytes.toString('latin1');
}
