// G9: clients that mean harm beside clients that do not.
import { connect, type Socket } from 'node:net';
import { encodeCommand } from '../support/resp.ts';
import { RespClient } from '../support/resp-client.ts';
import { sleep } from '../support/sleep.ts';
import { GoodClient, type Ran } from './good-client.ts';
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
  await using setup = await RespClient.connect(millrace.port);
  await setup.command('SET', big, Buffer.alloc(mib, 'b'));
  const friends = await Promise.all(Array.from({ length: good }, (_, i) => GoodClient.connect(millrace.port, i)));
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
    quietP99: p99(quiet.times), besideP99: p99(beside.times), failed: quiet.failed + beside.failed, peak,
    strange: [...new Set(friends.flatMap(({ strange }) => [...strange]))],
  };
}

function merge(all: readonly Ran[]): Ran {
  return { times: all.flatMap(({ times }) => times), failed: all.reduce((sum, { failed }) => sum + failed, 0) };
}

function p99(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0;
}
