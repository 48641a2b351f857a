import type { Session } from '../session.ts';
import type { UpstreamConf } from './upstream.ts';

/** Routes that were told of, by the version of their upstream. */
const told = new WeakMap<UpstreamConf, Set<string>>();

/** What consistent hashing goes by for a connection; an empty key falls back to the client's address. */
export function hashKey(conf: UpstreamConf, session: Session): Buffer {
  const { key = 'remote_addr', hash_on } = conf;
  const text = textOf(key, hash_on, session);
  if (text !== '') return Buffer.from(text);
  warnOnce(conf, session, hash_on === 'consumer' ? 'consumer' : key);
  return Buffer.from(session.remoteAddress);
}

// Which clients it concerns may change with each of them; that it happens at all is what an operator must know.
function warnOnce(conf: UpstreamConf, { route, engine }: Session, key: string): void {
  const routes = told.get(conf) ?? new Set();
  if (routes.has(route.id)) return;
  told.set(conf, routes.add(route.id));
  engine.log.warn({ code: 'HASH_KEY_EMPTY', route: route.id, hash_on: conf.hash_on ?? 'vars', key }, 'chash: the key is empty; the client\'s address is hashed instead');
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
