// An upstream that speaks RESP, answers `GET k` with `k` (or with what SET stored), and misbehaves by seeded
// dice. A key can order a misbehaviour of its own: `evil:late:anything`, `evil:late=250:anything`
// (milliseconds).
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { CommandReader, type SeenCommand } from './command-reader.ts';
import { Dice, freshSeed } from './dice.ts';

/** What can go wrong with one reply, or (the last two) with one connection. */
export const misbehaviours = [
  'late',             // after lateMs; the replies behind it wait
  'sliver',           // one byte per write
  'early',            // answered with an error once the key is there, before the request is complete
  'twice',            // the reply comes two times
  'skip',             // no reply to this request; the next ones are answered
  'never',            // this connection answers nothing any more
  'extra',            // an unrequested `+EXTRA` behind the reply
  'swap',             // this reply and the next one change places
  'type',             // a type byte that RESP does not know
  'long',             // the bulk's length says more bytes than come
  'short',            // the bulk's length says fewer bytes than come
  'deep',             // 100,000 arrays in each other
  'half-fin',         // half of the reply, then FIN
  'half-rst',         // half of the reply, then RST
  'half-silence',     // half of the reply, then nothing any more
  'fin',              // FIN instead of a reply, command executed
  'rst',              // RST instead of a reply, command executed
  'push',             // a push frame before the reply
  'attribute',        // an attribute before the reply
  'error',            // an error text with bytes below 0x20
  'deaf',             // the connection is accepted and never read
  'close-on-accept',  // the connection is closed at once
] as const;
export type Misbehaviour = typeof misbehaviours[number];

export interface EvilOptions {
  readonly seed?: number;
  /** Probability of each, per request (per connection for deaf and close-on-accept). */
  readonly chances?: Partial<Record<Misbehaviour, number>>;
  readonly lateMs?: number;
  readonly port?: number;
  /** Keep the bytes of every command (memory grows). */
  readonly keepRaw?: boolean;
}

export interface EvilUpstream extends AsyncDisposable {
  readonly port: number;
  readonly seed: number;
  /**
   * Executions by command and key: `set k` → 2; commands without a key under their name. Writes always, the rest
   * until 100,000 are known. Keys are cut to 200 bytes.
   */
  readonly executed: ReadonlyMap<string, number>;
  /** How often each misbehaviour happened. */
  readonly done: ReadonlyMap<Misbehaviour, number>;
  /** All commands in the order of their arrival, if keepRaw. */
  readonly raw: readonly Buffer[];
  readonly connections: number;
  /** New chances from now on. */
  setChances(chances: Partial<Record<Misbehaviour, number>>): void;
  /** RST to every connection; the listener stays. */
  resetAll(): void;
  close(): Promise<void>;
}

interface Order { readonly kind: Misbehaviour | null; readonly ms: number }

class Evil {
  readonly dice: Dice;
  readonly server: Server;
  readonly executed = new Map<string, number>();
  readonly done = new Map<Misbehaviour, number>();
  readonly raw: Buffer[] = [];
  readonly sockets = new Set<Socket>();
  readonly store = new Map<string, Buffer>();
  readonly options: EvilOptions;
  stored = 0;
  chances: Partial<Record<Misbehaviour, number>>;

  constructor(options: EvilOptions) {
    this.options = options;
    this.dice = new Dice(options.seed ?? freshSeed());
    this.chances = options.chances ?? {};
    this.server = createServer({ noDelay: true, allowHalfOpen: false }, (socket) => this.accept(socket));
  }

  accept(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});       // the peer of a misbehaving server resets now and then
    if (this.rolled('close-on-accept')) { socket.destroy(); return; }
    if (this.rolled('deaf')) { socket.pause(); return; }
    new EvilConnection(this, socket);
  }

  rolled(kind: Misbehaviour): boolean {
    const hit = this.dice.chance(this.chances[kind] ?? 0);
    if (hit) this.count(kind);
    return hit;
  }

  count(kind: Misbehaviour): void { this.done.set(kind, (this.done.get(kind) ?? 0) + 1); }

  order(args: readonly Buffer[]): Order {
    const ordered = /^evil:([a-z-]+)(?:=(\d+))?:/.exec(args[1]?.toString('latin1', 0, 40) ?? '');
    const ms = Number(ordered?.[2] ?? this.options.lateMs ?? 200);
    const asked = misbehaviours.find((kind) => kind === ordered?.[1]);
    if (asked !== undefined) { this.count(asked); return { kind: asked, ms }; }
    const kind = misbehaviours.find((each) => each !== 'early' && !PER_CONNECTION.has(each)
      && this.rolled(each));
    return { kind: kind ?? null, ms };
  }

  execute({ args, raw }: SeenCommand): Buffer {
    if (this.options.keepRaw === true) this.raw.push(raw);
    const name = args[0]?.toString('latin1').toLowerCase() ?? '';
    const key = args[1]?.toString('latin1');
    const counted = key === undefined ? name : `${name} ${key.slice(0, 200)}`;
    if (WRITES.has(name) || this.executed.size < READS_COUNTED) {
      this.executed.set(counted, (this.executed.get(counted) ?? 0) + 1);
    }
    return this.answer(name, key ?? '', args);
  }

  // The keys written longest ago go first: those of clients that are gone.
  keep(key: string, value: Buffer): void {
    this.forget(key);
    this.store.set(key, value);
    this.stored += value.length;
    for (const oldest of this.store.keys()) {
      if (this.stored <= STORED_BYTES) return;
      this.forget(oldest);
    }
  }

  forget(key: string): boolean {
    this.stored -= this.store.get(key)?.length ?? 0;
    return this.store.delete(key);
  }

  answer(name: string, key: string, args: readonly Buffer[]): Buffer {
    switch (name) {
      case 'get': return bulk(this.store.get(key) ?? args[1] ?? Buffer.alloc(0));
      case 'set': this.keep(key, args[2] ?? Buffer.alloc(0)); return OK;
      case 'del': return Buffer.from(this.forget(key) ? ':1\r\n' : ':0\r\n');
      case 'incr': {
        const value = Number(this.store.get(key) ?? 0) + 1;
        this.keep(key, Buffer.from(String(value)));
        return Buffer.from(`:${value}\r\n`);
      }
      case 'mget': {
        const values = args.slice(1).map((each) => bulk(this.store.get(each.toString('latin1')) ?? each));
        return Buffer.concat([Buffer.from(`*${values.length}\r\n`), ...values]);
      }
      case 'ping': return args[1] === undefined ? Buffer.from('+PONG\r\n') : bulk(args[1]);
      case 'echo': return bulk(args[1] ?? Buffer.alloc(0));
      case 'hello': return key === '3' ? HELLO_3 : HELLO_2;
      case 'auth': case 'select': case 'client': case 'reset': case 'readonly': case 'asking': return OK;
      default: return Buffer.from(`-ERR unknown command '${name.replaceAll(/[\r\n]/g, ' ')}'\r\n`);
    }
  }
}

const WRITES: ReadonlySet<string> = new Set(['set', 'incr', 'del']);
// So that a night's run of ever new keys stays in memory.
const READS_COUNTED = 100_000;
const STORED_BYTES = 256 * 1024 * 1024;
const PER_CONNECTION: ReadonlySet<Misbehaviour> = new Set(['deaf', 'close-on-accept']);
const OK = Buffer.from('+OK\r\n');
const HELLO = '$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n';
const HELLO_2 = Buffer.from(`*6\r\n${HELLO}:2\r\n`);
const HELLO_3 = Buffer.from(`%3\r\n${HELLO}:3\r\n`);
const PUSH = Buffer.from('>2\r\n$7\r\nmessage\r\n$4\r\nevil\r\n');
const ATTRIBUTE = Buffer.from('|1\r\n+evil\r\n:1\r\n');
const DIRTY_ERROR = Buffer.from('-ERR evil \x01\x07\x1b[31m\ttext \x00\n+OK\r\n', 'latin1');
const DEEP = Buffer.from('*1\r\n'.repeat(100_000));

function bulk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]);
}

class EvilConnection {
  readonly #evil: Evil;
  readonly #socket: Socket;
  readonly #reader = new CommandReader();
  #line: Promise<void> = Promise.resolve();   // replies leave one behind the other
  #queued = 0;
  #silent = false;
  #over = false;                              // not one more byte may leave
  #answeredEarly = false;
  #rolledEarly = false;                       // the dice fell for the unfinished command
  #swapped: Buffer | null = null;

  constructor(evil: Evil, socket: Socket) {
    this.#evil = evil;
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
  }

  #take(bytes: Buffer): void {
    let commands: SeenCommand[];
    try {
      commands = this.#reader.push(bytes);
    } catch (error) {
      // Written out because a proxy that sends bad frames upstream is what these tests look for.
      this.#socket.end(`-ERR Protocol error: ${(error as Error).message}\r\n`);
      return;
    }
    for (const command of commands) {
      if (this.#silent || this.#over) return;
      this.#serve(command);
    }
    if (!this.#silent) this.#earlyAnswer();
  }

  // The request is not complete, its key is: answer now, and not again when the rest arrives.
  #earlyAnswer(): void {
    const partial = this.#reader.partial;
    if (partial.length < 2 || this.#answeredEarly || this.#rolledEarly) return;
    const ordered = partial[1]?.toString('latin1', 0, 11) === 'evil:early:';
    this.#rolledEarly = true;
    if (!ordered && !this.#evil.rolled('early')) return;
    if (ordered) this.#evil.count('early');
    this.#answeredEarly = true;
    this.#later(Buffer.from('-ERR evil: too big\r\n'), null, 0);
  }

  #serve(command: SeenCommand): void {
    this.#rolledEarly = false;
    if (this.#answeredEarly) { this.#answeredEarly = false; return; }
    const order = this.#evil.order(command.args);
    const reply = this.#evil.execute(command);
    if (this.#swapped !== null) {
      const first = this.#swapped;
      this.#swapped = null;
      this.#later(reply, null, 0);
      this.#later(first, null, 0);
      return;
    }
    if (order.kind === 'swap') { this.#swapped = reply; return; }
    if (order.kind === 'never') this.#silent = true;
    this.#later(reply, order.kind, order.ms);
  }

  // Straight out when nothing waits: a promise per reply would slow the oracle down.
  #later(reply: Buffer, kind: Misbehaviour | null, ms: number): void {
    if (this.#over) return;
    if (this.#queued === 0 && kind === null) { this.#socket.write(reply); return; }
    this.#queued++;
    this.#line = this.#misbehaveAfter(this.#line, reply, kind, ms);
  }

  async #misbehaveAfter(before: Promise<void>, reply: Buffer, kind: Misbehaviour | null,
    ms: number): Promise<void> {
    await before;
    await this.#misbehave(reply, kind, ms);
    this.#queued--;
  }

  async #misbehave(reply: Buffer, kind: Misbehaviour | null, ms: number): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed || this.#over) return;
    const half = reply.subarray(0, Math.max(1, reply.length >> 1));
    switch (kind) {
      case 'late': await sleep(ms); socket.write(reply); return;
      case 'sliver':
        for (const byte of reply.subarray(0, SLIVERS)) {
          if (socket.destroyed) return;
          socket.write(Buffer.from([byte]));
          await new Promise((resolve) => { setImmediate(resolve); });
        }
        socket.write(reply.subarray(SLIVERS));
        return;
      case 'twice': socket.write(reply); socket.write(reply); return;
      case 'extra': socket.write(reply); socket.write('+EXTRA\r\n'); return;
      case 'type': socket.write('@evil\r\n'); return;
      case 'long': socket.write(relength(reply, 10)); return;
      case 'short': socket.write(relength(reply, -1)); return;
      case 'deep': socket.write(DEEP); socket.write(reply); return;
      case 'half-fin': this.#over = true; socket.end(half); return;
      case 'half-rst':
        this.#over = true;
        socket.write(half, () => setTimeout(() => socket.resetAndDestroy(), 2));
        return;
      case 'half-silence': this.#over = true; socket.write(half); return;
      case 'fin': this.#over = true; socket.end(); return;
      case 'rst': this.#over = true; socket.resetAndDestroy(); return;
      case 'push': socket.write(PUSH); socket.write(reply); return;
      case 'attribute': socket.write(ATTRIBUTE); socket.write(reply); return;
      case 'error': socket.write(DIRTY_ERROR); return;
      case 'skip': case 'never': return;
      case 'swap': case 'early': case 'deaf': case 'close-on-accept': case null: default: socket.write(reply);
    }
  }
}

/** Longer replies go out in one piece behind this many single bytes. */
const SLIVERS = 2048;

// The same bytes under a length that is `by` off; a reply that is no bulk becomes one first.
function relength(reply: Buffer, by: number): Buffer {
  const body = reply[0] === 36 ? reply.subarray(reply.indexOf('\r\n') + 2, -2) : reply.subarray(1, -2);
  return Buffer.concat([Buffer.from(`$${Math.max(0, body.length + by)}\r\n`), body, Buffer.from('\r\n')]);
}

function sleep(ms: number): Promise<void> { return new Promise((resolve) => { setTimeout(resolve, ms); }); }

/** Starts one on a free port of 127.0.0.1. The same seed and the same traffic give the same misbehaviour. */
export async function startEvilUpstream(options: EvilOptions = {}): Promise<EvilUpstream> {
  const evil = new Evil(options);
  await new Promise<void>((resolve, reject) => {
    evil.server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => { evil.server.close(() => resolve()); });
    for (const socket of evil.sockets) socket.destroy();
    await closed;
  };
  return {
    port: (evil.server.address() as AddressInfo).port,
    seed: evil.dice.seed,
    executed: evil.executed,
    done: evil.done,
    raw: evil.raw,
    get connections() { return evil.sockets.size; },
    setChances(chances) { evil.chances = chances; },
    resetAll() { for (const socket of evil.sockets) socket.resetAndDestroy(); },
    close,
    [Symbol.asyncDispose]: close,
  };
}
