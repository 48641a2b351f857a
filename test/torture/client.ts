// One torture client: draws scenes, sends their steps in pipelines cut anywhere, and judges every reply in its turn.
import { connect, type Socket } from 'node:net';
import type { Dice } from '../support/dice.ts';
import { brief } from '../support/oracle-kinds.ts';
import { Decoder, Push, RespError, type Value } from '../support/resp.ts';
import { Tail } from './tail.ts';
import { drawScene, type SceneMemory } from './scenes.ts';
import { memoryOf } from './scenes-shared.ts';
import { strangeError, text, type Step } from './step.ts';
import type { World } from './world.ts';

/** No answer for so long, though it reads: it never comes. */
const STALLED = 12_000;

export interface Subscription {
  readonly channel: string;
  /** Messages are numbered from 1; a number may be missing only when its PUBLISH failed. */
  last: number;
  onMessage(index: number): void;
}

export class TortureClient {
  readonly id: string;
  readonly world: World;
  readonly dice: Dice;
  readonly memory: SceneMemory;
  readonly done: Promise<void>;
  /** As everything sent so far leaves them. */
  resp: 2 | 3 = 2;
  database = 0;
  subscription: Subscription | null = null;
  /** From SUBSCRIBE being sent until UNSUBSCRIBE is confirmed. */
  subscribing = false;
  /** Nothing more is asked until it is set back: RESP2 subscribers. */
  waits = false;
  readonly #socket: Socket;
  readonly #depth: number;
  readonly #decoder = new Decoder({ bulk: 'buffer' });
  readonly #sent = new Tail();
  readonly #received = new Tail();
  readonly #mischief: number;
  #pending: Step[] = [];
  readonly #inserted: Step[] = [];
  #head = 0;
  #sequence = 0;
  #last = performance.now();
  #leaving = false;
  #killed = false;
  #writing = false;

  constructor(world: World, socket: Socket, dice: Dice, id: string) {
    this.world = world;
    this.dice = dice;
    this.id = id;
    this.#socket = socket;
    this.#depth = dice.of([1, 4, 16, 64, 200]);
    // Some clients live long, some die young.
    this.#mischief = dice.of([0, 0.002, 0.02]);
    this.memory = memoryOf(this);
    this.done = new Promise((resolve) => {
      const watch = setInterval(() => this.#watch(), 100);
      socket.on('data', (bytes: Buffer) => this.#take(bytes));
      socket.on('error', () => {});
      socket.on('close', () => { clearInterval(watch); this.#gone(); resolve(); });
    });
    void this.#ask();
  }

  name(kind: string): string { return `${kind}:${this.id}.${(this.#sequence++).toString(36)}`; }
  get #owed(): number { return this.#pending.length - this.#head; }

  /** Sends steps outside the drawn scenes, e.g. the end of a subscription. */
  insert(steps: readonly Step[]): void {
    this.#inserted.push(...steps);
    void this.#ask();
  }

  #put(steps: readonly Step[]): Buffer {
    for (const each of steps) if (each.reply !== null) this.#pending.push(each);
    return Buffer.concat(steps.map(({ bytes }) => bytes));
  }

  async #ask(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    while (!this.#leaving && !this.#socket.destroyed) {
      if (this.world.over) { this.leave(); break; }
      const batch: Buffer[] = [];
      if (this.#inserted.length > 0) batch.push(this.#put(this.#inserted.splice(0)));
      while (!this.waits && this.#owed < this.#depth && this.dice.chance(0.9)) batch.push(this.#put(drawScene(this)));
      if (batch.length > 0) await this.#send(Buffer.concat(batch));
      else if (this.waits || this.#owed >= this.#depth) break;
    }
    this.#writing = false;
  }

  /** One write, or several with pauses, and now and then the end in the middle of it. */
  async #send(bytes: Buffer): Promise<void> {
    if (this.dice.chance(this.#mischief)) { await this.#misbehave(bytes); return; }
    const pieces = this.dice.chance(0.2) ? this.dice.between(2, 5) : 1;
    for (let i = 0, at = 0; i < pieces && !this.#socket.destroyed; i++) {
      const end = i === pieces - 1 ? bytes.length : at + this.dice.between(0, bytes.length - at);
      const drained = this.#write(bytes.subarray(at, end));
      at = end;
      if (!drained) await this.#event('drain');
      else if (i < pieces - 1) await new Promise((resolve) => { setImmediate(resolve); });
    }
  }

  #write(bytes: Buffer): boolean {
    if (bytes.length === 0) return true;
    this.#sent.add(bytes);
    return this.#socket.write(bytes);
  }

  async #misbehave(bytes: Buffer): Promise<void> {
    const kind = this.dice.of(['slow', 'slow', 'slow', 'fin', 'rst', 'cut-fin', 'cut-rst', 'vanish'] as const);
    if (kind === 'slow') {
      this.#socket.pause();
      this.#write(bytes);
      await new Promise((resolve) => { setTimeout(resolve, this.dice.between(1, 300)); });
      this.#last = performance.now();
      this.#socket.resume();
      return;
    }
    this.#killed = true;
    this.#write(kind.startsWith('cut') ? bytes.subarray(0, this.dice.between(0, bytes.length)) : bytes);
    if (kind === 'fin' || kind === 'cut-fin') { this.leave(); this.#socket.end(); return; }
    await new Promise((resolve) => { setTimeout(resolve, this.dice.between(0, 8)); });
    if (kind === 'vanish') this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  #event(name: 'drain'): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => { this.#socket.off(name, done).off('close', done); resolve(); };
      this.#socket.once(name, done).once('close', done);
    });
  }

  /** Asks nothing more, and ends when everything was answered. */
  leave(): void {
    this.#leaving = true;
    if (this.#owed === 0 && !this.#killed) this.#socket.end();
  }

  #take(bytes: Buffer): void {
    // A socket that was paused goes on with what it had read, also when it was destroyed.
    if (this.#socket.destroyed) return;
    this.#received.add(bytes);
    this.#last = performance.now();
    this.#decoder.push(bytes);
    try {
      for (let value = this.#decoder.next(); value !== undefined; value = this.#decoder.next()) {
        if (!this.#judge(value)) return;
      }
    } catch (error) {
      this.wrong(this.#pending[this.#head], (error as Error).message);
      return;
    }
    if (this.#leaving) { if (this.#owed === 0) this.#socket.end(); } else if (this.#owed <= this.#depth >> 1) void this.#ask();
  }

  #judge(reply: Value): boolean {
    const message = this.#messageIn(reply);
    if (message !== null) return this.#message(message);
    const next = this.#pending[this.#head];
    if (next === undefined) {
      // An error without a request may come before a close; anything else is somebody else's.
      if (!(reply instanceof RespError)) return this.wrong(undefined, brief(reply));
      this.world.error(reply.text);
      return true;
    }
    const value = reply instanceof Push ? reply.items : reply;
    const misplaced = (reply instanceof Push) !== (next.reply === 'push') && !(reply instanceof RespError);
    if (misplaced) return this.wrong(next, brief(reply));
    this.#head++;
    if (next.right(value)) {
      this.world.ok++;
    } else {
      if (!(reply instanceof RespError)) return this.wrong(next, brief(reply));
      const strange = strangeError(reply, next.bytes);
      if (strange !== null) return this.wrong(next, strange);
      this.world.error(reply.text);
      if (next.failed(reply.text) === 'leave') {
        this.#killed = true;
        this.#socket.destroy();
        return false;
      }
    }
    if (this.#head > 256 && this.#head * 2 > this.#pending.length) {
      this.#pending = this.#pending.slice(this.#head);
      this.#head = 0;
    }
    return true;
  }

  /** Published, confirmed by the server, and not delivered, though the subscription still stands. */
  lostMessages(channel: string, delivered: number, published: number): void {
    if (this.#socket.destroyed || this.#killed || this.#leaving) return;
    this.wrong(undefined, `${delivered} of ${published} messages of ${channel}`);
  }

  #messageIn(reply: Value): Value[] | null {
    const items = reply instanceof Push ? reply.items : reply;
    return Array.isArray(items) && this.subscription !== null && text(items[0]) === 'message' && items.length === 3
      && (reply instanceof Push || this.resp === 2) ? items : null;
  }

  #message([, channel, payload]: Value[]): boolean {
    const { subscription } = this;
    const [from, index] = text(payload).split('#');
    const number = Number(index);
    if (subscription === null || text(channel) !== subscription.channel || from !== subscription.channel
      || !(number > subscription.last)) {
      return this.wrong(this.#pending[this.#head], `message ${text(payload).slice(0, 80)} on ${text(channel)}, last was ${subscription?.last}`);
    }
    subscription.last = number;
    this.world.messages++;
    subscription.onMessage(number);
    return true;
  }

  wrong(at: Step | undefined, got: string): false {
    this.world.wrong ??= {
      client: this.id, step: at?.name ?? 'nothing asked', expected: at?.expected ?? 'no reply', got,
      sent: this.#sent.bytes(), received: this.#received.bytes(),
    };
    this.#killed = true;
    this.#socket.destroy();
    return false;
  }

  #watch(): void {
    if (this.world.wrong !== null) { this.#killed = true; this.#socket.destroy(); return; }
    if (this.world.over && !this.#leaving) this.leave();
    const silent = performance.now() - this.#last;
    if (this.#killed && silent > 2000) this.#socket.destroy();
    if (this.#owed > 0 && !this.#killed && !this.#socket.isPaused() && silent > STALLED) {
      this.world.stalled += this.#owed;
      this.wrong(this.#pending[this.#head], `nothing in ${STALLED} ms`);
    } else if (this.#owed === 0 && this.#leaving && silent > 1000) {
      this.#socket.destroy();
    }
  }

  #gone(): void {
    this.#leaving = true;
    if (this.#killed) this.world.cancelled += this.#owed;
    else this.world.closed += this.#owed;
    for (const each of this.#pending.slice(this.#head)) each.failed('');
    this.#pending = [];
    this.#head = 0;
  }
}

/** One place among the clients: connection after connection until the run is over. */
export async function occupy(world: World, index: number): Promise<void> {
  const dice = world.dice(index);
  for (let generation = 0; !world.over; generation++) {
    const socket = connect({ port: world.port, host: '127.0.0.1', noDelay: true });
    const up = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    world.connects++;
    if (up) await new TortureClient(world, socket, dice, `${world.seed.toString(36)}-${index}-${generation}`).done;
    else world.error('(connect refused)');
    // The server may be on its way back.
    await new Promise((resolve) => { setTimeout(resolve, dice.between(0, 20)); });
  }
}
