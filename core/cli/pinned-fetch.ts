// One GET over TLS from the server whose certificate we know, whatever name it has and whoever signed it.
import { request } from 'node:https';

export interface Fetched {
  readonly ok: boolean;
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

const timeout = 10_000;
const largest = 256 * 1024 * 1024;

/** `certificate`: PEM. Rejects when the server shows another one. */
export function pinnedFetch(url: string, headers: Readonly<Record<string, string>>, certificate: string): Promise<Fetched> {
  return new Promise((resolve, reject) => {
    const asked = request(url, {
      headers, agent: false, signal: AbortSignal.timeout(timeout),
      ca: certificate, allowPartialTrustChain: true, checkServerIdentity: () => undefined,
    }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > largest) asked.destroy(new Error(`expected at most ${largest} bytes`));
      });
      response.on('error', reject);
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        const text = Buffer.concat(chunks).toString();
        resolve({ ok: status >= 200 && status < 300, status, type: response.headers['content-type'] ?? '', text });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}
