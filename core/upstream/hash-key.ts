import type { Session } from '../session.ts';
import type { UpstreamConf } from './upstream.ts';

/** What consistent hashing goes by for a connection; an empty key falls back to the client's address. */
export function hashKey({ key = 'remote_addr', hash_on }: UpstreamConf, session: Session): Buffer {
  const text = textOf(key, hash_on, session);
  return Buffer.from(text === '' ? session.remoteAddress : text);
}

function textOf(key: string, hashOn: UpstreamConf['hash_on'], session: Session): string {
  switch (hashOn) {
    case 'vars_combinations': return key.replace(/\$\{?(\w+)\}?/g, (_all, name: string) => variableOf(session, name));
    case 'consumer': return session.user ?? '';
    // Streams have neither.
    case 'header': case 'cookie': return '';
    case 'vars': case undefined: return variableOf(session, key);
  }
}

function variableOf(session: Session, name: string): string {
  switch (name) {
    case 'remote_addr': return session.remoteAddress;
    case 'server_name': return session.variable('sni') ?? '';
    case 'remote_port': return String(session.remotePort);
    case 'server_addr': return session.localAddress;
    case 'server_port': return String(session.localPort);
    default: return session.variable(name) ?? '';
  }
}
