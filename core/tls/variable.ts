// What a connection's TLS can say to filters and logs.
import type { Origin } from '../connection.ts';

/** Those that every connection has, empty where it has no TLS or no certificate. */
export const tlsVariableNames: readonly string[] = ['sni', 'ssl_client_s_dn', 'ssl_client_serial', 'ssl_client_verify'];

/** Undefined: no variable of TLS. */
export function tlsVariable({ sni, certificate }: Origin, name: string): string | undefined {
  switch (name) {
    case 'sni': return sni ?? '';
    case 'ssl_client_s_dn': return certificate?.subject ?? '';
    case 'ssl_client_serial': return certificate?.serial ?? '';
    // Nobody gets here whose certificate was refused.
    case 'ssl_client_verify': return certificate === undefined ? 'NONE' : 'SUCCESS';
    default: return undefined;
  }
}
