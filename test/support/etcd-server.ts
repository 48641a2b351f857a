// A real etcd of the test's own: free ports, a temporary folder.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Certificate } from './certificates.ts';
import { freePort } from './ports.ts';

export interface EtcdServer extends AsyncDisposable {
  readonly endpoint: string;
  /** Ends it without warning; what it has stays. */
  kill(): Promise<void>;
  /** Starts it again on the same port with the same data. */
  start(): Promise<void>;
  /** Takes its data away, as a lost disk does; it must not be running. */
  forget(): Promise<void>;
  /** What etcd answers to a call of its gateway. */
  call(path: string, body: object, headers?: Record<string, string>): Promise<any>;
}

/** Files. etcd shows `server` and asks for a certificate that `ca` signed; `call` shows `client`. */
export interface EtcdTls {
  readonly ca: string;
  readonly server: Certificate;
  readonly client: Certificate;
}

export async function startEtcd(tls?: EtcdTls): Promise<EtcdServer> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-etcd-'));
  const [client, peer] = [await freePort(), await freePort()];
  const endpoint = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${client}`;
  let child: ChildProcess | null = null;
  const call = async (path: string, body: object, headers: Record<string, string> = {}): Promise<any> =>
    (tls === undefined ? (await fetch(endpoint + path, { method: 'POST', body: JSON.stringify(body), headers })).json()
      : post(tls, endpoint + path, JSON.stringify(body), headers));
  const kill = async (): Promise<void> => {
    const running = child;
    child = null;
    if (running === null || running.exitCode !== null) return;
    const ended = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGKILL');
    await ended;
  };
  const start = async (): Promise<void> => {
    child = spawn('etcd', [
      '--data-dir', join(folder, 'data'), '--name', 'test', '--listen-client-urls', endpoint, '--advertise-client-urls', endpoint,
      '--listen-peer-urls', `http://127.0.0.1:${peer}`, '--initial-advertise-peer-urls', `http://127.0.0.1:${peer}`,
      '--initial-cluster', `test=http://127.0.0.1:${peer}`, '--log-level', 'error',
      ...(tls === undefined ? [] : ['--cert-file', tls.server.cert, '--key-file', tls.server.key, '--trusted-ca-file', tls.ca, '--client-cert-auth']),
    ], { stdio: 'ignore' });
    let failure: Error | null = null;
    child.once('error', (error) => { failure = error; });
    for (let tries = 0; tries < 400; tries++) {
      if (failure !== null) throw new Error('no etcd on PATH: run scripts/test-needs.sh', { cause: failure });
      try {
        await call('/v3/kv/range', { key: Buffer.from('x').toString('base64') });
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    }
    throw new Error(`etcd did not answer at ${endpoint} in 10 s`);
  };
  await start();
  return {
    endpoint, kill, start, call,
    forget: async () => rmSync(join(folder, 'data'), { recursive: true, force: true }),
    async [Symbol.asyncDispose]() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function post({ ca, client }: EtcdTls, url: string, body: string, headers: Record<string, string>): Promise<any> {
  const files = { ca: readFileSync(ca), cert: readFileSync(client.cert), key: readFileSync(client.key) };
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'POST', headers, agent: false, ...files }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => { text += part; }).on('end', () => {
        try {
          resolve(JSON.parse(text));
        } catch (error) {
          reject(error as Error);
        }
      });
    });
    asked.once('error', reject).end(body);
  });
}
