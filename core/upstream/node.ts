// What has happened to an address: running state, shared by all upstreams that name it. It outlives reloads,
// so that links, counts and health do. What the configuration says about it (weight, priority) is a
// Candidate's.
import { isIP, type IpcNetConnectOpts, type LookupFunction, type TcpNetConnectOpts } from 'node:net';
import { TargetRules } from '../targets.ts';
import { Health, type HealthOptions } from './health.ts';
import type { Latency } from './latency.ts';
import type { Resolver } from './resolve.ts';
import { tcpProbe } from './tcp-probe.ts';
import { unixPath } from './unix-path.ts';

export interface Closable {
  close(): void;
  /** A check found the node unwell: who can go elsewhere should. */
  leave?(): void;
  /** The node's name leads to these addresses now: connections to others end when they are not needed any more. */
  moved?(addresses: ReadonlySet<string>): void;
  /** Clients that wait for a connection to it. */
  readonly waiting?: number;
}

/** What `net.connect` needs to reach a node. */
export type Dial =
  | (TcpNetConnectOpts & { readonly host: string; readonly lookup?: LookupFunction })
  | (IpcNetConnectOpts & { readonly host?: never });

export interface NodeOptions extends Omit<HealthOptions, 'onChange' | 'onFailed'> {
  /** How a node that was left out is tried; default: a TCP connection. */
  readonly probe?: (node: Node, signal: AbortSignal) => Promise<void>;
  /** Where host names are looked up; without it each connect asks the system. */
  readonly resolver?: Resolver;
  /** Where connections may lead; default: not to link-local addresses and cloud metadata. */
  readonly targets?: TargetRules;
  /** For log (NODE_DOWN, NODE_UP) and metric. */
  readonly onChange?: (node: Node, up: boolean, reason: string) => void;
}

const usualTargets = new TargetRules();

export class Node {
  /** `host:port`, an IPv6 host in brackets; `unix:/path` of a Unix socket. */
  readonly address: string;
  readonly host: string;
  /** 0 of a Unix socket. */
  readonly port: number;
  /** See `NodeTable.acquire`. */
  readonly way: string;
  readonly dial: Dial;
  /** The same at another port; a Unix socket has none. */
  readonly dialTo: (port: number) => Dial;
  /** The name to ask for in a TLS handshake. An address is none (RFC 6066): the certificate is checked against it all the same. */
  readonly serverName: { readonly servername?: string };
  readonly health: Health;
  /** What others keep per node, such as its links: closed when no upstream names the node any more. */
  readonly attached = new Map<unknown, Closable>();
  /** Requests under way, counted by whoever sends them; least_conn reads it. */
  inflight = 0;
  /** When bytes last came from the node, by the clock of its links, in ms, at most a sweep too late. */
  lastReply = -Infinity;
  /** How long its answers take; null while nobody chooses by that. */
  latency: Latency | null = null;
  #closed = false;

  constructor(host: string, port: number, options: NodeOptions = {}, way = '') {
    this.way = way;
    const { probe = tcpProbe, resolver, targets = usualTargets, onChange, ...health } = options;
    this.address = addressOf(host, port);
    this.host = host;
    this.port = port;
    const path = unixPath(host);
    const named = resolver !== undefined && isIP(host) === 0 && path === null;
    this.serverName = isIP(host) === 0 && path === null ? { servername: host } : {};
    this.dialTo = (to) => (path === null ? targets.dial(host, to, named ? resolver.lookup : undefined) : { path });
    this.dial = this.dialTo(port);
    this.health = new Health((signal) => probe(this, signal), {
      ...health,
      onChange: (up, reason) => {
        if (!up && this.health.judged) for (const thing of this.attached.values()) thing.leave?.();
        onChange?.(this, up, reason);
      },
      ...(named ? { onFailed: (cause: unknown) => resolver.failed(host, addressIn(cause)) } : {}),
    });
    if (named) {
      this.attached.set(resolver, resolver.track(host, (addresses) => {
        for (const thing of this.attached.values()) thing.moved?.(addresses);
      }));
    }
  }

  get available(): boolean {
    return this.health.available && !this.#closed;
  }

  /** No upstream names it any more. */
  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
    this.health.close();
    const things = [...this.attached.values()];
    this.attached.clear();
    const failures: unknown[] = [];
    for (const thing of things) {
      try {
        thing.close();
      } catch (failure) {
        failures.push(failure);
      }
    }
    if (failures.length === 0) return;
    throw new AggregateError(failures, `node ${this.address} could not be closed cleanly`);
  }
}

/** Address → node, counted: a node is there while at least one upstream names it. */
export class NodeTable implements Iterable<Node> {
  readonly #options: NodeOptions;
  readonly #entries = new Map<string, { readonly node: Node; users: number }>();

  constructor(options: NodeOptions = {}) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(address: string): Node | undefined {
    return this.#entries.get(address)?.node;
  }

  /**
   * The node of this address, made when it is new. Each call is owed one `release`. Another `way` to connect (such as
   * TLS with other authorities) is another node: one that fails says nothing about the other.
   */
  acquire(host: string, port: number, way = ''): Node {
    const key = keyOf(addressOf(host, port), way);
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      entry.users++;
      return entry.node;
    }
    const node = new Node(host, port, this.#options, way);
    this.#entries.set(key, { node, users: 1 });
    return node;
  }

  /** Gives back one `acquire`; after the last one the node and all that is attached to it is closed. */
  release(node: Node): void {
    const key = keyOf(node.address, node.way);
    const entry = this.#entries.get(key);
    if (entry?.node !== node) throw new Error(`node ${node.address} was released too often`);
    if (--entry.users > 0) return;
    this.#entries.delete(key);
    node.close();
  }

  *[Symbol.iterator](): Iterator<Node> {
    for (const { node } of this.#entries.values()) yield node;
  }

  close(): void {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const { node } of entries) node.close();
  }
}

function keyOf(address: string, way: string): string {
  return way === '' ? address : `${address} ${way}`;
}

/** `host:port`, with brackets around an IPv6 host; of a Unix socket what it is called. */
export function addressOf(host: string, port: number): string {
  if (unixPath(host) !== null) return host;
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Node's connect errors carry the address that was tried; a ProxyError has them as its cause. */
function addressIn(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  if ('address' in cause && typeof cause.address === 'string') return cause.address;
  return addressIn(cause.cause);
}
