// A POST per group, over connections that are kept open.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Targets } from '../../../core/plugin.ts';
import type { Sink } from '../sink.ts';
import { urlTarget } from '../targets.ts';

export interface HttpOptions {
  readonly targets: Targets;
  readonly uri: string;
  readonly authHeader?: string;
  /** Milliseconds for the whole exchange. */
  readonly timeout: number;
  /** `json`: an array of the group's records; `new_line`: one a line. */
  readonly concat: 'json' | 'new_line';
  readonly verify: boolean;
  /** Groups have one record each: it is sent as it is, not as an array. */
  readonly single: boolean;
}

export class HttpSink implements Sink {
  readonly #options: HttpOptions;
  readonly #agent: HttpAgent;

  constructor(options: HttpOptions) {
    this.#options = options;
    const pool = { keepAlive: true, maxSockets: 2 };
    this.#agent = options.uri.startsWith('https:')
      ? new HttpsAgent({ ...pool, rejectUnauthorized: options.verify })
      : new HttpAgent(pool);
  }

  async send(records: readonly string[]): Promise<number> {
    const { concat, single } = this.#options;
    const lines = concat === 'new_line' || single;
    const status = await this.#post(
      lines ? records.join('\n') : `[${records.join(',')}]`,
      lines && !single ? 'text/plain; charset=utf-8' : 'application/json');
    if (status < 200 || status > 299) throw new Error(`the sink answered with status ${status}`);
    return 0;
  }

  #post(body: string, type: string): Promise<number> {
    const { uri, authHeader, timeout, targets } = this.#options;
    const { host, lookup } = urlTarget(targets, uri);
    const request = uri.startsWith('https:') ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const sent = request(uri, {
        hostname: host, lookup, method: 'POST', agent: this.#agent, signal: AbortSignal.timeout(timeout),
        headers: {
          'content-type': type, 'content-length': Buffer.byteLength(body), 'user-agent': 'millrace',
          ...(authHeader === undefined ? {} : { authorization: authHeader }),
        },
      }, (response: IncomingMessage) => {
        response.on('error', reject).on('end', () => resolve(response.statusCode ?? 0)).resume();
      });
      sent.on('error', (cause) => {
        reject(cause.name === 'AbortError' ? new Error(`no answer in ${timeout} ms`) : cause);
      });
      sent.end(body);
    });
  }

  close(): Promise<void> {
    this.#agent.destroy();
    return Promise.resolve();
  }
}
