// Workers share their ports (SO_REUSEPORT), so the kernel would let a second Millrace of the same user share them, too: each
// would get a part of the clients. Whoever starts one twice wants to hear of it.
import { createServer } from 'node:net';
import { ProxyError } from './errors.ts';
import type { ListenerSettings } from './settings.ts';

/** Rejects with LISTEN_FAILED if somebody listens on one of the ports. */
export async function refuseTakenPorts(listeners: readonly Pick<ListenerSettings, 'address' | 'port' | 'unix'>[]): Promise<void> {
  // Who opens a Unix socket looks there himself.
  for (const { address, port, unix } of listeners) if (unix === undefined) await tryPort(address, port);
}

function tryPort(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause) => reject(listenFailure(host, port, cause)));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()));
  });
}

/** `127.0.0.1:9101: could not listen: EADDRINUSE (address already in use)` */
export function listenFailure(address: string, port: number, cause: Error): ProxyError {
  const [, code = cause.message, words] = /^\w+ (E[A-Z]+): (.*?)(?: \S*:\d+)?$/.exec(cause.message) ?? [];
  const host = address.includes(':') ? `[${address}]` : address;
  const text = `${host}:${port}: could not listen: ${code}${words === undefined ? '' : ` (${words})`}`;
  return new ProxyError('LISTEN_FAILED', text, { cause });
}
