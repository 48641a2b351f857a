// A route whose node is one of our own listeners, where the same route takes the connection again: each client would become
// ever more connections, until a limit ends it. Told when the route is built, where it is certain.
import type { Origin } from './connection.ts';
import type { Route } from './route.ts';
import type { ListenerSettings } from './settings.ts';
import type { Node } from './upstream/node.ts';

export interface OwnListeners {
  readonly listeners: readonly ListenerSettings[];
  /** Where routes open ports that nobody listens on. */
  readonly stream_ports: { readonly open: boolean; readonly address: string };
}

type Listener = Pick<ListenerSettings, 'address' | 'port' | 'protocol'>;

export interface LoopOptions {
  readonly own: OwnListeners;
  /** That routes ask for. */
  readonly ports: ReadonlySet<number>;
  /** Who takes a connection there. */
  readonly taker: (origin: Origin, listener: Listener) => Route | null;
}

/** The first of the nodes at which the route would meet itself. */
export function loopOf(route: Route, nodes: readonly Node[], { own, ports, taker }: LoopOptions): Node | null {
  return nodes.find(({ host, port }) => {
    const address = meant(host);
    const listener = listenerAt(address, port, own, ports);
    if (listener === null) return false;
    // Who connects to an address of his own machine comes from that address.
    const origin = { remoteAddress: address, remotePort: 0, localAddress: address, localPort: port, sni: null, tls: false };
    return taker(origin, listener) === route;
  }) ?? null;
}

function listenerAt(address: string, port: number, { listeners, stream_ports: opened }: OwnListeners, ports: ReadonlySet<number>): Listener | null {
  const there = listeners.filter((each) => each.port === port && each.unix === undefined);
  if (there.length === 0) return opened.open && ports.has(port) && listens(opened.address, address) ? { address: opened.address, port } : null;
  // What it would say to a plain connection of ours, with TLS, datagrams or PROXY headers, is no loop.
  return there.find((each) => listens(each.address, address) && each.tls === undefined && each.transport !== 'udp' && each.proxy_protocol === undefined) ?? null;
}

/** "Any" address is known to be this machine's where it is asked for by loopback. */
function listens(at: string, address: string): boolean {
  const loopback = address.startsWith('127.') ? 4 : address === '::1' ? 6 : null;
  return at === address || (at === '0.0.0.0' && loopback === 4) || (at === '::' && loopback !== null);
}

function meant(host: string): string {
  if (host === 'localhost' || host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}
