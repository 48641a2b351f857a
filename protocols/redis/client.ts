// Commands of Millrace's own: counters that plugins keep in a Redis.
import type { Engine } from '../../core/engine.ts';
import { ProxyError } from '../../core/errors.ts';
import type { Client } from '../../core/plugin.ts';
import type { Receiver } from '../../core/upstream/receiver.ts';
import type { Upstream } from '../../core/upstream/upstream.ts';
import { LinkSet } from './link-set.ts';
import { decode } from './resp/decode.ts';
import { encodeRequest } from './resp/encode.ts';

export function redisClient(upstream: Upstream, engine: Engine): Client {
  return {
    call(command, timeout = 1000) {
      const node = upstream.balancer.pick(null, 0);
      if (node === null) return Promise.reject(new ProxyError('NO_NODE'));
      const set = LinkSet.of(node, engine, upstream);
      const link = set.shared({ database: 0, resp: 2, credentials: set.credentials }, () => null);
      return new Promise((resolve, reject) => {
        const call = new Call(timeout, resolve, reject);
        link.sendWhole(call, encodeRequest(command), 1, 0);
      });
    },
    close: () => upstream.close(),
  };
}

class Call implements Receiver {
  endsWhole = true;
  readonly outbox = null;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: Error) => void;
  readonly #timer: NodeJS.Timeout;
  #pieces: Buffer[] = [];

  constructor(timeout: number, resolve: (value: unknown) => void, reject: (error: Error) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
    // The reply keeps its place on the link and is dropped when it comes.
    this.#timer = setTimeout(() => reject(new ProxyError('UPSTREAM_TIMEOUT')), timeout);
  }

  receive(bytes: Buffer, start: number, end: number, complete: number): void {
    this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
    if (complete === 0) return;
    clearTimeout(this.#timer);
    const value = decode(Buffer.concat(this.#pieces));
    if (value instanceof Error) this.#reject(value);
    else this.#resolve(value);
  }

  failed(error: ProxyError): void {
    clearTimeout(this.#timer);
    this.#reject(error);
  }
}
