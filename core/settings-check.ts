// What a schema cannot say about settings.
import { BlockList, isIPv6 } from 'node:net';
import { show } from './problem.ts';
import { problem, type Problem } from './schema.ts';
import type { LimitSettings, Settings } from './settings.ts';
import { digestOf, entryDigest, wrongAdminKeys } from './settings-admin.ts';
import { wrongCiphers } from './tls/pem.ts';
import { isListenerPath, listenerPathExpected } from './unix-listener.ts';

/** The first and last port that stream routes may open. */
export function portRange(range: string): { readonly first: number; readonly last: number } {
  const [first = 0, last = 0] = range.split('-').map(Number);
  return { first, last };
}

// Keys that stand in the reference's public documentation.
const wellKnownKeys = ['edd1c9f034335f136f87ad84b625c8f1', '4054f7cf07e344346cd3f287985e76a2'];

/** Filled in where none stands. */
const usualAddress = '127.0.0.1';

/** What is wrong with settings of the right shape. */
export function meaning(settings: Settings): Problem[] {
  return [...wrongUnix(settings), ...wrongPorts(settings), ...wrongTls(settings), ...wrongAdmin(settings), ...wrongStandalone(settings), ...wrongAdminKeys(settings.admin), ...wrongLimits(settings.limits)];
}

/** A listener has a port or a path. Before settings are taken, `address` and `port` are as the file has them. */
function wrongUnix({ listeners }: Settings): Problem[] {
  const taken = new Map<string, number>();
  return listeners.flatMap((listener, index) => {
    const { unix, port, mode, transport, address } = listener as Partial<typeof listener>;
    const wrong = (name: string, expected: string, got: string): Problem[] => [problem(['listeners', index, name], expected, got)];
    if (unix === undefined) {
      if (mode !== undefined) return wrong('mode', 'none without unix', show(mode));
      return port === undefined ? wrong('port', 'a port, or unix with a path', 'neither') : [];
    }
    if (!isListenerPath(unix)) return wrong('unix', listenerPathExpected, show(unix));
    const other = taken.get(unix);
    taken.set(unix, index);
    return [
      ...(other === undefined ? [] : wrong('unix', `a path that listeners[${other}] does not use`, show(unix))),
      ...(port === undefined ? [] : wrong('port', 'none beside unix', String(port))),
      ...(address === undefined || address === usualAddress ? [] : wrong('address', 'none beside unix', show(address))),
      ...(transport === 'udp' ? wrong('transport', 'tcp with unix', 'udp') : []),
    ];
  });
}

function wrongPorts({ listeners, stream_ports: streamPorts, admin }: Settings): Problem[] {
  const problems: Problem[] = [];
  const taken = new Map([[`${admin.address} ${admin.port}`, 'admin']]);
  for (const [index, { address, port, transport, unix }] of listeners.entries()) {
    if (unix !== undefined || (port as number | undefined) === undefined) continue;
    const name = transport === 'udp' ? `udp ${address} ${port}` : `${address} ${port}`;
    const other = taken.get(name);
    if (other !== undefined) {
      problems.push(problem(['listeners', index, 'port'], `a port that ${other} does not use`, String(port)));
    }
    taken.set(name, `listeners[${index}]`);
  }
  const { first, last } = portRange(streamPorts.range);
  if (first < 1 || last > 65535 || first > last) {
    const expected = 'a port range within 1-65535, lower first';
    problems.push(problem(['stream_ports', 'range'], expected, show(streamPorts.range)));
  }
  return problems;
}

function wrongTls({ listeners }: Settings): Problem[] {
  return listeners.flatMap(({ tls }, index) => {
    if (tls === undefined) return [];
    const problems: Problem[] = [];
    if (tls.min_version > tls.max_version) {
      problems.push(problem(['listeners', index, 'tls', 'min_version'], `at most max_version (${tls.max_version})`, tls.min_version));
    }
    const wrong = tls.ciphers === undefined ? null : wrongCiphers(tls.ciphers);
    if (wrong !== null) problems.push(problem(['listeners', index, 'tls', 'ciphers'], 'ciphers in the notation of OpenSSL', wrong));
    return problems;
  });
}

function wrongStandalone({ admin, store }: Settings): Problem[] {
  if (!admin.standalone) return [];
  const wrong = (expected: string): Problem => problem(['admin', 'standalone'], expected, 'true');
  return [
    ...(store.etcd === undefined ? [] : [wrong('false beside store.etcd, which keeps what standalone forgets')]),
    ...(admin.api ? [] : [wrong('false beside admin.api: false, which lets nothing come')]),
  ];
}

function wrongAdmin({ admin }: Settings): Problem[] {
  if (isLoopback(admin.address)) return [];
  const problems: Problem[] = [];
  if (!admin.allow_remote) {
    const expected = 'a loopback address, or allow_remote: true';
    problems.push(problem(['admin', 'address'], expected, show(admin.address)));
  }
  if (admin.key !== undefined && wellKnownKeys.includes(admin.key)) {
    problems.push(problem(['admin', 'key'], 'a secret key', 'one that is publicly known'));
  }
  const known = wellKnownKeys.map(digestOf);
  for (const [index, entry] of admin.keys.entries()) {
    if (known.includes(entryDigest(entry))) problems.push(problem(['admin', 'keys', index], 'a secret key', 'one that is publicly known'));
  }
  return problems;
}

function wrongLimits(limits: LimitSettings): Problem[] {
  const pairs = [
    ['unsent_reply_pause_bytes', 'unsent_reply_close_bytes'],
    ['unauthenticated_bulk_bytes', 'bulk_bytes'], ['unauthenticated_arguments', 'arguments'],
  ] as const;
  return pairs.filter(([low, high]) => limits[low] > limits[high]).map(
    ([low, high]) => problem(['limits', low], `at most ${high} (${limits[high]})`, String(limits[low])));
}

/** What is accepted, but should be seen. */
export function warnings({ admin }: Settings): string[] {
  if (admin.key === undefined || !wellKnownKeys.includes(admin.key)) return [];
  return ['admin.key is publicly known; it is accepted on loopback only'];
}

function isLoopback(address: string): boolean {
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8, 'ipv4');
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
