// A client of line protocols: sends bytes as they are, reads lines.
import { connect, type Socket } from 'node:net';

export class TextClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly lines: string[] = [];
  /** How the peer's side ended; null while it is open. */
  ended: string | null = null;
  #rest = '';
  readonly #wakers = new Set<() => void>();

  /** `from`: the address that it comes from. */
  static async connect(port: number, host = '127.0.0.1', from = '127.0.0.1'): Promise<TextClient> {
    const socket = connect({ port, host, localAddress: from, noDelay: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).once('error', reject); });
    return new TextClient(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      this.lines.push(...lines);
      this.#wake();
    });
    for (const event of ['end', 'error', 'close']) socket.on(event, () => { this.ended ??= event; this.#wake(); });
  }

  send(text: string): void { this.socket.write(text); }
  /** FIN; replies are still read. */
  end(): void { this.socket.end(); }

  /** The next `count` lines. Rejects after `timeout` ms, or when the connection ends first. */
  async read(count: number, timeout = 10_000): Promise<string[]> {
    await this.#until(() => this.lines.length >= count, () => this.ended !== null, timeout, `${count} lines`);
    return this.lines.splice(0, count);
  }

  async ask(line: string): Promise<string> {
    this.send(`${line}\n`);
    return (await this.read(1))[0]!;
  }

  async untilEnded(timeout = 10_000): Promise<void> {
    await this.#until(() => this.ended !== null, () => false, timeout, 'the end of the connection');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }

  #wake(): void { for (const wake of this.#wakers) wake(); }

  async #until(met: () => boolean, hopeless: () => boolean, timeout: number, what: string): Promise<void> {
    const deadline = performance.now() + timeout;
    while (!met()) {
      const left = deadline - performance.now();
      const had = `had ${this.lines.length}: ${JSON.stringify(this.lines.slice(0, 20).map((line) => line.slice(0, 80)))} and ${JSON.stringify(this.#rest.slice(0, 100))}`;
      if (hopeless()) throw new Error(`expected ${what}, the connection ended (${this.ended}); ${had}`);
      if (left <= 0) throw new Error(`expected ${what} in ${timeout} ms; ${had}`);
      await new Promise<void>((resolve) => {
        const wake = (): void => { clearTimeout(timer); this.#wakers.delete(wake); resolve(); };
        const timer = setTimeout(wake, Math.ceil(left));
        this.#wakers.add(wake);
      });
    }
  }
}
