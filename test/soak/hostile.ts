// G9: clients that mean harm beside clients that do not.
import { connect, type Socket } from 'node:net';
import { encodeCommand } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';
import { startMillrace } from './process.ts';

export interface HostileResult {
  readonly quietPerSecond: number;
  readonly besidePerSecond: number;
  readonly quietP99: number;
  readonly besideP99: number;
  readonly failed: number;
  /** What good clients got instead, once each. */
  readonly strange: readonly string[];
  readonly peak: number;
}

type Hostile = (socket: Socket) => void;

const big = 'hostile:big';
const mib = 1024 * 1024;

function flood(socket: Socket): void {
  socket.pause();
  socket.write(Buffer.concat(Array.from({ length: 200 }, () => encodeCommand(['GET', big]))));
}

/** What a connection does once it is open; it is opened again when it was closed. */
const hostiles: readonly Hostile[] = [
  // Pipelines and never reads.
  (socket) => { socket.pause(); repeat(socket, 20, () => socket.write(encodeCommand(['GET', big]))); },
  flood,
  // Begins a command and goes on byte by byte.
  (socket) => { socket.write('*3\r\n$3\r\nSET\r\n$1\r\na\r\n$500000000\r\n'); repeat(socket, 200, () => socket.write('x')); },
  (socket) => { repeat(socket, 100, () => socket.write('G')); },
  // Declares much and sends nothing.
  (socket) => { socket.write('*1000000\r\n'); },
  // Garbage, other protocols, numbers that are none.
  (socket) => { socket.write(Buffer.from(Array.from({ length: 4000 }, (_, i) => (i * 7919) % 256))); },
  (socket) => { socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'); },
  (socket) => { socket.write('*1e3\r\n$0x10\r\n'); },
  // Holds what belongs to it alone.
  (socket) => { socket.write('MULTI\r\n'); },
  (socket) => { socket.write('BLPOP none 0\r\n'); },
  (socket) => { socket.pause(); socket.write('SUBSCRIBE hostile\r\n'); },
  // Comes and goes.
  (socket) => { socket.write('PING\r\n'); setTimeout(() => socket.resetAndDestroy(), 20); },
  // Unknown names without end.
  (socket) => { let n = 0; repeat(socket, 50, () => socket.write(`nosuch${n++} x\r\n`)); },
];

function repeat(socket: Socket, ms: number, act: () => void): void {
  const timer = setInterval(() => { if (socket.writableLength < mib) act(); }, ms);
  socket.once('close', () => clearInterval(timer));
  act();
}

export async function hostileClients(upstream: number, hostile: number, good: number, seconds: number): Promise<HostileResult> {
  await using millrace = await startMillrace({
    upstream, limits: { clients_per_address: hostile + good + 100, own_links_per_node: 64, slow_client_s: 5, request_timeout_s: 5 },
  });
  const setup = new Good(millrace.port, 0);
  await setup.command(['SET', big, Buffer.alloc(mib, 'b')]);
  setup.close();
  const friends = Array.from({ length: good }, (_, i) => new Good(millrace.port, i));
  // Warm first, then measured alone, then with company.
  await Promise.all(friends.map((friend) => friend.run(1)));
  const quiet = merge(await Promise.all(friends.map((friend) => friend.run(seconds))));
  let over = false;
  const sockets = new Set<Socket>();
  const besiege = (index: number): void => {
    if (over) return;
    const socket = connect({ port: millrace.port, host: '127.0.0.1' });
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('connect', () => hostiles[index % hostiles.length]!(socket));
    socket.once('close', () => { sockets.delete(socket); setTimeout(() => besiege(index), 50); });
  };
  for (let i = 0; i < hostile; i++) besiege(i);
  let peak = 0;
  const watch = setInterval(() => { peak = Math.max(peak, millrace.resident()); }, 100);
  await sleep(500);
  const beside = merge(await Promise.all(friends.map((friend) => friend.run(seconds))));
  over = true;
  clearInterval(watch);
  for (const socket of sockets) socket.destroy();
  for (const friend of friends) friend.close();
  return {
    quietPerSecond: quiet.times.length / seconds, besidePerSecond: beside.times.length / seconds,
    quietP99: p99(quiet.times), besideP99: p99(beside.times), failed: quiet.failed + beside.failed, strange: [...strange], peak,
  };
}

const strange = new Set<string>();

interface Ran { readonly times: number[]; readonly failed: number }

function merge(all: readonly Ran[]): Ran {
  return { times: all.flatMap(({ times }) => times), failed: all.reduce((sum, { failed }) => sum + failed, 0) };
}

function p99(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0;
}

/** Asks for something, checks the answer, and asks again a little later. */
class Good {
  readonly #socket: Socket;
  readonly #index: number;
  #waiting: ((bytes: Buffer) => void) | null = null;

  constructor(port: number, index: number) {
    this.#index = index;
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (bytes: Buffer) => this.#waiting?.(bytes));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => this.#waiting?.(Buffer.from('closed')));
  }

  command(args: (string | Buffer)[]): Promise<Buffer> {
    return new Promise((resolve) => {
      this.#waiting = (bytes) => { this.#waiting = null; resolve(bytes); };
      this.#socket.write(encodeCommand(args));
    });
  }

  async run(seconds: number): Promise<Ran> {
    const until = performance.now() + seconds * 1000;
    const times: number[] = [];
    let failed = 0;
    for (let n = 0; performance.now() < until; n++) {
      const from = performance.now();
      const text = `good:${this.#index}:${n}`;
      const reply = await this.command(['ECHO', text]);
      if (reply.toString() !== `$${text.length}\r\n${text}\r\n`) {
        failed++;
        strange.add(reply.toString('latin1', 0, 80));
        if (strange.has('closed')) break;
      }
      times.push(performance.now() - from);
      await sleep(1);
    }
    return { times, failed };
  }

  close(): void { this.#socket.destroy(); }
}
