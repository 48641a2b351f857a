import type { Session } from '../session.ts';
import type { UpstreamConf } from './upstream.ts';

/** What consistent hashing goes by for a connection; an empty key falls back to the client's address. */
export function hashKey({ key = 'remote_addr', hash_on }: UpstreamConf, session: Session): Buffer {
  const text = hash_on === 'vars_combinations'
    ? key.replace(/\$\{?(\w+)\}?/g, (_all, name: string) => variableOf(session, name))
    : variableOf(session, key);
  return Buffer.from(text === '' ? session.remoteAddress : text);
}

function variableOf(session: Session, name: string): string {
  switch (name) {
    case 'remote_addr': return session.remoteAddress;
    case 'remote_port': return String(session.remotePort);
    case 'server_addr': return session.localAddress;
    case 'server_port': return String(session.localPort);
    default: return session.variable(name) ?? '';
  }
}
