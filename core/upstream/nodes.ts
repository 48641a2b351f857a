// An upstream's `nodes` as the configuration spells them, in either of the reference's two forms:
//   { "10.0.0.1:6379": 1, "cache.local": 2, "[::1]:6379": 1 }
//   [ { host: "10.0.0.1", port: 6379, weight: 1, priority: 0 } ]
// A host `unix:/path` is a Unix socket and has no port.
import { isIP, isIPv6 } from 'node:net';
import { ProxyError } from '../errors.ts';
import type { Candidate } from './balancer.ts';
import type { NodeTable } from './node.ts';
import { isUnixPath, longestUnixPath, unixPath } from './unix-path.ts';

export interface NodeSpec {
  /** Lower case; an IPv6 host without brackets. Or `unix:/path`. */
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  readonly priority: number;
}

export interface ParsedNodes {
  readonly specs: readonly NodeSpec[];
  /** Everything that is wrong, each with its place; empty: `specs` is complete. */
  readonly problems: readonly string[];
}

export interface NodesOptions {
  /** For nodes that name no port. Without it a port is required. */
  readonly defaultPort?: number;
  /** What problems call the place; default `nodes`. */
  readonly path?: string;
}

/** A consistent hash ring of 1000 nodes takes about 50 ms to build; more would be felt. */
const maxNodes = 1_000;
const maxWeight = 1_000_000;
const maxPriority = 1_000_000;
/** RFC 1035, 2.3.4. Underscores are no host name by RFC, but Docker and Consul make them. */
const hostName = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?$/;

/** Collects every problem instead of stopping at the first. */
export function readNodes(nodes: unknown, options: NodesOptions = {}): ParsedNodes {
  const path = options.path ?? 'nodes';
  const reader = new Reader(options.defaultPort);
  if (Array.isArray(nodes)) readArray(reader, path, nodes);
  else if (isObject(nodes)) readMap(reader, path, nodes);
  else reader.expected(path, 'an object of addresses and weights, or an array', nodes);
  return reader;
}

/** As `readNodes`, but throws CONFIG_INVALID with all problems. */
export function parseNodes(nodes: unknown, options: NodesOptions = {}): readonly NodeSpec[] {
  const { specs, problems } = readNodes(nodes, options);
  if (problems.length > 0) throw new ProxyError('CONFIG_INVALID', problems.join('; '));
  return specs;
}

/** Candidates over the table's nodes. Each candidate's node is owed one `table.release`. */
export function candidatesOf(specs: readonly NodeSpec[], table: NodeTable, way = ''): Candidate[] {
  return specs.map(({ host, port, ...share }) => ({ node: table.acquire(host, port, way), ...share }));
}

class Reader implements ParsedNodes {
  readonly specs: NodeSpec[] = [];
  readonly problems: string[] = [];
  readonly defaultPort: number | undefined;

  constructor(defaultPort: number | undefined) {
    this.defaultPort = defaultPort;
  }

  expected(path: string, what: string, got: unknown): undefined {
    this.problems.push(`${path}: expected ${what}, got ${shown(got)}`);
    return undefined;
  }

  integer(path: string, value: unknown, from: number, to: number): number | undefined {
    if (typeof value === 'number' && Number.isInteger(value) && value >= from && value <= to) return value;
    return this.expected(path, `${from}..${to}`, value);
  }

  port(path: string, value: unknown): number | undefined {
    if (value !== undefined) return this.integer(path, value, 1, 65_535);
    return this.defaultPort ?? this.expected(path, '1..65535', undefined);
  }

  /**
   * In a place where a port may follow, or stands in a field of its own, an IPv6 address needs its
   * brackets.
   */
  host(path: string, value: unknown): string | undefined {
    if (typeof value !== 'string') return this.expected(path, 'a host name or IP address', value);
    const socket = unixPath(value);
    if (socket !== null) {
      return isUnixPath(socket) ? value : this.expected(path, `unix: and an absolute path of at most ${longestUnixPath} bytes`, value);
    }
    const host = value.toLowerCase();
    if (host.startsWith('[') && host.endsWith(']') && isIPv6(host.slice(1, -1))) return host.slice(1, -1);
    if (isIPv6(host)) {
      this.problems.push(`${path}: IPv6 address must be enclosed with '[' and ']', got ${shown(value)}`);
      return undefined;
    }
    // Digits and dots that are no IPv4 address (10.0.0.256) would go to DNS as a name.
    if (isIP(host) === 4 || (hostName.test(host) && !/^[\d.]+$/.test(host))) return host;
    return this.expected(path, 'a host name or IP address', value);
  }

  /** Parts that were wrong are undefined. */
  add(host?: string, port?: number, weight?: number, priority?: number): void {
    if (host === undefined || port === undefined || weight === undefined || priority === undefined) return;
    this.specs.push({ host, port, weight, priority });
  }
}

function readArray(reader: Reader, path: string, nodes: readonly unknown[]): void {
  if (nodes.length > maxNodes) return reader.expected(path, `at most ${maxNodes} nodes`, nodes.length);
  for (const [index, node] of nodes.entries()) {
    const at = `${path}[${index}]`;
    if (!isObject(node)) {
      reader.expected(at, 'an object with host, port and weight', node);
      continue;
    }
    reader.add(
      reader.host(`${at}.host`, node['host']),
      unixHost(node['host']) ? 0 : reader.port(`${at}.port`, node['port']),
      reader.integer(`${at}.weight`, node['weight'], 0, maxWeight),
      reader.integer(`${at}.priority`, node['priority'] ?? 0, -maxPriority, maxPriority),
    );
  }
}

function readMap(reader: Reader, path: string, nodes: Readonly<Record<string, unknown>>): void {
  const entries = Object.entries(nodes);
  if (entries.length > maxNodes) return reader.expected(path, `at most ${maxNodes} nodes`, entries.length);
  for (const [address, weight] of entries) {
    const at = `${path}[${shown(address)}]`;
    if (address === '') {
      reader.problems.push(`${at}: expected an address such as "127.0.0.1:6379", got an empty one`);
      continue;
    }
    const [host, digits] = splitAddress(address);
    reader.add(
      reader.host(at, host),
      unixHost(host) ? 0 : readPort(reader, at, digits),
      reader.integer(at, weight, 0, maxWeight),
      0,
    );
  }
}

function readPort(reader: Reader, path: string, digits: string | undefined): number | undefined {
  const isNumber = digits === undefined || /^\d{1,9}$/.test(digits);
  if (!isNumber) return reader.expected(path, 'a port 1..65535 after the colon', digits);
  return reader.port(path, digits === undefined ? undefined : Number(digits));
}

/** Host and what stands behind its colon. */
function splitAddress(address: string): [host: string, digits: string | undefined] {
  const colon = address.lastIndexOf(':');
  if (unixHost(address) || colon === -1 || address.endsWith(']') || isIPv6(address)) return [address, undefined];
  return [address.slice(0, colon), address.slice(colon + 1)];
}

function unixHost(host: unknown): boolean {
  return typeof host === 'string' && unixPath(host) !== null;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What came, on one short line. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
