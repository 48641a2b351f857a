// A client of the pingpong protocol: sends frames, reads frames.
import { connect, type Socket } from 'node:net';
import { frameEnd, makeFrame, readFrame, type Frame } from './frame.ts';

export class PingPongClient implements AsyncDisposable {
  readonly socket: Socket;
  /** Everything that ever came. */
  received: Buffer = Buffer.alloc(0);
  ended = false;
  #at = 0;
  readonly #wakers = new Set<() => void>();

  static async connect(port: number): Promise<PingPongClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).once('error', reject); });
    return new PingPongClient(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    const wake = (): void => { for (const each of this.#wakers) each(); };
    socket.on('data', (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]);
      wake();
    });
    for (const event of ['end', 'error', 'close']) socket.on(event, () => { this.ended = true; wake(); });
  }

  send(...frames: ({ type: number } & Partial<Frame>)[]): void {
    this.socket.write(Buffer.concat(frames.map(makeFrame)));
  }

  /** The next `count` frames. Rejects after 5 s, or when the connection ends first. */
  async read(count: number): Promise<Frame[]> {
    const frames: Frame[] = [];
    while (frames.length < count) {
      const end = frameEnd(this.received, this.#at, this.received.length);
      if (end < 0) throw new Error(`expected a frame, got ${this.received.subarray(this.#at, this.#at + 20).toString('hex')}`);
      if (end > 0) {
        frames.push(readFrame(this.received.subarray(this.#at, end)));
        this.#at = end;
      } else {
        if (this.ended) throw new Error(`expected ${count} frames, the connection ended after ${frames.length}`);
        await this.#more(`${count} frames, had ${frames.length}`);
      }
    }
    return frames;
  }

  async ask(frame: { type: number } & Partial<Frame>): Promise<Frame> {
    this.send(frame);
    return (await this.read(1))[0]!;
  }

  async untilEnded(): Promise<void> {
    while (!this.ended) await this.#more('the end of the connection');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }

  #more(what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => { this.#wakers.delete(wake); reject(new Error(`expected ${what} in 10 s`)); }, 10_000);
      const wake = (): void => { clearTimeout(timer); this.#wakers.delete(wake); resolve(); };
      this.#wakers.add(wake);
    });
  }
}
