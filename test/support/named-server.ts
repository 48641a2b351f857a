// A TCP server that greets with its name and then sends back what it gets: shows which node a route led to.
import { createServer, type AddressInfo, type Socket } from 'node:net';

export interface NamedServer extends AsyncDisposable {
  readonly port: number;
  readonly address: string;
  /** Connections accepted so far. */
  readonly accepted: number;
  readonly open: number;
  /** Refuses from now on; open connections are reset. */
  stop(): Promise<void>;
  /** Takes the same port again. */
  restart(): Promise<void>;
}

export async function startNamed(name: string, host = '127.0.0.1'): Promise<NamedServer> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.write(`${name}\n`);
    socket.pipe(socket);
  });
  const listen = (port: number): Promise<void> => new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    for (const socket of sockets) socket.resetAndDestroy();
    await new Promise((resolve) => server.close(resolve));
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    address: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    get accepted() { return accepted; },
    get open() { return sockets.size; },
    stop,
    restart: () => listen(port),
    [Symbol.asyncDispose]: stop,
  };
}
