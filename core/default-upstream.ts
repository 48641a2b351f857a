// Where the default route leads: MILLRACE_UPSTREAM=host:port, or an embedded server.
import type { UpstreamValue } from './config/schemas/upstream.ts';
import { ProxyError } from './errors.ts';

/** Throws SETTINGS_INVALID. */
export function defaultUpstream(environment: Readonly<Record<string, string | undefined>>): UpstreamValue {
  const address = environment['MILLRACE_UPSTREAM'];
  if (address === undefined || address === '') return { type: 'memory' };
  const parts = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+)(?::(\d{1,5}))?$/.exec(address);
  const port = Number(parts?.[1] ?? 1);
  if (parts === null || port < 1 || port > 65535) {
    throw new ProxyError('SETTINGS_INVALID', `MILLRACE_UPSTREAM: expected host:port, got "${address}"`);
  }
  return { type: 'roundrobin', nodes: { [address]: 1 } };
}
