// What can be wrong with certificates and keys, found before anybody is shown one. Texts never contain what was sent.
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Pair } from './credential.ts';

export interface PairProblem {
  readonly field: 'cert' | 'key';
  readonly expected: string;
  readonly got: string;
}

const block = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export function certificatesIn(pem: string): X509Certificate[] {
  return (pem.match(block) ?? []).map((each) => new X509Certificate(each));
}

/** Each for itself: TLS reads one of a text only. */
export function revocationsIn(pem: string): string[] {
  return pem.match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g) ?? [];
}

/** Null: there is at least one list, and all can be read. */
export function wrongRevocations(pem: string): string | null {
  const lists = revocationsIn(pem);
  if (lists.length === 0) return 'a text without a list';
  try {
    createSecureContext({ crl: lists });
    return null;
  } catch {
    return 'a list that cannot be read';
  }
}

/** Null: they can be used together. */
export function wrongPair({ cert, key }: Pair): PairProblem | null {
  const wrong = wrongCertificates(cert);
  if (wrong !== null) return { field: 'cert', expected: 'certificates in PEM, the own one first', got: wrong };
  const read = readKey(key);
  if (typeof read === 'string') return { field: 'key', expected: 'a private key in PEM, without a passphrase', got: read };
  const [own] = certificatesIn(cert);
  if (!own!.checkPrivateKey(read)) return { field: 'key', expected: 'the key of the certificate', got: 'a key that does not match it' };
  try {
    createSecureContext({ cert, key });
    return null;
  } catch (cause) {
    return { field: 'cert', expected: 'a certificate that TLS takes', got: reasonOf(cause) };
  }
}

/** Null: there is at least one certificate, and all can be read. */
export function wrongCertificates(pem: string): string | null {
  try {
    return certificatesIn(pem).length === 0 ? 'a text without a certificate' : null;
  } catch {
    return 'a certificate that cannot be read';
  }
}

/** Null: an unencrypted private key. */
function readKey(key: string): KeyObject | string {
  if (!key.includes('PRIVATE KEY-----')) return 'a text without a private key';
  try {
    return createPrivateKey(key);
  } catch {
    return key.includes('ENCRYPTED') ? 'one with a passphrase' : 'a key that cannot be read';
  }
}

/** Null: a cipher list that leaves something to choose. */
export function wrongCiphers(ciphers: string): string | null {
  try {
    createSecureContext({ ciphers });
    return null;
  } catch {
    return 'a list that no known cipher is in';
  }
}

const soon = 7 * 24 * 3600 * 1000;

/** Why somebody should look at a certificate that may be used all the same; null: nothing. */
export function datesOf(pem: string, now: number): string | null {
  const [own] = certificatesIn(pem);
  if (own === undefined) return null;
  const [from, to] = [Date.parse(own.validFrom), Date.parse(own.validTo)];
  if (to < now) return `it expired at ${new Date(to).toISOString()}`;
  if (from > now) return `it is not valid before ${new Date(from).toISOString()}`;
  return to - now < soon ? `it expires at ${new Date(to).toISOString()}` : null;
}

// OpenSSL's own words name a rule, such as `ee key too small`, never a key.
function reasonOf(cause: unknown): string {
  const { reason } = cause as { reason?: unknown };
  return typeof reason === 'string' ? reason : 'one that it refuses';
}
