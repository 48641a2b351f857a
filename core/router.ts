// Which stream route a connection belongs to. Order: the most specific first (SNI, then client address, then our
// address, then our port), then `priority`, then id.
//
// Routes that ask for the same things (an exact name, a /24 of clients, a port, …) have one shape. A connection looks
// up what it would have to be called in each shape, from the most specific one on: the cost grows with the number of
// shapes, not with that of routes.
import type { Origin } from './connection.ts';
import { unixClient } from './endpoint.ts';
import { hexOf, parseNetwork, prefixOf, type Network } from './network.ts';
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
  readonly priority: number;
}

interface Shape {
  /** Descending: sni, remote, local, port. */
  readonly rank: readonly [number, number, number, number];
  readonly sni: NameShape | null;
  readonly remote: Pick<Network, 'family' | 'bits'> | null;
  /** Or a Unix socket of ours. */
  readonly local: Pick<Network, 'family' | 'bits'> | 'unix' | null;
  readonly port: boolean;
}

/** 0: any name; a length: names that end with so many characters; null: exactly this name. */
interface NameShape { readonly tail: number | null }

/** What one route asks for. */
interface Asked {
  readonly shape: Shape;
  /** Of the shape, and of the route in it. */
  readonly shapeKey: string;
  readonly key: string;
}

// A route that did not change is not read again.
const known = new WeakMap<MatchConf, Asked>();

export class Router {
  readonly #shapes: readonly (readonly [Shape, ReadonlyMap<string, Candidate>])[];
  /** Ports that routes ask for. */
  readonly ports: ReadonlySet<number>;

  constructor(routes: Iterable<{ readonly route: Route; readonly conf: MatchConf }>) {
    const shapes = new Map<string, [Shape, Map<string, Candidate>]>();
    const ports = new Set<number>();
    for (const { route, conf } of routes) {
      const { shape, shapeKey, key } = ask(conf);
      let entry = shapes.get(shapeKey);
      if (entry === undefined) shapes.set(shapeKey, entry = [shape, new Map()]);
      const candidate = { route, priority: conf.priority ?? 0 };
      const other = entry[1].get(key);
      // Whoever asks for the same and comes later can never be reached.
      if (other === undefined || before(candidate, other)) entry[1].set(key, candidate);
      if (conf.server_port !== undefined) ports.add(conf.server_port);
    }
    this.#shapes = [...shapes.values()].sort(([a], [b]) => bySpecificity(a, b));
    this.ports = ports;
  }

  match(origin: Origin): Route | null {
    const remote = hexOf(origin.remoteAddress);
    const local = hexOf(origin.localAddress);
    for (const [shape, candidates] of this.#shapes) {
      const key = keyIn(shape, origin, remote, local);
      const found = key === null ? undefined : candidates.get(key);
      if (found !== undefined) return found.route;
    }
    return null;
  }
}

/** What a route that takes this connection would be found under; null: none of this shape can. */
function keyIn({ sni, remote, local, port }: Shape, origin: Origin, remoteHex: string, localHex: string): string | null {
  let name = '';
  if (sni !== null) {
    if (origin.sni === null) return null;
    if (sni.tail === null) name = origin.sni;
    else if (origin.sni.length > sni.tail) name = sni.tail === 0 ? '' : origin.sni.slice(-sni.tail);
    else return null;
  }
  if (remote !== null && remoteHex.length !== lengthOf(remote)) return null;
  if (local === 'unix' ? !isUnix(origin.localAddress) : local !== null && localHex.length !== lengthOf(local)) return null;
  const place = local === 'unix' ? origin.localAddress : local === null ? '' : prefixOf(localHex, local.bits);
  return keyOf(name, remote === null ? '' : prefixOf(remoteHex, remote.bits), place, port ? origin.localPort : 0);
}

function isUnix(address: string | undefined): boolean {
  return address?.startsWith(unixClient) === true;
}

/** Why a route does not take a connection; null: it could. */
export function mismatchOf(conf: MatchConf, origin: Origin): string | null {
  const { shape, key } = ask(conf);
  const wrong = (field: string, asked: unknown, got: unknown): string => `${field}: it asks for ${String(asked)}, the connection has ${String(got)}`;
  if (keyIn(shape, origin, hexOf(origin.remoteAddress), hexOf(origin.localAddress)) === key) return null;
  const one = (part: MatchConf): boolean => {
    const asked = read(part);
    return keyIn(asked.shape, origin, hexOf(origin.remoteAddress), hexOf(origin.localAddress)) === asked.key;
  };
  const { sni, remote_addr: remote, server_addr: local, server_port: port } = conf;
  if (port !== undefined && !one({ server_port: port })) return wrong('server_port', port, origin.localPort);
  if (sni !== undefined && !one({ sni })) return wrong('sni', sni, origin.sni ?? 'none');
  if (remote !== undefined && !one({ remote_addr: remote })) return wrong('remote_addr', remote, origin.remoteAddress);
  return wrong('server_addr', local, origin.localAddress);
}

function keyOf(name: string, remote: string, local: string, port: number): string {
  return `${remote} ${local} ${port} ${name}`;
}

function lengthOf({ family }: Pick<Network, 'family'>): number {
  return family === 4 ? 8 : 32;
}

function ask(conf: MatchConf): Asked {
  let asked = known.get(conf);
  if (asked === undefined) known.set(conf, asked = read(conf));
  return asked;
}

function read(conf: MatchConf): Asked {
  const remote = conf.remote_addr === undefined ? null : parseNetwork(conf.remote_addr);
  const { server_addr: address } = conf;
  const unix = isUnix(address);
  const local = address === undefined || unix ? null : parseNetwork(address);
  const name = conf.sni?.toLowerCase();
  const sni = name === undefined ? null : { tail: name.startsWith('*') ? name.length - 1 : null };
  const port = conf.server_port !== undefined;
  const shape: Shape = {
    // A Unix socket is as exact as an address.
    rank: [nameRank(sni), networkRank(remote), unix ? 128 : networkRank(local), port ? 1 : 0], sni, remote, local: unix ? 'unix' : local, port,
  };
  const shown = sni === null || sni.tail === null ? name ?? '' : name!.slice(1);
  return {
    shape,
    shapeKey: [sni === null ? '' : sni.tail ?? 'exact', shapeOf(remote), unix ? 'unix' : shapeOf(local), port].join(' '),
    key: keyOf(shown, remote?.prefix ?? '', unix ? address! : local?.prefix ?? '', conf.server_port ?? 0),
  };
}

function shapeOf(network: Network | null): string {
  return network === null ? '' : `${network.family}/${network.bits}`;
}

/** `a.example` before `*.a.example` (the longer the better) before `*`. */
function nameRank(sni: NameShape | null): number {
  return sni === null ? -1 : sni.tail ?? 1000;
}

// Both families on one scale.
function networkRank(network: Network | null): number {
  return network === null ? -1 : network.bits + 128 - lengthOf(network) * 4;
}

function bySpecificity(a: Shape, b: Shape): number {
  for (let i = 0; i < a.rank.length; i++) {
    const difference = b.rank[i]! - a.rank[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

function before(a: Candidate, b: Candidate): boolean {
  return (b.priority - a.priority || compareIds(a.route.id, b.route.id)) < 0;
}

/** Numbers by value, and before names. */
function compareIds(a: string, b: string): number {
  const [m, n] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (m && n) return Number(a) - Number(b);
  if (m !== n) return m ? -1 : 1;
  return a < b ? -1 : Number(a > b);
}
