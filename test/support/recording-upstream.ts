// An upstream that writes down every command it is sent, and answers by a function or as the real server
// behind it.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { CommandReader } from './command-reader.ts';

export interface Recorded {
  /** Counts up with each accepted connection. */
  readonly connection: number;
  readonly args: readonly string[];
  readonly raw: Buffer;
}

export interface RecordingOptions {
  readonly port?: number;
  /** Bytes to answer with; null: no answer. Without it and without `forwardTo`: `+OK`. */
  readonly reply?: (args: readonly string[], connection: number) => string | Buffer | null;
  /** Port of a real server on 127.0.0.1 that answers instead. */
  readonly forwardTo?: number;
}

export interface RecordingUpstream extends AsyncDisposable {
  readonly port: number;
  readonly commands: readonly Recorded[];
  /** Each command as one text, as `GET a`. */
  readonly received: readonly string[];
  /** What could not be framed, as text. A correct proxy leaves this empty. */
  readonly broken: readonly string[];
  /** How many connections came so far, and how many are open. */
  readonly accepted: number;
  readonly open: number;
  clear(): void;
  close(): Promise<void>;
}

/** Starts one on a free port of 127.0.0.1. */
export async function startRecordingUpstream(options: RecordingOptions = {}): Promise<RecordingUpstream> {
  const commands: Recorded[] = [];
  const broken: string[] = [];
  const sockets = new Set<Socket>();
  const clients = new Set<Socket>();
  let accepted = 0;
  const reply = options.reply ?? ((): string => '+OK\r\n');
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const connection = accepted++;
    const reader = new CommandReader();
    const to = options.forwardTo;
    const behind = to === undefined ? null : connect({ port: to, host: '127.0.0.1', noDelay: true });
    clients.add(socket);
    socket.on('close', () => clients.delete(socket));
    for (const each of behind === null ? [socket] : [socket, behind]) {
      sockets.add(each);
      each.on('error', () => {}).on('close', () => sockets.delete(each));
    }
    behind?.pipe(socket);
    behind?.on('close', () => socket.destroy());
    socket.on('close', () => behind?.destroy());
    socket.on('end', () => (behind ?? socket).end());
    socket.on('data', (bytes: Buffer) => {
      behind?.write(bytes);
      try {
        for (const { args, raw } of reader.push(bytes)) {
          const texts = args.map((arg) => arg.toString());
          commands.push({ connection, args: texts, raw });
          const answer = behind === null ? reply(texts, connection) : null;
          if (answer !== null) socket.write(answer);
        }
      } catch (error) {
        broken.push(`connection ${connection}: ${(error as Error).message}`);
        socket.destroy();
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => { server.close(() => resolve()); });
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    port: (server.address() as AddressInfo).port,
    commands,
    broken,
    get received() { return commands.map(({ args }) => args.join(' ')); },
    get accepted() { return accepted; },
    get open() { return clients.size; },
    clear() { commands.length = 0; broken.length = 0; },
    close,
    [Symbol.asyncDispose]: close,
  };
}
