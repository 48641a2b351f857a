// Why a connection ended, as one of the six numbers that dashboards of the reference know.
import type { ErrorCode } from './errors.ts';

export type StreamStatus = '200' | '400' | '403' | '500' | '502' | '503';

/** What is not named here is 500. docs/metrics.md shows the same table; a test compares the two. */
export const reasonsByStatus: Readonly<Record<Exclude<StreamStatus, '500'>, readonly ErrorCode[]>> = {
  // It ended as either side, or whoever runs Millrace, wanted.
  200: ['CLIENT_CLOSED', 'CLIENT_QUIT', 'CLIENT_IDLE', 'UPSTREAM_ENDED', 'KILLED', 'DRAINED', 'ROUTE_REMOVED'],
  400: [
    'CLIENT_RESET', 'CLIENT_SLOW', 'CLIENT_REQUEST_TIMEOUT', 'PROTOCOL_ERROR', 'SECURITY_ABORT', 'PROXY_HEADER', 'NO_ROUTE',
    'TLS_FAILED', 'TLS_NO_SNI', 'TLS_NO_CERTIFICATE',
  ],
  403: ['DENIED', 'CONNECTION_REFUSED', 'TLS_CLIENT_REFUSED'],
  502: [
    'CONNECT_FAILED', 'CONNECT_TIMEOUT', 'UPSTREAM_TIMEOUT', 'UPSTREAM_CLOSED', 'UPSTREAM_PROTOCOL', 'UPSTREAM_HANDSHAKE',
    'REPLY_CUT',
  ],
  503: [
    'NO_NODE', 'NO_UPSTREAM', 'UPSTREAM_BUSY', 'LINKS_EXHAUSTED', 'LIMIT_EXCEEDED', 'TOO_MANY_CONNECTIONS', 'MEMORY_LIMIT',
  ],
};

const statusOf = new Map((Object.keys(reasonsByStatus) as (keyof typeof reasonsByStatus)[]).flatMap((status) =>
  reasonsByStatus[status].map((reason) => [reason as string, status as StreamStatus] as const)));

export function streamStatus(reason: string): StreamStatus {
  return statusOf.get(reason) ?? '500';
}
