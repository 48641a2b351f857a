import { ProxyError } from '../../core/errors.ts';
import type { Node } from '../../core/upstream/node.ts';
import type { RedisBackend } from './backend.ts';
import { LinkSet } from './link-set.ts';
import type { RedisLink } from './link.ts';
import type { RedisSession } from './session.ts';

/** Which node a client uses: it keeps its node as long as it can be reached. */
export class NodeChoice {
  node: Node | null = null;
  readonly #session: RedisSession;
  readonly #own: RedisBackend | null;

  /** `backend`: of a subordinate route; without it, that of the session's route. */
  constructor(session: RedisSession, backend: RedisBackend | null = null) {
    this.#session = session;
    this.#own = backend;
  }

  get #backend(): RedisBackend | null { return this.#own ?? this.#session.backend; }

  /** The links to its node; null: it has none. */
  get linkSet(): LinkSet | null {
    const backend = this.#backend;
    return this.node === null || backend === null ? null : LinkSet.of(this.node, this.#session.engine, backend.upstream!);
  }

  /** The links to its node, which is chosen where it has none; null: no node is there. */
  choose(): LinkSet | null {
    const backend = this.#backend!;
    if (backend.upstream === null) return null;
    if (this.node === null || !this.node.available) this.node = backend.pick(this.#session, []);
    return this.linkSet;
  }

  /** The next node after those that could not be reached. */
  next(tried: readonly Node[]): LinkSet | null {
    this.node = this.#backend!.pick(this.#session, tried);
    return this.linkSet;
  }

  /** Why `choose` found nobody. */
  nobody(): ProxyError {
    return new ProxyError(this.#backend!.upstream === null ? 'NO_UPSTREAM' : 'NO_NODE');
  }

  /**
   * Asks its node whether it serves clients without credentials; the next one, as long as retries allow, where it cannot
   * be reached. Resolves with why nobody could be asked.
   */
  async learnAuth(): Promise<ProxyError | null> {
    const { clock } = this.#session.engine;
    const since = clock.now();
    const tried: Node[] = [];
    let set = this.choose();
    while (set !== null) {
      const failed = await set.learnAuth();
      if (failed === null) return null;
      tried.push(set.node);
      const backend = this.#backend;
      const again = failed.code.startsWith('CONNECT') && backend!.upstream?.mayRetry(tried.length, clock.now() - since);
      if (again !== true) return failed;
      // What was under way may have moved to another node meanwhile.
      set = this.node === set.node || this.node === null ? this.next(tried) : this.choose();
    }
    return this.nobody();
  }

  /** The shared link for what the client is now, on its node; null: no node is there. */
  sharedLink(): RedisLink | null {
    const session = this.#session;
    const set = this.choose();
    if (set === null) return null;
    // Of now: the link outlives what this client is, and others use it.
    const { identity } = session;
    const backend = this.#backend!;
    return set.shared(identity, (failed) => backend.substitute(failed, identity));
  }
}
