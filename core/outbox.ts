// One socket's writes, joined: pieces that lie side by side in a buffer leave as one write per event-loop turn.
import type { Socket } from 'node:net';

const NOTHING = Buffer.alloc(0);
const dirty: Outbox[] = [];

let held = 0;

/**
 * How often the kernel did not take at once what an outbox wrote. Where it changed, views of the buffers that were
 * appended are still in use, and a buffer that is used again must be replaced. It counts every way out: an outbox is
 * flushed also when its connection ends in the middle of a turn.
 */
export function heldWrites(): number {
  return held;
}

/** Hands everything that was appended in this turn to the sockets. */
export function flushOutboxes(): void {
  for (let i = 0; i < dirty.length; i++) dirty[i]!.flush();
  dirty.length = 0;
}

export class Outbox {
  readonly #socket: Socket;
  #bytes: Buffer | null = null;
  #start = 0;
  #end = 0;
  #listed = false;
  #corked = false;
  /** Bytes that were ever appended. */
  total = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Unsent bytes. */
  get pending(): number {
    return this.#socket.writableLength + (this.#end - this.#start);
  }

  /** Appends a view; the bytes must stay as they are until the next flush. */
  append(bytes: Buffer, start: number, end: number): void {
    this.total += end - start;
    if (this.#bytes === bytes && this.#end === start) {
      this.#end = end;
      return;
    }
    if (this.#bytes !== null) {
      if (!this.#corked) {
        this.#corked = true;
        this.#socket.cork();
      }
      this.#write();
    }
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    if (!this.#listed) {
      this.#listed = true;
      dirty.push(this);
    }
  }

  /** Calls back once everything that was appended so far was taken by the kernel, or never will be. */
  whenFlushed(then: () => void): void {
    this.flush();
    this.#socket.write(NOTHING, () => then());
  }

  flush(): void {
    this.#listed = false;
    if (this.#bytes === null) return;
    // While older bytes wait, a view would pin its whole buffer for as long as this client reads slowly: copy.
    const waited = this.#socket.writableLength > 0 && !this.#corked;
    if (waited) this.#copy();
    this.#write();
    if (this.#corked) {
      this.#corked = false;
      this.#socket.uncork();
    }
    if (!waited && this.#socket.writableLength > 0) held++;
  }

  #copy(): void {
    this.#bytes = Buffer.from(this.#bytes!.subarray(this.#start, this.#end));
    this.#end -= this.#start;
    this.#start = 0;
  }

  #write(): void {
    const bytes = this.#bytes!;
    this.#bytes = null;
    const whole = this.#start === 0 && this.#end === bytes.length;
    const view = whole ? bytes : bytes.subarray(this.#start, this.#end);
    this.#start = this.#end = 0;
    if (!this.#socket.destroyed) this.#socket.write(view);
  }
}
