// A server of the line protocol that does what a test tells it to.
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';

export interface LineUpstream extends AsyncDisposable {
  readonly port: number;
  /** Lines that came, of all connections. */
  readonly received: string[];
  readonly open: Set<Socket>;
  readonly accepted: number;
  /** What it does with a line; may be replaced at any time. */
  answer: (line: string, socket: Socket) => void;
  /** Resolves when so many lines came. */
  wait(count: number): Promise<string[]>;
}

/** Answers `x` with `x!` unless told otherwise. */
export async function startLineUpstream(answer?: LineUpstream['answer'], port = 0): Promise<LineUpstream> {
  const received: string[] = [];
  const open = new Set<Socket>();
  const waiting = new Set<() => void>();
  let accepted = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    accepted++;
    open.add(socket);
    let rest = '';
    socket.on('error', () => {}).on('close', () => open.delete(socket));
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        received.push(line);
        upstream.answer(line, socket);
      }
      for (const look of waiting) look();
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const upstream: LineUpstream = {
    port: (server.address() as AddressInfo).port,
    received, open,
    get accepted() { return accepted; },
    answer: answer ?? ((line, socket) => { socket.write(`${line}!\n`); }),
    wait: (count) => new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`expected ${count} lines, got ${received.length}`)), 10_000);
      const look = (): void => {
        if (received.length < count) return;
        clearTimeout(timer);
        waiting.delete(look);
        resolve(received.slice(0, count));
      };
      waiting.add(look);
      look();
    }),
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
  return upstream;
}
