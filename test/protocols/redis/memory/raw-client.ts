// A client that hands out replies as the bytes they came in.
import { connect, type Socket } from 'node:net';
import { frameEnd } from './frame.ts';

export class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  closed = false;
  #bytes: Buffer = Buffer.alloc(0);
  #wake: () => void = () => undefined;

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RawClient(socket);
  }

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
    socket.on('error', () => undefined);
  }

  send(bytes: Buffer | string): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends a command as RESP and waits for its reply. */
  async call(...args: readonly string[]): Promise<string> {
    this.send(encode(args));
    return this.reply();
  }

  /** The next complete reply or push, as latin1. */
  async reply(): Promise<string> {
    for (;;) {
      const end = frameEnd(this.#bytes, 0);
      if (end !== null) return this.#take(end);
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.#bytes.toString('latin1'))}`);
      await this.#more();
    }
  }

  /** Everything until the other end closes. */
  async rest(): Promise<string> {
    while (!this.closed) await this.#more();
    return this.#take(this.#bytes.length);
  }

  /** What arrives within the milliseconds. */
  async within(milliseconds: number): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    return this.#take(this.#bytes.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    while (!this.closed) await this.#more();
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #take(end: number): string {
    const taken = this.#bytes.toString('latin1', 0, end);
    this.#bytes = this.#bytes.subarray(end);
    return taken;
  }
}

/** A command as an array of bulk strings; arguments are latin1. */
export function encode(args: readonly string[]): Buffer {
  const bulks = args.map((arg) => `$${arg.length}\r\n${arg}\r\n`);
  return Buffer.from(`*${args.length}\r\n${bulks.join('')}`, 'latin1');
}
