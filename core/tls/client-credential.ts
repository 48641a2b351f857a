// `tls.client_cert_id` of an upstream: the certificate that we show to its nodes stands among `ssls`.
import type { Find } from '../config/effective.ts';
import type { SslValue } from '../config/schemas/ssl.ts';
import { ProxyError } from '../errors.ts';
import type { UpstreamConf } from '../upstream/upstream.ts';

/** With the certificate itself in place of its id. Throws CONFIG_INVALID when there is none of this id and type. */
export function withClientCredential(conf: UpstreamConf, find: Find): UpstreamConf {
  const { client_cert_id: id, ...tls } = conf.tls ?? {};
  if (id === undefined) return conf;
  const ssl = find('ssls', String(id))?.value as SslValue | undefined;
  if (ssl?.type === 'client') return { ...conf, tls: { ...tls, client_cert: ssl.cert, client_key: ssl.key } };
  const why = ssl === undefined ? 'response code: 404' : 'wrong ssl type';
  throw new ProxyError('CONFIG_INVALID', `upstream.tls.client_cert_id: failed to fetch ssl info by ssl id [${id}], ${why}`);
}

/** Ids of certificates that upstreams anywhere in a plugin's configuration name. */
export function certificateIdsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, child]) => (name === 'client_cert_id' ? [String(child)] : certificateIdsIn(child)));
}
