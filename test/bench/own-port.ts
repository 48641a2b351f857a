import { createServer } from 'node:net';

// Below the range that the kernel takes outgoing connections' ports from: thousands of those come and go
// here, and each could take a port between finding it free and listening on it.
const [lowest, highest] = [20_000, 32_000];
let next = lowest + (process.pid % (highest - lowest));

/** A port that was free a moment ago, another one each time. */
export async function ownPort(): Promise<number> {
  for (let tries = lowest; tries < highest; tries++) {
    const port = next;
    next = next + 1 < highest ? next + 1 : lowest;
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${lowest} and ${highest}`);
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
