// The two ways in which an upstream names its nodes, as one list.
import type { NodeValue, UpstreamValue } from './schemas/upstream.ts';

export interface NodeAddress {
  /** As `connect` wants it: IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  /** Higher first. */
  readonly priority: number;
}

/** The nodes of a checked upstream, in its order. */
export function listNodes(nodes: UpstreamValue['nodes']): NodeAddress[] {
  if (nodes === undefined) return [];
  if (isList(nodes)) {
    return nodes.map(({ host, port, weight, priority = 0 }) => ({ host: unbracketed(host), port, weight, priority }));
  }
  return Object.entries(nodes).flatMap(([name, weight]) => {
    const parts = parseNodeName(name);
    return parts === null ? [] : [{ host: unbracketed(parts.host), port: parts.port, weight, priority: 0 }];
  });
}

/** `host:port` or `[v6]:port`, taken apart; null when it is neither. The host keeps its brackets. */
export function parseNodeName(name: string): { readonly host: string; readonly port: number } | null {
  const parts = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]\s]+):(\d{1,9})$/.exec(name);
  return parts === null ? null : { host: parts[1] ?? '', port: Number(parts[2]) };
}

function unbracketed(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host;
}

function isList(nodes: NonNullable<UpstreamValue['nodes']>): nodes is readonly NodeValue[] {
  return Array.isArray(nodes);
}
