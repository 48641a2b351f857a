// Certificates of a test's own authority, made with openssl.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  /** Files. */
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Disposable {
  readonly folder: string;
  /** The authority's own certificate: file and text. */
  readonly file: string;
  readonly text: string;
  /** For the names, `DNS:a.example` or `IP:127.0.0.1`; `days` below 0: expired. */
  issue(name: string, alternatives: readonly string[], days?: number): Certificate;
}

export function makeAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
  const file = join(folder, 'ca.pem');
  const caKey = join(folder, 'ca.key');
  const openssl = (...args: string[]): void => { execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' }); };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...newKey, '-keyout', caKey, '-out', file, '-days', '2', '-subj', '/CN=Millrace test authority',
    '-addext', 'basicConstraints=critical,CA:TRUE');
  return {
    folder, file,
    text: readFileSync(file, 'utf8'),
    issue(name, alternatives, days = 2) {
      const [cert, key, request, extensions] = ['pem', 'key', 'csr', 'ext'].map((end) => join(folder, `${name}.${end}`));
      openssl('req', ...newKey, '-keyout', key!, '-out', request!, '-subj', `/CN=${name}`);
      writeFileSync(extensions!, `subjectAltName=${alternatives.join(',')}\n`);
      const dates = days > 0 ? ['-days', String(days)] : ['-not_before', '20200101000000Z', '-not_after', '20200102000000Z'];
      const sign = ['x509', '-req', '-in', request!, '-CA', file, '-CAkey', caKey, '-CAcreateserial', '-out', cert!,
        '-extfile', extensions!];
      openssl(...sign, ...(days > 0 ? dates : ['-days', '-1']));
      return { cert: cert!, key: key! };
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
