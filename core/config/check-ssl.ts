// What a schema cannot say about certificates: whether they can be read, belong together and can be used. Found when
// they are written, so that no listener ever has to refuse what was taken. What has the wrong shape is passed over.
import { problem, type At, type Problem } from '../problem.ts';
import { wrongCertificates, wrongCiphers, wrongPair, wrongRevocations } from '../tls/pem.ts';
import type { Value } from './resource.ts';

export function wrongSsl(ssl: Value): Problem[] {
  const problems: Problem[] = [];
  if (ssl['type'] !== 'client' && ssl['sni'] === undefined && ssl['snis'] === undefined) {
    problems.push(problem(['sni'], 'sni or snis, because type is server', 'neither'));
  }
  problems.push(...pairProblems(ssl['cert'], ssl['key'], (field) => [field]));
  const [certs, keys] = [listOf(ssl['certs']), listOf(ssl['keys'])];
  if (certs.length !== keys.length) problems.push(problem(['keys'], `as many as certs (${certs.length})`, String(keys.length)));
  for (const [index, cert] of certs.entries()) {
    problems.push(...pairProblems(cert, keys[index], (field) => [`${field}s`, index]));
  }
  const client = ssl['client'] as Value | null | undefined;
  if (typeof client === 'object' && client !== null) {
    problems.push(...authorityProblems(client['ca'], ['client', 'ca']));
    const wrong = typeof client['crl'] === 'string' ? wrongRevocations(client['crl']) : null;
    if (wrong !== null) problems.push(problem(['client', 'crl'], 'revocation lists in PEM', wrong));
  }
  const ciphers = typeof ssl['ciphers'] === 'string' ? wrongCiphers(ssl['ciphers']) : null;
  if (ciphers !== null) problems.push(problem(['ciphers'], 'ciphers in the notation of OpenSSL', ciphers));
  return problems;
}

/** `tls` of an upstream. */
export function wrongUpstreamTls(tls: Value): Problem[] {
  const problems = authorityProblems(tls['ca'], ['ca']);
  if (tls['client_cert_id'] !== undefined && (tls['client_cert'] ?? tls['client_key']) !== undefined) {
    problems.push(problem(['client_cert_id'], 'client_cert and client_key, or client_cert_id', 'both'));
  }
  problems.push(...pairProblems(tls['client_cert'], tls['client_key'], (field) => [`client_${field}`]));
  return problems;
}

function pairProblems(cert: unknown, key: unknown, at: (field: 'cert' | 'key') => At): Problem[] {
  if (typeof cert !== 'string' || typeof key !== 'string') return [];
  const wrong = wrongPair({ cert, key });
  return wrong === null ? [] : [problem(at(wrong.field), wrong.expected, wrong.got)];
}

function authorityProblems(ca: unknown, at: At): Problem[] {
  const wrong = typeof ca === 'string' ? wrongCertificates(ca) : null;
  return wrong === null ? [] : [problem(at, 'certificates in PEM', wrong)];
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
