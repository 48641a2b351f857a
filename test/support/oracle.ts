// The oracle client: many connections with random pipelines that know every reply beforehand. One swapped
// reply and it stops. Alone:
//   node test/support/oracle.ts --port 6379 --seconds 10 [--seed N] [--connections 50] [--echo-keys]
import { connect, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { Dice, freshSeed } from './dice.ts';
import { brief, counters, CounterLedger, echo, echoKeys, ownKeys, type Asker, type OracleKind,
  type Question } from './oracle-kinds.ts';
import { Decoder, RespError, type Value } from './resp.ts';
import { RespClient } from './resp-client.ts';

export interface OracleOptions {
  readonly port: number;
  readonly host?: string;
  readonly seconds: number;
  readonly seed?: number;
  readonly connections?: number;
  /** Deepest pipeline, 1–64. Each connection draws its own. */
  readonly depth?: number;
  /** Largest value in bytes, up to 1 MiB. */
  readonly maxValue?: number;
  readonly kinds?: readonly OracleKind[];
  /** The upstream answers `GET k` with `k` (the evil upstream): long self-identifying keys are asked, too. */
  readonly echoKeys?: boolean;
  /** Chance per batch that the client goes away (RST or FIN at random) with requests under way. */
  readonly kill?: number;
  /** Chance per batch that the client half-closes. We owe all answers then (D12); Redis itself loses some. */
  readonly halfClose?: number;
  /** Chance per batch that the client stops reading for up to 50 ms. */
  readonly slow?: number;
  /** A request without an answer for so long counts as stalled and closes its connection. */
  readonly stallMs?: number;
  /** Where the counters are read at the end; default: `port`. 0: not at all. */
  readonly verifyPort?: number;
  /** Says what a counter stands at, instead of asking `verifyPort`; an upstream of ours knows it better. */
  readonly counterValue?: (key: string) => number;
}

export interface Wrong {
  readonly connection: string;
  readonly kind: string;
  readonly expected: string;
  readonly got: string;
  /** Last 64 KiB each way. */
  readonly sent: Buffer;
  readonly received: Buffer;
}

export interface OracleResult {
  readonly seed: number;
  readonly ok: number;
  /** Error replies by text, digits as #. */
  readonly errors: ReadonlyMap<string, number>;
  /** Requests whose connection the other side ended. */
  readonly closed: number;
  /** Requests that the oracle itself gave up by a kill. */
  readonly cancelled: number;
  /** Requests without an answer within stallMs. */
  readonly stalled: number;
  readonly wrong: Wrong | null;
  /** Counters that ended above their attempts or below what was acknowledged, as text. */
  readonly miscounted: readonly string[];
  readonly connects: number;
}

const TAIL = 65_536;

class Run {
  readonly options: OracleOptions;
  readonly dice: Dice;
  readonly kinds: readonly OracleKind[];
  readonly ledger = new CounterLedger();
  readonly errors = new Map<string, number>();
  readonly until: number;
  ok = 0;
  closed = 0;
  cancelled = 0;
  stalled = 0;
  connects = 0;
  wrong: Wrong | null = null;

  constructor(options: OracleOptions) {
    this.options = options;
    this.dice = new Dice(options.seed ?? freshSeed());
    this.kinds = options.kinds ??
      [...(options.echoKeys === true ? [echoKeys] : []), ownKeys, echo, counters(this.ledger)];
    this.until = performance.now() + options.seconds * 1000;
  }

  get over(): boolean { return this.wrong !== null || performance.now() >= this.until; }

  error(text: string): void {
    const shape = text.slice(0, 100).replaceAll(/\d+/g, '#');
    this.errors.set(shape, (this.errors.get(shape) ?? 0) + 1);
  }

  // One place among the N: connection after connection until the time is up.
  async place(index: number): Promise<void> {
    const dice = new Dice(this.dice.seed + index * 7919 + 1);
    for (let generation = 0; !this.over; generation++) {
      this.connects++;
      const socket = connect({ port: this.options.port, host: this.options.host ?? '127.0.0.1',
        noDelay: true });
      const up = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      });
      if (up) {
        await new Talk(this, socket, dice, `${this.dice.seed.toString(36)}.${index}.${generation}`).done;
      } else {
        this.error('(connect refused)');
        await new Promise((resolve) => { setTimeout(resolve, 20); });
      }
    }
  }
}

class Talk implements Asker {
  readonly id: string;
  readonly dice: Dice;
  readonly maxValue: number;
  readonly done: Promise<void>;
  readonly #run: Run;
  readonly #socket: Socket;
  readonly #depth: number;
  readonly #draws: (() => Question)[] = [];
  readonly #decoder = new Decoder({ bulk: 'buffer' });
  readonly #sent = new Tail();
  readonly #received = new Tail();
  #pending: Question[] = [];
  #head = 0;                        // answered ones stay in front until half of the array is done
  #sequence = 0;
  #last = performance.now();
  #leaving = false;                 // half-closed or run over: only reads
  #killed = false;
  #waitingDrain = false;

  constructor(run: Run, socket: Socket, dice: Dice, id: string) {
    this.#run = run;
    this.#socket = socket;
    this.dice = dice;
    this.id = id;
    this.maxValue = run.options.maxValue ?? 1_048_576;
    this.#depth = dice.between(1, run.options.depth ?? 64);
    for (const kind of run.kinds) {
      const draw = kind.start(this);
      for (let i = 0; i < kind.weight; i++) this.#draws.push(draw);
    }
    this.done = new Promise((resolve) => {
      const watch = setInterval(() => this.#watch(), 50);
      socket.on('data', (bytes: Buffer) => this.#take(bytes));
      socket.on('drain', () => { this.#waitingDrain = false; this.#ask(); });
      socket.on('error', () => {});
      socket.on('close', () => { clearInterval(watch); this.#gone(); resolve(); });
    });
    this.#ask();
  }

  nextSequence(): number { return this.#sequence++; }

  get #owed(): number { return this.#pending.length - this.#head; }

  #ask(): void {
    if (this.#leaving || this.#socket.destroyed || this.#waitingDrain) return;
    if (this.#run.over) { this.#finish(); return; }
    const batch: Buffer[] = [];
    while (this.#owed < this.#depth) {
      const question = this.dice.of(this.#draws)();
      this.#pending.push(question);
      batch.push(question.bytes);
    }
    if (batch.length === 0) return;
    const bytes = Buffer.concat(batch);
    this.#sent.add(bytes);
    this.#waitingDrain = !this.#socket.write(bytes);
    this.#misbehave();
  }

  #misbehave(): void {
    const { kill = 0, halfClose = 0, slow = 0 } = this.#run.options;
    if (this.dice.chance(kill)) {
      const after = this.dice.between(0, 5);
      setTimeout(() => {
        if (this.#socket.destroyed) return;
        this.#killed = true;
        if (this.dice.chance(0.5)) this.#socket.resetAndDestroy();
        else this.#socket.destroy();
      }, after);
    } else if (this.dice.chance(halfClose)) {
      this.#leave();
    } else if (this.dice.chance(slow)) {
      this.#socket.pause();
      setTimeout(() => { this.#last = performance.now(); this.#socket.resume(); }, this.dice.between(1, 50));
    }
  }

  #leave(): void {
    this.#leaving = true;
    this.#socket.end();
  }

  // Not a half-close: Redis drops the replies that it owes to a client that sent FIN.
  #finish(): void {
    this.#leaving = true;
    if (this.#owed === 0) this.#socket.end();
  }

  #take(bytes: Buffer): void {
    this.#received.add(bytes);
    this.#last = performance.now();
    this.#decoder.push(bytes);
    try {
      for (let value = this.#decoder.next(); value !== undefined; value = this.#decoder.next()) {
        if (!this.#judge(value)) return;
      }
    } catch (error) {
      this.#wrong(this.#pending[this.#head], (error as Error).message);
      return;
    }
    if (this.#leaving && this.#owed === 0) this.#socket.end();
    else if (this.#owed <= this.#depth >> 1) this.#ask();
  }

  #judge(reply: Value): boolean {
    const question = this.#pending[this.#head];
    if (question !== undefined && !question.right(reply)) {
      if (!(reply instanceof RespError)) return this.#wrong(question, brief(reply));
      question.lost?.();
      this.#run.error(reply.text);
    } else if (question === undefined) {
      // An error without a request may precede a close (`max number of clients`); anything else is somebody
      // else's.
      if (!(reply instanceof RespError)) return this.#wrong(undefined, brief(reply));
      this.#run.error(reply.text);
      return true;
    } else {
      this.#run.ok++;
    }
    this.#head++;
    if (this.#head > 64 && this.#head * 2 > this.#pending.length) {
      this.#pending = this.#pending.slice(this.#head);
      this.#head = 0;
    }
    return true;
  }

  #wrong(question: Question | undefined, got: string): false {
    this.#run.wrong ??= {
      connection: this.id, kind: question?.kind ?? 'unrequested', expected: question?.expected ?? 'no reply',
      got,
      sent: this.#sent.bytes(), received: this.#received.bytes(),
    };
    this.#socket.destroy();
    return false;
  }

  #watch(): void {
    if (this.#run.over && !this.#leaving) this.#finish();
    if (this.#run.wrong !== null) { this.#socket.destroy(); return; }
    const silent = performance.now() - this.#last;
    if (this.#owed > 0 && !this.#socket.isPaused() && silent > (this.#run.options.stallMs ?? 10_000)) {
      this.#run.stalled += this.#owed;
      this.#drop();
      this.#socket.destroy();
    } else if (this.#owed === 0 && this.#leaving && silent > 1000) {
      this.#socket.destroy();         // the other side answers FIN or it does not; that is not our question
    }
  }

  #drop(): void {
    for (const question of this.#pending.splice(0).slice(this.#head)) question.lost?.();
    this.#head = 0;
  }

  #gone(): void {
    const owed = this.#owed;
    this.#drop();
    if (this.#run.wrong !== null) return;
    if (this.#killed) this.#run.cancelled += owed;
    else this.#run.closed += owed;
  }
}

/** The last 64 KiB of a stream. */
class Tail {
  #chunks: Buffer[] = [];
  #size = 0;

  add(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#size += bytes.length;
    while (this.#chunks.length > 1 && this.#size - (this.#chunks[0]?.length ?? 0) >= TAIL) {
      this.#size -= this.#chunks.shift()?.length ?? 0;
    }
  }

  bytes(): Buffer { return Buffer.concat(this.#chunks).subarray(-TAIL); }
}

// A counter above its attempts ran twice; one below what was acknowledged lost a write.
async function miscounted(run: Run): Promise<string[]> {
  const found: string[] = [];
  const stands = await counterValues(run);
  for (const [key, { attempts, acknowledged }] of run.ledger.counts) {
    const value = stands.get(key);
    if (value === undefined || (value <= attempts && value >= acknowledged)) continue;
    found.push(`${key}: expected ${acknowledged}..${attempts}, got ${value}`);
  }
  return found;
}

async function counterValues(run: Run): Promise<Map<string, number>> {
  const { counterValue, host = '127.0.0.1', port, verifyPort = port } = run.options;
  const stands = new Map<string, number>();
  const keys = [...run.ledger.counts.keys()];
  if (counterValue !== undefined) for (const key of keys) stands.set(key, counterValue(key));
  if (counterValue !== undefined || verifyPort === 0 || keys.length === 0) return stands;
  await using client = await RespClient.connect(verifyPort, { host });
  for (let at = 0; at < keys.length; at += 500) {
    const some = keys.slice(at, at + 500);
    const values = await client.pipeline(some.map((key) => ['GET', key]));
    for (const [i, key] of some.entries()) {
      const value = values[i];
      if (value instanceof RespError) throw new Error(`the counters can't be read: ${value.text}`);
      stands.set(key, Number(value));       // no key: 0
    }
  }
  return stands;
}

/**
 * Asks for `seconds`, or until a reply is wrong. The seed repeats the questions, not the network's
 * timing.
 */
export async function runOracle(options: OracleOptions): Promise<OracleResult> {
  const run = new Run(options);
  await Promise.all(Array.from({ length: options.connections ?? 20 }, (_, index) => run.place(index)));
  const counted = run.wrong === null ? await miscounted(run) : [];
  const { ok, errors, closed, cancelled, stalled, wrong, connects } = run;
  return { seed: run.dice.seed, ok, errors, closed, cancelled, stalled, wrong, miscounted: counted,
    connects };
}

/** Throws the report when a reply was wrong or a counter miscounted. */
export function assertNothingWrong(result: OracleResult): void {
  if (result.wrong !== null || result.miscounted.length > 0) throw new Error(reportOracle(result));
}

/** The result as a few lines; with the dump of a wrong reply. */
export function reportOracle(result: OracleResult): string {
  const lines = [
    `seed ${result.seed}: ${result.ok} ok, ${sum(result.errors)} errors, ${result.closed} closed, ` +
      `${result.cancelled} cancelled, ${result.stalled} stalled, ${result.connects} connections, ` +
      `${result.wrong === null ? 0 : 1} wrong, ${result.miscounted.length} miscounted`,
  ];
  for (const [text, times] of result.errors) lines.push(`  ${times} × ${text}`);
  lines.push(...result.miscounted.slice(0, 10));
  const { wrong } = result;
  if (wrong !== null) {
    lines.push(
      `WRONG on connection ${wrong.connection}, ${wrong.kind}: expected ${wrong.expected}, got ${wrong.got}`,
      `last ${wrong.sent.length} bytes sent:`, JSON.stringify(wrong.sent.toString('latin1')),
      `last ${wrong.received.length} bytes received:`, JSON.stringify(wrong.received.toString('latin1')),
    );
  }
  return lines.join('\n');
}

function sum(errors: ReadonlyMap<string, number>): number {
  return [...errors.values()].reduce((total, each) => total + each, 0);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' }, host: { type: 'string', default: '127.0.0.1' },
      seconds: { type: 'string', default: '10' },
      seed: { type: 'string' }, connections: { type: 'string', default: '20' },
      depth: { type: 'string', default: '64' },
      'max-value': { type: 'string', default: '1048576' }, kill: { type: 'string', default: '0.001' },
      'half-close': { type: 'string', default: '0.001' }, slow: { type: 'string', default: '0.001' },
      'verify-port': { type: 'string' }, 'echo-keys': { type: 'boolean', default: false },
    },
  });
  if (values.port === undefined) throw new Error('--port: expected the port to ask, got nothing');
  const result = await runOracle({
    port: Number(values.port), host: values.host, seconds: Number(values.seconds),
    connections: Number(values.connections),
    depth: Number(values.depth), maxValue: Number(values['max-value']), kill: Number(values.kill),
    halfClose: Number(values['half-close']), slow: Number(values.slow), echoKeys: values['echo-keys'],
    ...(values.seed === undefined ? {} : { seed: Number(values.seed) }),
    ...(values['verify-port'] === undefined ? {} : { verifyPort: Number(values['verify-port']) }),
  });
  process.stdout.write(`${reportOracle(result)}\n`);
  process.exitCode = result.wrong === null && result.miscounted.length === 0 ? 0 : 1;
}
