// Requests of all clients on one pipelined link per node. A client keeps its node as long as its link lives.
import type { Engine } from './engine.ts';
import { ProxyError } from './errors.ts';
import type { MessageRequest } from './message-request.ts';
import type { Backend, BackendOptions } from './protocol.ts';
import type { Request } from './request.ts';
import type { Session } from './session.ts';
import { hashKey } from './upstream/hash-key.ts';
import type { Link } from './upstream/link.ts';
import type { Node } from './upstream/node.ts';
import { SharedLinks, type LinkClass } from './upstream/shared-links.ts';
import type { Upstream } from './upstream/upstream.ts';

export class SharedBackend implements Backend {
  readonly upstream: Upstream | null;
  readonly #engine: Engine;
  readonly #kind: LinkClass;
  #stopWatching: () => void = () => {};

  constructor({ upstream, engine }: BackendOptions, kind: LinkClass) {
    this.upstream = upstream;
    this.#engine = engine;
    this.#kind = kind;
    if (upstream === null) return;
    for (const node of upstream.nodes) SharedLinks.of(node, kind).acquire(upstream);
    this.#stopWatching = upstream.watchNodes({
      added: (node) => SharedLinks.of(node, kind).acquire(upstream),
      removed: (node) => SharedLinks.of(node, kind).release(upstream),
    });
  }

  send(request: Request): void {
    const { session } = request as MessageRequest;
    // A link that closed has answered everything: nothing can be overtaken on another one.
    if (session.link === null || session.link.state === 'closed') session.link = this.#choose(session);
    if (session.link !== null) session.send(session.link, request as MessageRequest);
    else request.settle(new ProxyError(this.upstream === null ? 'NO_UPSTREAM' : 'NO_NODE'));
  }

  #choose(session: Session): Link | null {
    const { upstream } = this;
    if (upstream === null) return null;
    return this.#link(upstream, upstream.conf.type === 'chash' ? hashKey(upstream.conf, session) : null, [], null);
  }

  /**
   * The link to the next node after those that were tried; null: nobody is left, or there is no time. `since` is when
   * the first of them was begun.
   */
  #link(upstream: Upstream, key: Buffer | null, tried: readonly Node[], since: number | null): Link | null {
    if (since !== null && !upstream.mayRetry(tried.length, this.#engine.clock.now() - since)) return null;
    const node = upstream.balancer.pick(key, tried.length, tried);
    if (node === null) return null;
    const next = (failed: Link): Link | null => this.#link(upstream, key, [...tried, node], since ?? failed.openedAt);
    return SharedLinks.of(node, this.#kind).link(node, this.#engine, upstream, next);
  }

  close(): void {
    this.#stopWatching();
    for (const node of this.upstream?.nodes ?? []) SharedLinks.of(node, this.#kind).release(this.upstream!);
  }
}
