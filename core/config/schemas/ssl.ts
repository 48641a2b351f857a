import type { JsonSchema } from '../../schema.ts';
import { descSchema, idSchema, labelsSchema, nameSchema, timesSchema } from './naming.ts';

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/** A certificate that was checked. */
export interface SslValue {
  readonly type?: 'server' | 'client';
  readonly cert: string;
  readonly key: string;
  readonly certs?: readonly string[];
  readonly keys?: readonly string[];
  readonly sni?: string;
  readonly snis?: readonly string[];
  readonly client?: { readonly ca: string; readonly depth?: number; readonly crl?: string };
  readonly ssl_protocols?: readonly TlsVersion[];
  readonly ciphers?: string;
  readonly status?: 0 | 1;
}

const pem = (description: string, secret = false): JsonSchema => ({
  type: 'string', minLength: 64, maxLength: 65536, description, ...(secret ? { writeOnly: true } : {}),
});

const sni: JsonSchema = {
  type: 'string', minLength: 1, maxLength: 253, pattern: '^(\\*|(\\*\\.)?[A-Za-z0-9._-]+)$',
  'x-expected': 'host name, *.host name or *',
};

export const sslSchema: JsonSchema = {
  type: 'object', additionalProperties: false, required: ['cert', 'key'],
  dependencies: { certs: ['keys'], keys: ['certs'] },
  properties: {
    id: idSchema, name: nameSchema, desc: descSchema, labels: labelsSchema, ...timesSchema,
    type: {
      type: 'string', enum: ['server', 'client'],
      description: '`server` (default): shown to clients; `client`: what we show to nodes (`tls.client_cert_id`).',
    },
    cert: pem('Certificate and its chain (PEM).'),
    key: pem('Its private key (PEM).', true),
    certs: { type: 'array', maxItems: 8, items: pem('Certificate of another kind of key.'), description: 'Further certificates.' },
    keys: { type: 'array', maxItems: 8, items: pem('Key.', true), description: 'Their keys, in the same order.' },
    sni: { ...sni, description: 'Server name that it is for; `*.` in front: any host; `*`: any name.' },
    snis: { type: 'array', minItems: 1, maxItems: 1024, uniqueItems: true, items: sni, description: 'Server names that it is for.' },
    client: {
      type: 'object', additionalProperties: false, required: ['ca'],
      description: 'Clients must show a certificate.',
      properties: {
        ca: pem('Certificates (PEM) that must have signed it.'),
        crl: {
          type: 'string', minLength: 64, maxLength: 1048576,
          description: 'Revocation lists (PEM), one of each authority of the chain: whom they name is refused, and everybody once one is out of date.',
        },
        depth: { type: 'integer', minimum: 0, maximum: 100, description: 'Most certificates between the client\'s and one of `ca`; default 1.' },
      },
    },
    ssl_protocols: {
      type: 'array', minItems: 1, uniqueItems: true, items: { type: 'string', enum: ['TLSv1.2', 'TLSv1.3'] },
      description: 'TLS versions; default those of the listener.',
    },
    ciphers: {
      type: 'string', minLength: 1, maxLength: 4096,
      description: 'Cipher list in the notation of OpenSSL, instead of that of the listener.',
    },
    status: { type: 'integer', enum: [0, 1], description: '1 (default): in use; 0: kept, but not used.' },
  },
};
