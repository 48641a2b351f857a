// Which stream route a connection belongs to. Order: the most specific first (SNI, then client address, then our
// address, then our port), then `priority`, then id.
import { BlockList, isIPv6 } from 'node:net';
import type { Origin } from './connection.ts';
import type { Route } from './route.ts';

export interface MatchConf {
  readonly remote_addr?: string;
  readonly server_addr?: string;
  readonly server_port?: number;
  readonly sni?: string;
  readonly priority?: number;
}

interface Candidate {
  readonly route: Route;
  readonly id: string;
  readonly priority: number;
  readonly remote: Network | null;
  readonly local: Network | null;
  readonly port: number | null;
  readonly sni: Name | null;
}

interface Network {
  readonly bits: number;
  has(address: string): boolean;
}

interface Name {
  readonly rank: number;
  has(name: string): boolean;
}

export class Router {
  readonly #all: readonly Candidate[];
  readonly #byPort = new Map<number, readonly Candidate[]>();

  constructor(routes: readonly { readonly route: Route; readonly conf: MatchConf }[]) {
    this.#all = routes.map(({ route, conf }) => compile(route, conf)).sort(bySpecificity);
  }

  /** Ports that routes ask for. */
  get ports(): ReadonlySet<number> {
    return new Set(this.#all.map(({ port }) => port).filter((port) => port !== null));
  }

  match(origin: Origin): Route | null {
    let list = this.#byPort.get(origin.localPort);
    if (list === undefined) {
      list = this.#all.filter(({ port }) => port === null || port === origin.localPort);
      this.#byPort.set(origin.localPort, list);
    }
    for (const candidate of list) if (fits(candidate, origin)) return candidate.route;
    return null;
  }
}

function fits(candidate: Candidate, origin: Origin): boolean {
  if (candidate.sni !== null && (origin.sni === null || !candidate.sni.has(origin.sni))) return false;
  if (candidate.remote !== null && !candidate.remote.has(origin.remoteAddress)) return false;
  return candidate.local === null || candidate.local.has(origin.localAddress);
}

function compile(route: Route, conf: MatchConf): Candidate {
  return {
    route,
    id: route.id,
    priority: conf.priority ?? 0,
    remote: conf.remote_addr === undefined ? null : network(conf.remote_addr),
    local: conf.server_addr === undefined ? null : network(conf.server_addr),
    port: conf.server_port ?? null,
    sni: conf.sni === undefined ? null : serverName(conf.sni),
  };
}

function bySpecificity(a: Candidate, b: Candidate): number {
  return (b.sni?.rank ?? -1) - (a.sni?.rank ?? -1)
    || (b.remote?.bits ?? -1) - (a.remote?.bits ?? -1)
    || (b.local?.bits ?? -1) - (a.local?.bits ?? -1)
    || Number(b.port !== null) - Number(a.port !== null)
    || b.priority - a.priority
    || compareIds(a.id, b.id);
}

/** Numbers by value, and before names. */
function compareIds(a: string, b: string): number {
  const [m, n] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (m && n) return Number(a) - Number(b);
  if (m !== n) return m ? -1 : 1;
  return a < b ? -1 : Number(a > b);
}

function network(text: string): Network {
  const [address = '', prefix] = text.split('/');
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  const most = family === 'ipv6' ? 128 : 32;
  const bits = prefix === undefined ? most : Number(prefix);
  const list = new BlockList();
  list.addSubnet(address, bits, family);
  // Node's list takes IPv4 addresses for members of IPv6 networks that hold ::ffff:0:0/96, ::/0 among them.
  const has = (other: string): boolean => (isIPv6(other) ? 'ipv6' : 'ipv4') === family && list.check(other, family);
  // Both families on one scale.
  return { bits: bits + 128 - most, has };
}

/** `a.example` before `*.a.example` (the longer the better) before `*`. */
function serverName(text: string): Name {
  const name = text.toLowerCase();
  if (name === '*') return { rank: 0, has: () => true };
  if (!name.startsWith('*')) return { rank: 1000, has: (other) => other === name };
  const tail = name.slice(1);
  return { rank: Math.min(tail.length, 999), has: (other) => other.endsWith(tail) && other.length > tail.length };
}
