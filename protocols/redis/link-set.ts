// The links to one node, for upstreams that agree on how connections are made: shared ones by identity, own ones in
// pools. It hangs on the node, so that links survive a reload.
import { createPool, type Pool } from 'generic-pool';
import type { Engine } from '../../core/engine.ts';
import { ProxyError } from '../../core/errors.ts';
import type { Link } from '../../core/upstream/link.ts';
import type { Node } from '../../core/upstream/node.ts';
import type { Upstream } from '../../core/upstream/upstream.ts';
import { DoorLink } from './door-link.ts';
import { probeRedis } from './probe.ts';
import { identityKey, OwnLink, RedisLink, type Credentials, type Identity, type RedisLinkOptions } from './link.ts';

/** Milliseconds for which it is believed that a node wants a password. */
const believed = 1000;

/** A pool must never see `create` reject: it would try again at once, for ever. */
interface Borrowed {
  readonly link: OwnLink | null;
  readonly error: ProxyError | null;
}

export class LinkSet {
  readonly node: Node;
  readonly engine: Engine;
  readonly #upstream: Upstream;
  readonly #shared = new Map<string, RedisLink>();
  readonly #pools = new Map<string, Pool<Borrowed>>();
  #door: DoorLink | null = null;
  #closed = false;
  /** Those that the node's name leads to, once it led elsewhere before; null: any will do. */
  #addresses: ReadonlySet<string> | null = null;
  /** Whether the node answers NOAUTH to clients without credentials: they get the stricter limits. Null: not known. */
  requiresAuth: boolean | null = null;
  /** When the node said so last; it may change its mind. */
  #learnedAt = -Infinity;
  #learning: Promise<ProxyError | null> | null = null;

  private constructor(node: Node, engine: Engine, upstream: Upstream) {
    this.node = node;
    this.engine = engine;
    this.#upstream = upstream;
  }

  static of(node: Node, engine: Engine, upstream: Upstream): LinkSet {
    const key = `redis ${upstream.connectionKey}`;
    const known = node.attached.get(key);
    if (known instanceof LinkSet) return known;
    const made = new LinkSet(node, engine, upstream);
    node.attached.set(key, made);
    const { tls, conf: { auth } } = upstream;
    const target = {
      dial: node.dial, address: node.address, conf: {},
      ...(tls === undefined ? {} : { tls: { ...node.serverName, ...tls } }), ...(auth === undefined ? {} : { auth }),
    };
    node.health.probe = (signal) => probeRedis(target, signal);
    return made;
  }

  /** What clients that gave no password are: the upstream's own `auth`. */
  get credentials(): Credentials | null {
    const { auth } = this.#upstream.conf;
    if (auth === undefined) return null;
    return { user: auth.username === undefined ? null : bytesOf(auth.username), password: bytesOf(auth.password) };
  }

  /** The shared link of an identity; made when there is none that takes requests. */
  shared(identity: Identity, substitute: (failed: Link) => Link | null): RedisLink {
    const key = identityKey(identity);
    const known = this.#shared.get(key);
    if (known !== undefined && known.state !== 'closed' && !known.detached) return known;
    const link = new RedisLink({
      ...this.#options(identity),
      substitute,
      onClosed: (closed) => { if (this.#shared.get(key) === closed) this.#shared.delete(key); },
    });
    this.#shared.set(key, link);
    return link;
  }

  /** For AUTH and HELLO: answers what the server says, without touching anybody's link. */
  get door(): DoorLink {
    if (this.#door === null || this.#door.state === 'closed' || this.#door.detached) {
      this.#door = new DoorLink(this.#options({ database: 0, resp: 2, credentials: null }));
    }
    return this.#door;
  }

  /** Whether the node refused clients without credentials a moment ago: it need not be asked for each of them. */
  get refusesStrangers(): boolean {
    return this.requiresAuth === true && this.node.available && this.engine.clock.now() - this.#learnedAt < believed;
  }

  /**
   * Asks the node whether it serves clients without credentials, once for all who want to know. Resolves with why it
   * could not be asked.
   */
  learnAuth(): Promise<ProxyError | null> {
    return this.#learning ??= this.#ask().finally(() => { this.#learning = null; });
  }

  async #ask(): Promise<ProxyError | null> {
    try {
      const reply = await this.door.ask(null, ['PING']);
      this.#learned(reply.toString('latin1', 0, 7) === '-NOAUTH');
      return null;
    } catch (cause) {
      return cause instanceof ProxyError ? cause : new ProxyError('INTERNAL', undefined, { cause });
    }
  }

  /** What a client logs in with is its own affair; our own password is wrong for everybody. */
  #loginRefused({ credentials }: Identity, text: string): void {
    const ours = this.credentials;
    if (ours === null || credentials?.user !== ours.user || credentials.password !== ours.password) return;
    this.node.health.failed(new ProxyError('UPSTREAM_HANDSHAKE', `upstream refused the handshake: ${text}`));
  }

  #learned(requiresAuth: boolean): void {
    this.requiresAuth = requiresAuth;
    this.#learnedAt = this.engine.clock.now();
  }

  /** A link for one session only. Rejects with a ProxyError. */
  async borrow(identity: Identity): Promise<OwnLink> {
    const pool = this.#pool(identity);
    let borrowed: Borrowed;
    try {
      borrowed = await pool.acquire();
    } catch (cause) {
      throw new ProxyError('LINKS_EXHAUSTED', undefined, { cause });
    }
    if (borrowed.link === null) {
      await pool.destroy(borrowed);
      throw borrowed.error!;
    }
    const { link } = borrowed;
    if (link.state === 'closed') {
      await pool.destroy(borrowed);
      throw new ProxyError('UPSTREAM_CLOSED');
    }
    link.uses++;
    this.#borrowed.set(link, borrowed);
    return link;
  }

  readonly #borrowed = new Map<OwnLink, Borrowed>();

  /** Back to the pool if its state is that of a new connection; else it is closed. */
  giveBack(link: OwnLink): void {
    link.session = null;
    const borrowed = this.#borrowed.get(link);
    const { keepalive } = this.#upstream;
    const pool = this.#pools.get(identityKey(link.identity));
    if (borrowed === undefined || pool === undefined) {
      link.fail('DRAINED');
      return;
    }
    this.#borrowed.delete(link);
    const clean = !link.dirty && link.suspects === 0 && link.idle && !link.subscribed && !link.monitoring && link.state === 'open' && !this.#stale(link);
    if (clean && !this.#closed && link.uses < keepalive.requests && pool.available < keepalive.size) {
      void pool.release(borrowed);
    } else {
      link.fail('DRAINED');
      void pool.destroy(borrowed);
    }
  }

  /** A link that no pool knows: of a client that keeps it for its whole life. */
  dedicated(identity: Identity): OwnLink {
    return new OwnLink(this.#options(identity));
  }

  get waiting(): number {
    let sum = 0;
    for (const pool of this.#pools.values()) sum += pool.pending;
    return sum;
  }

  moved(addresses: ReadonlySet<string>): void {
    this.#addresses = addresses;
    for (const link of this.#shared.values()) if (!link.leadsTo(addresses)) link.retire();
    if (this.#door?.leadsTo(addresses) === false) this.#door.retire();
  }

  /** Own links stay with who has them; the next one gets one that leads to the right place. */
  #stale(link: OwnLink): boolean {
    return this.#addresses !== null && !link.leadsTo(this.#addresses);
  }

  /** Clients go to another node as soon as they are answered. */
  leave(): void {
    for (const link of this.#shared.values()) link.retire();
  }

  close(): void {
    this.#closed = true;
    for (const link of this.#shared.values()) link.retire();
    this.#shared.clear();
    this.#door?.fail('DRAINED');
    for (const pool of this.#pools.values()) void pool.drain().then(() => pool.clear());
  }

  #pool(identity: Identity): Pool<Borrowed> {
    const key = identityKey(identity);
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const { limits } = this.engine;
    const { keepalive } = this.#upstream;
    const pool = createPool<Borrowed>({
      create: () => this.#create(identity),
      destroy: async (borrowed) => { borrowed.link?.fail('DRAINED'); },
      // A connection that died at rest would stay in the pool.
      validate: async (borrowed) => borrowed.error !== null || (borrowed.link!.state === 'open' && !this.#stale(borrowed.link!)),
    }, {
      max: limits.ownLinks,
      maxWaitingClients: limits.ownLinks * 4,
      acquireTimeoutMillis: limits.ownLinkWait + this.#upstream.timeouts.connect,
      testOnBorrow: true,
      fifo: false,
      evictionRunIntervalMillis: Math.min(keepalive.idleTimeout, 30_000),
      softIdleTimeoutMillis: keepalive.idleTimeout,
      numTestsPerEvictionRun: 32,
    });
    this.#pools.set(key, pool);
    return pool;
  }

  #create(identity: Identity): Promise<Borrowed> {
    return new Promise((resolve) => {
      const link = new OwnLink(this.#options(identity));
      link.whenReady((error) => resolve(error === null ? { link, error: null } : { link: null, error }));
    });
  }

  #options(identity: Identity): RedisLinkOptions {
    const { timeouts, tls, integrity } = this.#upstream;
    return {
      node: this.node,
      engine: this.engine,
      identity,
      connectTimeout: timeouts.connect,
      replyTimeout: timeouts.read,
      sendTimeout: timeouts.send,
      ...(integrity === undefined ? {} : { integrity }),
      onNoAuth: () => this.#learned(true),
      onLoginRefused: (text) => this.#loginRefused(identity, text),
      ...(tls === undefined ? {} : { tls: { ...this.node.serverName, ...tls } }),
    };
  }
}

/** A configured text as credentials are held. */
function bytesOf(text: string): string {
  return Buffer.from(text).toString('latin1');
}
