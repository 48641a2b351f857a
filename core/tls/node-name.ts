// The server name in our own hello to a node. What is checked is another matter: always `server_name`, or the node's
// own host, never what a client asked for, else a client could choose whom we trust.
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';
import type { Node } from '../upstream/node.ts';
import type { Upstream } from '../upstream/upstream.ts';

/**
 * For a connection that serves one client alone: `tls.server_name`, else the node's host name, else (the node is an
 * address) the name that the client asked us for, so that a node with several certificates can choose. An address is
 * no server name (RFC 6066, 3): where there is nothing else, none is sent.
 */
export function nameOptionsFor(node: Node, { tls, conf }: Upstream, asked: string | null): ConnectionOptions {
  const named = conf.tls?.server_name !== undefined || node.serverName.servername !== undefined;
  if (named || asked === null) return { ...node.serverName, ...tls };
  return { checkServerIdentity: (_name, certificate) => checkServerIdentity(node.host, certificate), ...tls, servername: asked };
}
