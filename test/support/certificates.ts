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
  issue(name: string, alternatives: readonly string[], days?: number, kind?: 'ec' | 'rsa', subject?: string): Certificate;
  /** Its list of those that count no more; `days` below 0: one that is out of date. */
  revocations(revoked: readonly Certificate[], days?: number): string;
  /** An authority below this one. */
  subordinate(name: string): Authority;
}

const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
const rsa = ['-newkey', 'rsa:2048', '-nodes'];

const caSettings = '[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\n';

function openssl(folder: string, ...args: string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
}

export function makeAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
  const [file, key] = [join(folder, 'ca.pem'), join(folder, 'ca.key')];
  openssl(folder, 'req', '-x509', ...ec, '-keyout', key, '-out', file, '-days', '2', '-subj', '/CN=Millrace test authority',
    '-addext', 'basicConstraints=critical,CA:TRUE');
  return authorityOf(folder, file, key);
}

function authorityOf(folder: string, file: string, caKey: string): Authority {
  const sign = (name: string, request: string, extension: string, out: string, days = 2): void => {
    const extensions = join(folder, `${name}.ext`);
    writeFileSync(extensions, `${extension}\n`);
    openssl(folder, 'x509', '-req', '-in', request, '-CA', file, '-CAkey', caKey, '-CAcreateserial', '-out', out, '-extfile', extensions,
      '-days', String(days > 0 ? days : -1));
  };
  return {
    folder, file,
    text: readFileSync(file, 'utf8'),
    issue(name, alternatives, days = 2, kind = 'ec', subject = `/CN=${name}`) {
      const [cert, key, request] = ['pem', 'key', 'csr'].map((end) => join(folder, `${name}.${end}`));
      openssl(folder, 'req', ...(kind === 'ec' ? ec : rsa), '-keyout', key!, '-out', request!, '-subj', subject);
      sign(name, request!, `subjectAltName=${alternatives.join(',')}`, cert!, days);
      return { cert: cert!, key: key! };
    },
    revocations(revoked, days = 2) {
      const own = mkdtempSync(join(folder, 'crl-'));
      for (const [name, text] of [['index.txt', ''], ['crlnumber', '01\n'], ['ca.cnf', caSettings]] as const) writeFileSync(join(own, name), text);
      const ca = ['ca', '-config', 'ca.cnf', '-cert', file, '-keyfile', caKey];
      for (const { cert } of revoked) openssl(own, ...ca, '-revoke', cert);
      const dates = days > 0 ? ['-crldays', String(days)] : ['-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20200102000000Z'];
      openssl(own, ...ca, '-gencrl', ...dates, '-out', 'list.pem');
      return readFileSync(join(own, 'list.pem'), 'utf8');
    },
    subordinate(name) {
      const own = mkdtempSync(join(folder, `${name}-`));
      const [cert, key, request] = ['ca.pem', 'ca.key', 'ca.csr'].map((each) => join(own, each));
      openssl(own, 'req', ...ec, '-keyout', key!, '-out', request!, '-subj', `/CN=${name}`);
      sign(name, request!, 'basicConstraints=critical,CA:TRUE', cert!);
      return authorityOf(own, cert!, key!);
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
