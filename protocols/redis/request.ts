// One command of a client. It is a view of the bytes it came in until someone needs it for longer.
import type { ProxyError } from '../../core/errors.ts';
import type { Plan } from '../../core/plan.ts';
import { Request, type Reply } from '../../core/request.ts';
import { commandLine } from './commands/command-line.ts';
import { firstIsOnlyKey, keyIndexes } from './commands/keys.ts';
import { commands, UNKNOWN, type Command } from './commands/table.ts';
import { printable } from './resp/encode.ts';
import type { RedisSession } from './session.ts';

export class RedisReply implements Reply {
  /** Whole reply in RESP, of the version that the client speaks; empty when it was passed on as it came. */
  readonly raw: Buffer;
  readonly bytes: number;
  readonly isError: boolean;

  constructor(raw: Buffer, bytes: number = raw.length, isError: boolean = isErrorByte(raw[0])) {
    this.raw = raw;
    this.bytes = bytes;
    this.isError = isError;
  }
}

function isErrorByte(byte: number | undefined): boolean {
  return byte === 0x2d || byte === 0x21; // - !
}

/** By command number: the first word. */
const names = commands.map(({ name }) => name.split('|', 1)[0]!);
const EMPTY = Buffer.alloc(0);
const longestName = 64;
/** The second result of `#secondStart`: one for all, because an array for each request would be most of what it allocates. */
let secondEnd = 0;

export class RedisRequest extends Request<RedisReply> {
  declare readonly session: RedisSession;
  bytes: Buffer;
  start: number;
  end: number;
  /** Arguments, the name among them. */
  count: number;
  /** Number of the command; of a container's known subcommand where it has one. */
  id: number;
  /** A treatment code of commands/table.ts. */
  treatment = 0;
  /** The answer is not shown to the client: CLIENT REPLY OFF or SKIP. */
  silent = false;
  /** The client is still sending it: what there is of it ends inside a long argument. */
  streamed = false;
  /** First bytes of the reply, for those who must know how it went. */
  head: Buffer = EMPTY;
  /** What the session does with the reply once it is complete. */
  onReply: ((request: RedisRequest) => void) | null = null;
  /** Called when it was answered, whatever the answer is. */
  ended: (() => void) | null = null;
  /** Of a subscription command: confirmations that are still to come; -1: not known yet. */
  confirmations = -1;
  #nameStart: number;
  #nameLength: number;
  #parts: Buffer[] | null = null;
  #length = 0;
  #error = false;
  #offsets: readonly number[] | null = null;
  #keys: readonly number[] | null = null;

  constructor(
    session: RedisSession, plan: Plan, startedAt: number, bytes: Buffer, start: number, end: number,
    count: number, nameStart: number, nameEnd: number, id: number,
  ) {
    super(session, plan, startedAt);
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.count = count;
    this.id = id;
    this.#nameStart = nameStart - start;
    this.#nameLength = nameEnd - nameStart;
    this.bytesIn = end - start;
  }

  /** Makes one that nobody wanted to see (see `Session.passes`) the view of another request. */
  reuse(
    session: RedisSession, plan: Plan, startedAt: number, bytes: Buffer, start: number, end: number,
    count: number, nameStart: number, nameEnd: number, id: number,
  ): void {
    this.again(session, plan, startedAt);
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.count = count;
    this.id = id;
    this.#nameStart = nameStart - start;
    this.#nameLength = nameEnd - nameStart;
    this.bytesIn = end - start;
    this.kept = false;
    this.#offsets = null;
    this.#keys = null;
  }

  get command(): Command {
    return commands[this.id]!;
  }

  /** The first word, lower case; of unknown commands what the client sent, cut and printable. */
  get name(): string {
    if (this.id !== UNKNOWN) return names[this.id]!;
    const at = this.start + this.#nameStart;
    return printable(this.bytes.toString('latin1', at, at + Math.min(this.#nameLength, longestName)).toLowerCase());
  }

  get keyCount(): number {
    if (firstIsOnlyKey[this.id] === 1) return this.count > 1 ? 1 : 0;
    return (this.#keys ??= this.#findKeys()).length;
  }

  key(index: number): Buffer {
    if (firstIsOnlyKey[this.id] === 1) {
      if (index > 0 || this.count < 2) return EMPTY;
      const from = this.#secondStart();
      return this.bytes.subarray(from, secondEnd);
    }
    const at = (this.#keys ??= this.#findKeys())[index];
    return at === undefined ? EMPTY : this.argument(at);
  }

  override someKey(test: (bytes: Buffer, start: number, end: number) => boolean): boolean {
    if (firstIsOnlyKey[this.id] !== 1) return super.someKey(test);
    if (this.count < 2) return false;
    const from = this.#secondStart();
    return test(this.bytes, from, secondEnd);
  }

  /** Where argument 1 starts, which nearly every rule on keys asks for, without looking at the others; `secondEnd`: where it ends. */
  #secondStart(): number {
    const { bytes, end } = this;
    // Behind the name and its line end stand `$`, the length, and CRLF.
    let p = this.start + this.#nameStart + this.#nameLength + 3;
    let length = 0;
    for (; p < end && bytes[p] !== 13; p++) length = length * 10 + bytes[p]! - 48;
    p = Math.min(p + 2, end);
    secondEnd = Math.min(p + length, end);
    return p;
  }

  #findKeys(): readonly number[] {
    return keyIndexes(this.command, this.count, (index) => this.argument(index));
  }

  /** Argument by index, 0 is the name; a view. Of a streamed request the last ones may be empty or cut. */
  argument(index: number): Buffer {
    const offsets = (this.#offsets ??= this.#walk());
    const at = offsets[index * 2];
    if (at === undefined) return EMPTY;
    const from = this.start + at;
    return this.bytes.subarray(from, Math.min(from + offsets[index * 2 + 1]!, this.end));
  }

  /** Start (from the request's start) and length of each argument. */
  #walk(): readonly number[] {
    // A plain array and a loop: per request, a typed array and a call of indexOf cost several times as much.
    const offsets: number[] = [];
    const { bytes, start, end } = this;
    let p = start;
    while (p < end && bytes[p] !== 10) p++;
    p++;
    for (let i = 0; i < this.count && p < end; i++) {
      let length = 0;
      for (p++; p < end && bytes[p] !== 13; p++) length = length * 10 + bytes[p]! - 48;
      p += 2;
      offsets.push(p - start, length);
      p += length + 2;
    }
    return offsets;
  }

  override get size(): number {
    if (!this.streamed) return this.bytesIn;
    const offsets = (this.#offsets ??= this.#walk());
    const last = offsets.length - 2;
    return last < 0 ? this.bytesIn : Math.max(this.bytesIn, offsets[last]! + offsets[last + 1]! + 2);
  }

  override variable(name: string): string | undefined {
    switch (name) {
      case 'redis_cmd_line':
        return commandLine(this.command, this.count, (index) => this.argument(index));
      case 'redis_db':
        return String(this.session.db);
      case 'redis_subcommand': {
        const bar = this.command.name.indexOf('|');
        return bar < 0 ? '' : this.command.name.slice(bar + 1);
      }
      default:
        return undefined;
    }
  }

  keep(): void {
    if (this.kept) return;
    this.kept = true;
    this.bytes = Buffer.from(this.bytes.subarray(this.start, this.end));
    this.end -= this.start;
    this.start = 0;
  }
  kept = false;

  override receive(bytes: Buffer, start: number, end: number, complete: number): void {
    if (this.settled) return;
    if (this.head.length < 16) this.head = Buffer.concat([this.head, bytes.subarray(start, Math.min(end, start + 16))]);
    super.receive(bytes, start, end, complete);
  }

  override failed(error: ProxyError): void {
    this.onReply = null;
    this.settle(error);
  }

  protected hold(bytes: Buffer, start: number, end: number): void {
    if (this.#parts === null) this.#error = isErrorByte(bytes[start]);
    (this.#parts ??= []).push(Buffer.from(bytes.subarray(start, end)));
    this.#length += end - start;
  }

  protected peek(bytes: Buffer, start: number): void {
    // What was held before the way was free leaves first.
    if (this.#parts === null) this.#error = isErrorByte(bytes[start]);
    else for (const part of this.#parts.splice(0)) this.owner.relay(this, part, 0, part.length);
  }

  protected reply(): RedisReply {
    if (this.relayed) return new RedisReply(EMPTY, this.bytesOut, this.#error);
    const parts = this.#parts ?? [];
    return new RedisReply(parts.length === 1 ? parts[0]! : Buffer.concat(parts), this.#length, this.#error);
  }

  override settle(outcome: RedisReply | ProxyError): void {
    if (this.settled) return;
    const { onReply } = this;
    this.onReply = null;
    if (onReply !== null && outcome instanceof RedisReply) onReply(this);
    const { ended } = this;
    this.ended = null;
    ended?.();
    super.settle(outcome);
  }
}
