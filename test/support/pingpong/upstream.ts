// A server of the pingpong protocol that does what a test tells it to.
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { frameEnd, readFrame, type Frame } from './frame.ts';

export interface PingPongUpstream extends AsyncDisposable {
  readonly port: number;
  /** Frames that came, of all connections. */
  readonly received: Frame[];
  readonly open: Set<Socket>;
  readonly accepted: number;
  /** What it does with a frame; may be replaced at any time. */
  answer: (raw: Buffer, socket: Socket) => void;
}

/** Sends every frame back unless told otherwise. */
export async function startPingPongUpstream(answer?: PingPongUpstream['answer']): Promise<PingPongUpstream> {
  const received: Frame[] = [];
  const open = new Set<Socket>();
  let accepted = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    accepted++;
    open.add(socket);
    let rest: Buffer = Buffer.alloc(0);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
    socket.on('data', (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes]);
      for (let end = frameEnd(rest, 0, rest.length); end > 0; end = frameEnd(rest, 0, rest.length)) {
        const raw = rest.subarray(0, end);
        rest = rest.subarray(end);
        received.push(readFrame(raw));
        upstream.answer(raw, socket);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstream: PingPongUpstream = {
    port: (server.address() as AddressInfo).port,
    received, open,
    get accepted() { return accepted; },
    answer: answer ?? ((raw, socket) => { socket.write(raw); }),
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
  return upstream;
}
