// What a schema cannot say about an upstream: where its nodes come from, and what they are called.
import { isIPv4, isIPv6 } from 'node:net';
import { cut, show } from '../problem.ts';
import { wrongUpstreamTls } from './check-ssl.ts';
import { nest, problem, type At, type Problem } from '../schema.ts';
import type { Value } from './resource.ts';

/** Names that the registry knows, and where connections may lead; absent: any is taken. */
export interface UpstreamNames {
  /** Of `checks.active.type`. */
  readonly checks?: readonly string[];
  /** Of `discovery_type`. */
  readonly discoveries?: readonly string[];
  /** Why no connection may go there, beginning with `expected`; null: one may. */
  readonly refusal?: (host: string, port: number) => string | null;
}

export function wrongUpstream(at: At, upstream: Value, names: UpstreamNames = {}): Problem[] {
  return nest(at, [
    ...wrongSource(upstream, names.discoveries),
    ...wrongNodes(upstream['nodes']),
    ...(names.refusal === undefined ? [] : wrongTargets(upstream, names.refusal)),
    ...wrongKey(upstream),
    ...nest(['tls'], wrongUpstreamTls(objectOf(upstream['tls']))),
    ...wrongChecks(objectOf(objectOf(upstream['checks'])['active']), names.checks),
    ...(upstream['pass_host'] === 'rewrite' && (upstream['upstream_host'] ?? '') === '' ? [
      problem(['upstream_host'], 'a host, because pass_host is rewrite', 'nothing',
        '`upstream_host` can\'t be empty when `pass_host` is `rewrite`'),
    ] : []),
  ]);
}

function wrongSource(upstream: Value, known: readonly string[] | undefined): Problem[] {
  const [service, type] = [upstream['service_name'], upstream['discovery_type']] as readonly [string?, string?];
  const discovered = service !== undefined || type !== undefined;
  if (upstream['nodes'] !== undefined && discovered) {
    return [problem(['nodes'], 'nodes, or service_name with discovery_type', 'both')];
  }
  if (discovered && service === undefined) return [problem(['service_name'], 'a name, because discovery_type is given', 'nothing')];
  if (discovered && type === undefined) return [problem(['discovery_type'], oneOf(known, 'dns or file'), 'nothing')];
  if (discovered && known !== undefined && !known.includes(type!)) {
    return [problem(['discovery_type'], oneOf(known, ''), show(type))];
  }
  if (discovered || upstream['nodes'] !== undefined || upstream['type'] === 'memory') return [];
  return [problem(['nodes'], 'object of "host:port": weight, or array of nodes', 'nothing')];
}

const variableName = /^\$?[A-Za-z_][A-Za-z0-9_.-]*$/;

function wrongKey({ type, key, hash_on: hashOn }: Value): Problem[] {
  if (type !== 'chash' || hashOn === 'consumer') return [];
  if (typeof key === 'string' && (hashOn ?? 'vars') === 'vars' && !variableName.test(key)) {
    return [problem(['key'], 'the name of a variable, such as remote_addr', show(key))];
  }
  if (typeof key === 'string' && (hashOn === 'header' || hashOn === 'cookie') && !/^[\w-]+$/.test(key)) {
    return [problem(['key'], `the name of a ${hashOn}: letters, digits, - and _`, show(key))];
  }
  if (key !== undefined) return [];
  return [problem(['key'], 'what chash hashes, such as remote_addr', 'nothing',
    'missing key: type chash expects one, such as remote_addr')];
}

function wrongChecks(active: Value, known: readonly string[] | undefined): Problem[] {
  const type = active['type'] as string | undefined;
  const at: At = ['checks', 'active', 'type'];
  if (type !== undefined && known !== undefined && !known.includes(type)) {
    return [problem(at, oneOf(known, ''), show(type))];
  }
  const builtIn = type === undefined || ['tcp', 'http', 'https'].includes(type);
  const misplaced = ['role', 'reply'].filter((name) => builtIn && active[name] !== undefined);
  return misplaced.map((name) => problem(['checks', 'active', name], 'a protocol\'s check, such as type redis', show(active[name])));
}

function oneOf(known: readonly string[] | undefined, otherwise: string): string {
  return known === undefined ? otherwise : `one of ${known.toSorted().join(', ')}`;
}

function wrongNodes(nodes: unknown): Problem[] {
  if (!Array.isArray(nodes)) return Object.keys(objectOf(nodes)).flatMap(wrongNodeName);
  return nodes.flatMap((node, index) => {
    const host = objectOf(node)['host'];
    return wrongHost(['nodes', index, 'host'], typeof host === 'string' ? host : '');
  });
}

/** The usual port of protocols that name none. */
const usualPort = 6379;

function wrongTargets(upstream: Value, refusal: NonNullable<UpstreamNames['refusal']>): Problem[] {
  const { nodes } = upstream;
  const checked = objectOf(objectOf(upstream['checks'])['active'])['port'];
  const wrong = (at: At, host: string, port: unknown): Problem[] => [
    ...refused(at, refusal(host, Number(port ?? usualPort))),
    ...(checked === undefined || checked === port ? [] : refused(['checks', 'active', 'port'], refusal(host, Number(checked)))),
  ].slice(0, 1);
  if (Array.isArray(nodes)) {
    return nodes.map(objectOf).flatMap(({ host, port }, index) => wrong(['nodes', index, 'host'], typeof host === 'string' ? host : '', port));
  }
  return Object.keys(objectOf(nodes)).flatMap((name) => {
    const [host, digits] = splitAddress(name);
    return wrong(['nodes', name], host, digits);
  });
}

function refused(at: At, text: string | null): Problem[] {
  const [, expected = '', got = ''] = /^expected (.+), got (.+?)$/s.exec(text ?? '') ?? [];
  return text === null ? [] : [problem(at, expected, got, text)];
}

function wrongNodeName(name: string): Problem[] {
  const at: At = ['nodes', name];
  if (name === '') return [problem(at, 'an address such as "127.0.0.1:6379"', '""')];
  const [host, digits] = splitAddress(name);
  if (digits === undefined) return wrongHost(at, host);
  const port = /^\d{1,9}$/.test(digits) ? Number(digits) : Number.NaN;
  if (port >= 1 && port <= 65535) return wrongHost(at, host);
  const text = `invalid port ${cut(digits)}, expected 1..65535`;
  return [problem(at, 'a port 1..65535 behind the colon', show(digits), text)];
}

// The port may be left out: the protocol has its usual one. A Unix socket has none.
function splitAddress(name: string): readonly [host: string, digits: string | undefined] {
  const colon = name.lastIndexOf(':');
  if (name.startsWith('unix:') || colon === -1 || name.endsWith(']') || isIPv6(name)) return [name, undefined];
  return [name.slice(0, colon), name.slice(colon + 1)];
}

// RFC 1035, 2.3.4. Underscores are no host name by RFC, but Docker and Consul make them.
const hostName = /^(?=.{1,253}$)[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?$/i;
/** Linux' sun_path is 108 bytes with the zero at its end. */
const socketPath = /^unix:\/\P{Cc}{0,106}$/u;

/** `unix:` and an absolute path of at most 107 bytes. */
export function isSocketAddress(host: string): boolean {
  return socketPath.test(host) && Buffer.byteLength(host) <= 112;
}

function wrongHost(at: At, host: string): Problem[] {
  if (host.startsWith('unix:')) {
    if (isSocketAddress(host)) return [];
    return [problem(at, 'unix: and an absolute path of at most 107 bytes', show(host))];
  }
  if (host.startsWith('[') && host.endsWith(']') && isIPv6(host.slice(1, -1))) return [];
  if (isIPv6(host)) {
    return [problem(at, 'IPv6 address in brackets', show(host),
      `IPv6 address must be enclosed with '[' and ']', got ${show(host)}`)];
  }
  // Digits and dots that are no IPv4 address (10.0.0.256) would go to DNS as a name.
  if (isIPv4(host) || (hostName.test(host) && !/^[\d.]+$/.test(host))) return [];
  return [problem(at, 'host name or IP address', show(host))];
}

// Shape was checked by schema before: what is not an object here is absent.
function objectOf(value: unknown): Value {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Value : {};
}
