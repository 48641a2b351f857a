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

// A watch may be silent for long: etcd tells its progress every ten minutes. A peer that died without a word is found
// by the sockets' keepalive, much sooner.
const keepaliveAfter = 10_000;
const longestSilence = 21 * 60_000;
const longestLine = 64 * 1024 * 1024;
/** Of one answer: ten thousands of resources with certificates are less. */
const longestAnswer = 256 * 1024 * 1024;

export class EtcdClient {
  readonly #options: EtcdOptions;
  readonly #agents: readonly [HttpAgent, HttpsAgent];
  #current = 0;
  #token: string | null = null;

  constructor(options: EtcdOptions) {
    this.#options = options;
    const { ca, cert, key, verify } = options.tls ?? { verify: true };
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
    return { revision: revisionIn(header), list: kvs.map(keyValue) };
  }

  /** Does all operations if all comparisons hold. */
  async transaction(compare: readonly object[], success: readonly object[]): Promise<{ readonly succeeded: boolean; readonly revision: number }> {
    const { header, succeeded = false } = await this.call('/v3/kv/txn', { compare, success });
    return { succeeded, revision: revisionIn(header) };
  }

  async lease(seconds: number): Promise<string> {
    const { ID: id } = await this.call('/v3/lease/grant', { TTL: String(seconds) });
    return String(id);
  }

  watch(prefix: string, from: number, handlers: WatchHandlers): Watching {
    let closed = false;
    let request: ClientRequest | null = null;
    const close = (): void => {
      closed = true;
      request?.destroy();
    };
    const end = (cause: unknown): void => {
      if (closed) return;
      close();
      handlers.onEnd(cause);
    };
    // Of what was read before a close the rest is nobody's.
    const take = (line: string): void => {
      if (closed) return;
      try {
        this.#message(line, handlers);
      } catch (cause) {
        end(cause);
      }
    };
    const begin = async (): Promise<void> => {
      const body = JSON.stringify({ create_request: {
        key: encode(prefix), range_end: encode(after(prefix)), start_revision: String(from), progress_notify: true,
      } });
      const headers = await this.#authorized();
      if (closed) return;
      request = this.#request('/v3/watch', headers);
      const { timeout } = this.#options;
      const late = setTimeout(() => end(new Error(`no answer in ${timeout} ms`)), timeout);
      request.on('error', end).on('close', () => clearTimeout(late));
      request.on('response', (response) => {
        clearTimeout(late);
        request?.setTimeout(longestSilence, () => end(new Error(`etcd sent nothing for ${longestSilence / 60_000} minutes`)));
        followLines(response, take, end);
      });
      request.end(body);
    };
    begin().catch(end);
    return { close };
  }

  /** Throws what ends the watch. */
  #message(line: string, handlers: WatchHandlers): void {
    const { result, error } = parsed(line);
    if (error !== undefined) {
      this.#token = null;
      throw new EtcdError(String(error?.message ?? error?.http_status ?? 'watch refused'), 0);
    }
    if (result?.compact_revision !== undefined) return handlers.onCompacted();
    if (result?.canceled === true) {
      this.#token = null;
      throw new EtcdError(String(result.cancel_reason ?? 'etcd cancelled the watch'), 0);
    }
    const events = eventsIn(result);
    // The header tells etcd's revision, to which the events of this watch may have yet to come: at its beginning, and while it
    // catches up. Only a message of progress says that all of them came.
    const revision = events.length > 0 ? Math.max(...events.map(({ modRevision }) => modRevision))
      : result?.created === true ? 0 : revisionIn(result?.header);
    handlers.onBatch({ events, revision });
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
      // For the whole of it: an answer in drops is none.
      const { timeout } = this.#options;
      const late = setTimeout(() => request.destroy(new Error(`no answer in ${timeout} ms`)), timeout);
      request.on('error', reject).on('close', () => clearTimeout(late));
      request.on('response', (response) => {
        const parts: Buffer[] = [];
        let length = 0;
        response.on('data', (part: Buffer) => {
          length += part.length;
          if (length > longestAnswer) request.destroy(new Error(`an answer of etcd is longer than ${longestAnswer} bytes`));
          else parts.push(part);
        });
        response.on('error', reject);
        response.on('end', () => {
          try {
            resolve(answerOf(response.statusCode ?? 0, Buffer.concat(parts).toString('utf8')));
          } catch (cause) {
            reject(cause);
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
    const request = make(url, { method: 'POST', agent: this.#agents[tls ? 1 : 0], headers: { 'content-type': 'application/json', ...headers } });
    return request.on('socket', (socket) => socket.setKeepAlive(true, keepaliveAfter));
  }
}

function followLines(response: IncomingMessage, take: (line: string) => void, end: (cause: unknown) => void): void {
  let parts: string[] = [];
  let length = 0;
  response.setEncoding('utf8');
  response.on('data', (text: string) => {
    const [first = '', ...others] = text.split('\n');
    length += first.length;
    parts.push(first);
    if (length > longestLine) {
      parts = [];
      return end(new Error('a message of etcd is too long'));
    }
    for (const next of others) {
      // Joined once it is whole: a long line comes in a thousand pieces.
      const line = parts.join('');
      parts = [next];
      length = next.length;
      if (line.trim() !== '') take(line);
    }
  });
  response.on('end', () => end(new Error('etcd ended the watch')));
  response.on('error', end);
  response.on('aborted', () => end(new Error('the connection to etcd was lost')));
}

/** What was read is not of etcd when it throws. */
function parsed(text: string): any {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('etcd sent what is not JSON');
  }
  if (typeof value === 'object' && value !== null) return value;
  throw new Error('etcd sent what is no message of its gateway');
}

function answerOf(status: number, text: string): any {
  let answer: any;
  try {
    answer = parsed(text);
  } catch {
    throw new EtcdError(foreignAnswer(status, text), status === 200 ? 502 : status);
  }
  if (status === 200) return answer;
  throw new EtcdError(String(answer.message ?? answer.error ?? `status ${status}`), status);
}

function revisionIn(header: any): number {
  const revision = Number(header?.revision ?? Number.NaN);
  if (Number.isSafeInteger(revision) && revision >= 0) return revision;
  throw new EtcdError('an answer without revision, which is none of etcd', 502);
}

function eventsIn(result: any): WatchEvent[] {
  const events: unknown = result?.events ?? [];
  if (!Array.isArray(events)) throw new Error('etcd sent what is no message of its gateway');
  return events.map((each) => ({ ...keyValue(each?.kv), deleted: each?.type === 'DELETE' }));
}

function keyValue(kv: any): KeyValue {
  const { key = '', value = '', create_revision: created = 0, mod_revision: modified = 0 } = kv ?? {};
  if (typeof key !== 'string' || typeof value !== 'string') throw new Error('etcd sent what is no message of its gateway');
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
