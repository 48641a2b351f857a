// One link per node for all clients of upstreams that agree on how connections are made. It hangs on the node
// and is
// counted: it outlives a reload as long as some backend uses the node.
import type { Engine } from '../engine.ts';
import type { Link, LinkOptions } from './link.ts';
import type { Closable, Node } from './node.ts';
import type { Upstream } from './upstream.ts';

/** A protocol's kind of link. */
export type LinkClass = new (options: LinkOptions) => Link;

/** What every link to a node of this upstream is made with. */
export function linkOptions(node: Node, engine: Engine, upstream: Upstream): LinkOptions {
  const { timeouts, tls, integrity } = upstream;
  return {
    node,
    engine,
    connectTimeout: timeouts.connect,
    replyTimeout: timeouts.read,
    sendTimeout: timeouts.send,
    ...(integrity === undefined ? {} : { integrity }),
    ...(tls === undefined ? {} : { tls: { ...node.serverName, ...tls } }),
  };
}

export class SharedLinks implements Closable {
  readonly #kind: LinkClass;
  readonly #entries = new Map<string, { link: Link | null; users: number }>();

  private constructor(kind: LinkClass) {
    this.#kind = kind;
  }

  static of(node: Node, kind: LinkClass): SharedLinks {
    const known = node.attached.get(kind);
    if (known instanceof SharedLinks) return known;
    const made = new SharedLinks(kind);
    node.attached.set(kind, made);
    return made;
  }

  /** A backend of this upstream may use the link. Each call is owed one `release`. */
  acquire(upstream: Upstream): void {
    const entry = this.#entries.get(upstream.connectionKey);
    if (entry === undefined) this.#entries.set(upstream.connectionKey, { link: null, users: 1 });
    else entry.users++;
  }

  release(upstream: Upstream): void {
    const entry = this.#entries.get(upstream.connectionKey);
    if (entry === undefined || --entry.users > 0) return;
    entry.link?.retire();
    this.#entries.delete(upstream.connectionKey);
  }

  /** The link, made when there is none that takes requests; null: no backend uses the node any more. */
  link(node: Node, engine: Engine, upstream: Upstream, substitute: (failed: Link) => Link | null): Link | null {
    const entry = this.#entries.get(upstream.connectionKey);
    if (entry === undefined) return null;
    const { link } = entry;
    if (link !== null && link.state !== 'closed' && !link.detached) return link;
    return (entry.link = new this.#kind({ ...linkOptions(node, engine, upstream), substitute }));
  }

  moved(addresses: ReadonlySet<string>): void {
    for (const { link } of this.#entries.values()) if (link?.leadsTo(addresses) === false) link.retire();
  }

  leave(): void {
    for (const { link } of this.#entries.values()) link?.retire();
  }

  close(): void {
    for (const { link } of this.#entries.values()) link?.retire();
    this.#entries.clear();
  }
}
