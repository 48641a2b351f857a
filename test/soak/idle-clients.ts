// G3: what an idle client costs.
import { connect, type Socket } from 'node:net';
import { sleep } from '../support/sleep.ts';
import { startMillrace } from './process.ts';

export interface IdleResult { readonly clients: number; readonly bytesEach: number; readonly before: number; readonly after: number }

/** Each client asks once, then rests. */
export async function idleClients(upstream: number, clients: number): Promise<IdleResult> {
  await using millrace = await startMillrace({ upstream, limits: { clients_per_listener: clients + 1000, clients_per_address: clients + 1000 } });
  // What a first few hundred clients make the process load and allocate is not theirs.
  const first = await open(millrace.port, 300);
  for (const socket of first) socket.destroy();
  await sleep(500);
  const before = millrace.resident();
  const sockets = await open(millrace.port, clients);
  await sleep(1500);
  const after = millrace.resident();
  for (const socket of sockets) socket.destroy();
  return { clients, bytesEach: (after - before) / clients, before, after };
}

async function open(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let at = 0; at < count; at += 100) {
    await Promise.all(Array.from({ length: Math.min(100, count - at) }, () => new Promise<void>((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1' });
      sockets.push(socket);
      socket.once('connect', () => socket.write('PING\r\n')).once('data', () => resolve()).once('error', reject);
    })));
  }
  return sockets;
}
