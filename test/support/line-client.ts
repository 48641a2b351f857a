// A client of plain lines; binds to an address of its own where routes look at it.
import { connect, type Socket } from 'node:net';

export interface LineClientOptions {
  readonly host?: string;
  /** The address that it comes from, e.g. 127.0.0.2. */
  readonly from?: string;
}

export interface LineClient extends AsyncDisposable {
  readonly socket: Socket;
  /** The next line; null when the connection ended first. */
  line(): Promise<string | null>;
  send(text: string): void;
}

export async function connectLines(port: number, options: LineClientOptions = {}): Promise<LineClient> {
  const socket = connect({
    port, host: options.host ?? '127.0.0.1', allowHalfOpen: true,
    ...(options.from === undefined ? {} : { localAddress: options.from }),
  });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return lines(socket);
}

export function lines(socket: Socket): LineClient {
  let text = '';
  let ended = false;
  let wake: () => void = () => undefined;
  socket.on('data', (chunk: Buffer) => { text += chunk.toString('latin1'); wake(); });
  const end = (): void => { ended = true; wake(); };
  socket.on('end', end).on('close', end).on('error', end);
  return {
    socket,
    async line() {
      const deadline = performance.now() + 8000;
      while (!text.includes('\n') && !ended) {
        if (performance.now() > deadline) throw new Error(`no line in 8 s, had ${JSON.stringify(text)}`);
        await new Promise<void>((resolve) => { wake = resolve; setTimeout(resolve, 200); });
      }
      const at = text.indexOf('\n');
      if (at < 0) return null;
      const line = text.slice(0, at);
      text = text.slice(at + 1);
      return line;
    },
    send: (bytes) => { socket.write(bytes); },
    async [Symbol.asyncDispose]() {
      if (socket.closed) return;
      await new Promise<void>((resolve) => { socket.once('close', () => resolve()); socket.destroy(); });
    },
  };
}

/** The first line that a new connection gets; null: it was closed. */
export async function greetingAt(port: number, options: LineClientOptions = {}): Promise<string | null> {
  await using client = await connectLines(port, options);
  return await client.line();
}
