import { createServer } from 'node:net';

// Below the range that the system takes for outgoing connections: none of those can come in between.
const first = 12_000;
const last = 32_000;
/** Free is not the same as unclaimed: who got one may listen on it later. */
const given = new Set<number>();

/** A port on 127.0.0.1 that was free a moment ago, and that hardly anybody else picks at the same time. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + Math.floor(Math.random() * (last - first));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
