// A RESP client that does nothing by itself: no handshake, no reconnect, no retry; bytes as the test says.
import { connect, type Socket } from 'node:net';
import { Decoder, encodeCommand, Push, type Argument, type Value } from './resp.ts';

export interface ClientOptions {
  readonly host?: string;
  readonly bulk?: 'string' | 'buffer';
  /** Longest wait of any read, in ms. */
  readonly timeout?: number;
}

/** Ends a raw read: a byte count, a time of silence in ms, or a text that must have come. */
export type RawEnd = { readonly bytes: number } | { readonly idle: number } | { readonly until: string };

export class RespClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly #timeout: number;
  readonly #decoder: Decoder;
  readonly #values: Value[] = [];
  readonly #frames: Buffer[] = [];
  readonly #pushes: Push[] = [];
  readonly #wakers = new Set<() => void>();
  #chunks: Buffer[] = [];             // received, neither decoded nor handed out raw
  #lastByteAt = performance.now();
  #ended: string | null = null;

  /** Connects; rejects when refused. */
  static async connect(port: number, options: ClientOptions = {}): Promise<RespClient> {
    const socket = connect({ port, host: options.host ?? '127.0.0.1', noDelay: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new RespClient(socket, options);
  }

  constructor(socket: Socket, options: ClientOptions = {}) {
    this.socket = socket;
    this.#timeout = options.timeout ?? 10_000;
    this.#decoder = new Decoder({ bulk: options.bulk ?? 'string' });
    socket.on('data', (bytes: Buffer) => {
      this.#chunks.push(bytes);
      this.#lastByteAt = performance.now();
      this.#wake();
    });
    socket.on('end', () => this.#end('end'));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#end(error.code ?? error.message));
    socket.on('close', () => this.#end('close'));
  }

  /** How the peer's side ended: `end` (FIN), `ECONNRESET`, `close` (our own); null while open. */
  get ended(): string | null { return this.#ended; }
  get localPort(): number { return this.socket.localPort ?? 0; }
  /** Attributes that came with any value so far. */
  get attributes(): Map<Value, Value>[] { this.#decode(); return this.#decoder.attributes; }
  /** Push frames received so far; they never count as replies. */
  get pushes(): Push[] { this.#decode(); return this.#pushes; }

  /** Writes the bytes as they are. */
  send(bytes: string | Buffer): void { this.socket.write(bytes); }

  /** Sends one command and returns its reply; an error reply is a RespError, not thrown. */
  async command(...args: Argument[]): Promise<Value> {
    this.send(encodeCommand(args));
    return (await this.read(1))[0] as Value;
  }

  /** Sends the commands in one write and returns as many replies. */
  pipeline(commands: readonly (readonly Argument[])[]): Promise<Value[]> {
    this.send(Buffer.concat(commands.map((args) => encodeCommand(args))));
    return this.read(commands.length);
  }

  /** The next `n` replies. Rejects at the timeout or when the connection ends first, with what had come. */
  async read(n: number): Promise<Value[]> {
    await this.#until(() => { this.#decode(); return this.#values.length >= n; }, () => `${n} replies`);
    this.#frames.splice(0, n);
    return this.#values.splice(0, n);
  }

  /** The next `n` replies as the bytes that came. */
  async readFrames(n: number): Promise<Buffer[]> {
    await this.#until(() => { this.#decode(); return this.#values.length >= n; }, () => `${n} replies`);
    this.#values.splice(0, n);
    return this.#frames.splice(0, n);
  }

  /** Waits for `n` push frames and takes them. */
  async readPushes(n: number): Promise<Push[]> {
    await this.#until(() => this.pushes.length >= n, () => `${n} pushes`);
    return this.#pushes.splice(0, n);
  }

  /**
   * Bytes undecoded. With `idle` it returns what came before that long a silence or the end; never rejects
   * then.
   */
  async readRaw(end: RawEnd): Promise<Buffer> {
    if ('idle' in end) {
      // In small steps, of which each counts as what was asked for: while a busy machine let nobody run, the proxy (in
      // this process) was not silent but held up like this timer.
      for (let silent = 0; this.#ended === null && silent < end.idle;) {
        const [last, step] = [this.#lastByteAt, Math.min(10, end.idle - silent)];
        await this.#woken(step);
        silent = this.#lastByteAt === last ? silent + step : 0;
      }
      return this.#takeRaw();
    }
    if ('bytes' in end) {
      await this.#until(() => this.#rawLength() >= end.bytes, () => `${end.bytes} bytes`);
      const all = this.#takeRaw();
      if (all.length > end.bytes) this.#chunks.unshift(all.subarray(end.bytes));
      return all.subarray(0, end.bytes);
    }
    await this.#until(() => Buffer.concat(this.#chunks).includes(end.until), () => JSON.stringify(end.until));
    return this.#takeRaw();
  }

  /** Waits until the peer has ended the connection and says how. */
  async untilEnded(): Promise<string> {
    await this.#until(() => this.#ended !== null, () => 'the end of the connection');
    return this.#ended ?? '';
  }

  /** FIN: no more requests, replies are still read. */
  end(): void { this.socket.end(); }
  /** RST. */
  reset(): void { this.socket.resetAndDestroy(); }

  async close(): Promise<void> {
    if (this.socket.closed) return;
    await new Promise<void>((resolve) => { this.socket.once('close',
      () => resolve()); this.socket.destroy(); });
  }

  [Symbol.asyncDispose](): Promise<void> { return this.close(); }

  #decode(): void {
    for (const chunk of this.#chunks.splice(0)) this.#decoder.push(chunk);
    for (let value = this.#decoder.next(); value !== undefined; value = this.#decoder.next()) {
      if (value instanceof Push) {
        this.#pushes.push(value);
      } else {
        this.#values.push(value);
        this.#frames.push(this.#decoder.frame);
      }
    }
  }

  #rawLength(): number { return this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0); }
  #takeRaw(): Buffer { return Buffer.concat(this.#chunks.splice(0)); }

  #end(how: string): void {
    this.#ended ??= how;
    this.#wake();
  }

  #wake(): void { for (const wake of this.#wakers) wake(); }

  #woken(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => { clearTimeout(timer); this.#wakers.delete(wake); resolve(); };
      const timer = setTimeout(wake, Math.ceil(ms));
      this.#wakers.add(wake);
    });
  }

  async #until(met: () => boolean, what: () => string): Promise<void> {
    const deadline = performance.now() + this.#timeout;
    while (!met()) {
      const left = deadline - performance.now();
      if (this.#ended !== null)
        throw new Error(`expected ${what()}, the connection ended (${this.#ended}); ${this.#had()}`);
      if (left <= 0) throw new Error(`expected ${what()} in ${this.#timeout} ms; ${this.#had()}`);
      await this.#woken(left);
    }
  }

  #had(): string {
    const raw = Buffer.concat(this.#chunks).subarray(0, 200).toString('latin1');
    return `had ${this.#values.length} replies, ${this.#pushes.length} pushes, ` +
      `${this.#decoder.pending} bytes of a value, undecoded ${JSON.stringify(raw)}`;
  }
}
