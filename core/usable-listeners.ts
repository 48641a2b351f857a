// What is wrong with listeners beyond their shape: certificates that cannot be read or used, protocols that nobody has.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { nearest, problem, show, type At, type Problem } from './problem.ts';
import type { CertificateSettings, ListenerSettings } from './settings.ts';

export function wrongListeners(listeners: readonly ListenerSettings[], protocols: readonly string[]): Problem[] {
  return listeners.flatMap(({ protocol, tls }, index) => {
    const at: At = ['listeners', index];
    const { cert, key, certificates = [] } = tls ?? {};
    return [
      ...(protocol === undefined || protocols.includes(protocol) ? [] : [unknown([...at, 'protocol'], protocol, protocols)]),
      ...(cert === undefined || key === undefined ? [] : wrongPair([...at, 'tls'], { cert, key })),
      ...certificates.flatMap((pair, place) => wrongPair([...at, 'tls', 'certificates', place], pair)),
    ];
  });
}

function unknown(at: At, name: string, protocols: readonly string[]): Problem {
  const meant = nearest(name, protocols);
  const hint = meant === undefined ? '' : `, did you mean "${meant}"?`;
  return problem(at, 'a known protocol', show(name), `unknown protocol [${name}]${hint}`);
}

function wrongPair(at: At, { cert, key }: Pick<CertificateSettings, 'cert' | 'key'>): Problem[] {
  const files = { cert: read(cert), key: read(key) };
  const unreadable = (['cert', 'key'] as const).flatMap((name) => {
    const text = files[name];
    return text instanceof Error ? [problem([...at, name], 'a readable file', text.message)] : [];
  });
  if (files.cert instanceof Error || files.key instanceof Error) return unreadable;
  return [
    ...refused([...at, 'cert'], 'a file with a certificate (PEM)', cert, { cert: files.cert }),
    ...refused([...at, 'key'], 'a file with a private key (PEM)', key, { key: files.key }),
    ...refused([...at, 'key'], `the private key of ${cert}`, key, { cert: files.cert, key: files.key }),
  ].slice(0, 1);
}

function refused(at: At, expected: string, file: string, pair: { readonly cert?: Buffer; readonly key?: Buffer }): Problem[] {
  try {
    createSecureContext(pair);
    return [];
  } catch (cause) {
    // OpenSSL's own words: `no start line`, `key values mismatch`.
    return [problem(at, expected, `${file}: ${(cause as Error).message.split('::').at(-1)}`)];
  }
}

function read(path: string): Buffer | Error {
  try {
    return readFileSync(path);
  } catch (cause) {
    return cause as Error;
  }
}
