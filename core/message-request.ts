// A request and a reply that are one message each: what protocols need that look at whole messages.
import type { MessageSession } from './message-session.ts';
import type { Plan } from './plan.ts';
import { Request, type Reply } from './request.ts';

const EMPTY: Buffer = Buffer.alloc(0);

export class Message implements Reply {
  /** The whole message; empty when it was passed on as it came. */
  readonly raw: Buffer;
  readonly bytes: number;
  readonly isError: boolean;

  constructor(raw: Buffer, isError = false, bytes: number = raw.length) {
    this.raw = raw;
    this.bytes = bytes;
    this.isError = isError;
  }
}

export abstract class MessageRequest extends Request<Message> {
  declare readonly session: MessageSession;
  /** The message as it came. A view until `keep`. */
  bytes: Buffer;
  #kept = false;
  #error = false;
  #pieces: Buffer[] | null = null;

  constructor(session: MessageSession, plan: Plan, bytes: Buffer) {
    super(session, plan, session.engine.clock.now());
    this.bytes = bytes;
    this.bytesIn = bytes.length;
  }

  /** Whether the reply that begins at `start` is an error of the server's. */
  protected isError(_reply: Buffer, _start: number): boolean {
    return false;
  }

  keep(): void {
    if (this.#kept) return;
    this.#kept = true;
    this.bytes = Buffer.from(this.bytes);
  }

  protected hold(bytes: Buffer, start: number, end: number): void {
    if (this.#pieces === null) this.#error = this.isError(bytes, start);
    (this.#pieces ??= []).push(Buffer.from(bytes.subarray(start, end)));
  }

  protected peek(bytes: Buffer, start: number): void {
    // What was held before the way was free leaves first.
    if (this.#pieces === null) this.#error = this.isError(bytes, start);
    else for (const piece of this.#pieces.splice(0)) this.owner.relay(this, piece, 0, piece.length);
  }

  protected reply(): Message {
    if (this.relayed) return new Message(EMPTY, this.#error, this.bytesOut);
    const pieces = this.#pieces ?? [];
    return new Message(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces), this.#error);
  }
}
