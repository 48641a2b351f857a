// The certificate that a client showed, for routes that want one.
import type { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { certificatesIn } from './pem.ts';

export interface ClientCertificate {
  /** As RFC 2253 writes it: `CN=a,O=b`. */
  readonly subject: string;
  /** Hexadecimal, upper case. */
  readonly serial: string;
}

/** Null: it showed none. */
export function clientCertificateOf(socket: TLSSocket): ClientCertificate | null {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? null : { subject: distinguishedName(certificate), serial: certificate.serialNumber };
}

/**
 * How many certificates stand between the client's and the authority that vouches for it. Null: unknown, for a
 * certificate that no authority of `ca` is above. The chain was verified before.
 */
export function depthOf(socket: TLSSocket, ca: string): number | null {
  const trusted = new Set(certificatesIn(ca).map(({ fingerprint256 }) => fingerprint256));
  // The other form of it, X509Certificate, ends where what the client sent does.
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  for (let depth = -1; certificate !== undefined; depth++) {
    if (trusted.has(certificate.fingerprint256)) return Math.max(0, depth);
    const issuer: DetailedPeerCertificate | undefined = certificate.issuerCertificate;
    if (issuer === certificate) return null;
    certificate = issuer;
  }
  return null;
}

function distinguishedName({ subject }: X509Certificate): string {
  // Node puts one part on a line, the most general first.
  return (subject ?? '').split('\n').toReversed().map(escapePart).join(',');
}

function escapePart(part: string): string {
  const equals = part.indexOf('=');
  return part.slice(0, equals + 1) + part.slice(equals + 1).replaceAll(/[,+"\\<>;]/g, '\\$&');
}
