// A byte pipe with a bad network in it, switchable while bytes flow. Delays are made in user space: `tc
// netem` needs a kernel module that is often missing.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Dice, freshSeed } from './dice.ts';

/** All off by default; each direction has its own. */
export interface Toxics {
  readonly latencyMs?: number;
  /** Added or taken at random, up to this. Order is kept. */
  readonly jitterMs?: number;
  readonly bytesPerSecond?: number;
  /** Largest piece handed on at once. */
  readonly sliceBytes?: number;
  /** Wait between pieces. */
  readonly sliceGapMs?: number;
  /** Nothing goes on (and nothing is read once 64 KiB wait) until switched off. */
  readonly stopped?: boolean;
  /** RST to both sides after this many bytes in this direction, per connection. */
  readonly resetAfterBytes?: number;
  /** FIN after this many bytes in this direction, per connection; the rest is dropped. */
  readonly limitBytes?: number;
  /** How long after one side's end the other side hears of it. */
  readonly slowCloseMs?: number;
}

export interface ToxicMiddle extends AsyncDisposable {
  readonly port: number;
  readonly seed: number;
  readonly connections: number;
  /** `up`: client to server; `down`: server to client. Replaces what was set before. */
  set(direction: 'up' | 'down' | 'both', toxics: Toxics): void;
  /** RST on both sides of every connection. */
  reset(): void;
  /** While true, new connections are reset at once. */
  refuse(on: boolean): void;
  close(): Promise<void>;
}

const QUEUE = 65_536;

class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #toxics: () => Toxics;
  readonly #dice: Dice;
  readonly #cut: () => void;
  readonly #queue: { readonly bytes: Buffer; readonly due: number }[] = [];
  #queued = 0;
  #passed = 0;
  #running = false;
  #ended = false;

  constructor(from: Socket, to: Socket, toxics: () => Toxics, dice: Dice, cut: () => void) {
    this.#from = from;
    this.#to = to;
    this.#toxics = toxics;
    this.#dice = dice;
    this.#cut = cut;
    from.on('data', (bytes: Buffer) => this.#take(bytes));
    from.on('end', () => { this.#ended = true; void this.#run(); });
  }

  #take(bytes: Buffer): void {
    const { latencyMs = 0, jitterMs = 0 } = this.#toxics();
    const jitter = jitterMs === 0 ? 0 : (this.#dice.next() * 2 - 1) * jitterMs;
    this.#queue.push({ bytes, due: performance.now() + Math.max(0, latencyMs + jitter) });
    this.#queued += bytes.length;
    if (this.#queued >= QUEUE) this.#from.pause();
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    while (this.#queue.length > 0 && !this.#to.destroyed) await this.#hand();
    this.#running = false;
    if (!this.#ended || this.#to.destroyed) return;
    await sleep(this.#toxics().slowCloseMs ?? 0);
    this.#to.end();
  }

  async #hand(): Promise<void> {
    const toxics = this.#toxics();
    if (toxics.stopped === true) { await sleep(10); return; }
    const first = this.#queue[0];
    if (first === undefined) return;
    const early = first.due - performance.now();
    if (early > 0.5) { await sleep(Math.min(early, 50)); return; }
    this.#queue.shift();
    await this.#write(first.bytes);
    this.#queued -= first.bytes.length;
    if (this.#queued < QUEUE) this.#from.resume();
  }

  async #write(bytes: Buffer): Promise<void> {
    let at = 0;
    while (at < bytes.length && !this.#to.destroyed) {
      const toxics = this.#toxics();
      if (toxics.stopped === true) { await sleep(10); continue; }
      const room = Math.min(toxics.limitBytes ?? Infinity, toxics.resetAfterBytes ?? Infinity) - this.#passed;
      const size = Math.min(bytes.length - at, Math.max(1, toxics.sliceBytes ?? Infinity), Math.max(0, room));
      if (size > 0 && !this.#to.write(bytes.subarray(at, at + size))) await drained(this.#to);
      at += size;
      this.#passed += size;
      if (size >= room) { this.#over(toxics); return; }
      await sleep((toxics.sliceGapMs ?? 0) + size * 1000 / (toxics.bytesPerSecond ?? Infinity));
    }
  }

  #over(toxics: Toxics): void {
    this.#queue.length = 0;
    if (this.#passed >= (toxics.resetAfterBytes ?? Infinity)) setTimeout(this.#cut, 2);
    else this.#to.end();
  }
}

function sleep(ms: number): Promise<void> | undefined {
  return ms <= 0 ? undefined : new Promise((resolve) => { setTimeout(resolve, ms); });
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => { socket.once('drain', resolve).once('close', () => resolve()); });
}

export interface ToxicOptions {
  readonly to: number;
  readonly host?: string;
  readonly seed?: number;
}

/** Starts a pipe from a free port of 127.0.0.1 to `to`. */
export async function startToxicMiddle(options: ToxicOptions): Promise<ToxicMiddle> {
  const dice = new Dice(options.seed ?? freshSeed());
  const sockets = new Set<Socket>();
  let up: Toxics = {};
  let down: Toxics = {};
  let refusing = false;
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    if (refusing) { client.resetAndDestroy(); return; }
    const host = options.host ?? '127.0.0.1';
    const behind = connect({ port: options.to, host, noDelay: true, allowHalfOpen: true });
    const cut = (): void => { client.resetAndDestroy(); behind.resetAndDestroy(); };
    for (const socket of [client, behind]) {
      sockets.add(socket);
      socket.on('error', cut);
      socket.on('close', () => { sockets.delete(socket); client.destroy(); behind.destroy(); });
    }
    new Pipe(client, behind, () => up, dice, cut);
    new Pipe(behind, client, () => down, dice, cut);
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => { server.close(() => resolve()); });
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    port: (server.address() as AddressInfo).port,
    seed: dice.seed,
    get connections() { return sockets.size / 2; },
    set(direction, toxics) {
      if (direction !== 'down') up = toxics;
      if (direction !== 'up') down = toxics;
    },
    reset() { for (const socket of sockets) socket.resetAndDestroy(); },
    refuse(on) { refusing = on; },
    close,
    [Symbol.asyncDispose]: close,
  };
}
