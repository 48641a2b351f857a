// Where log records go: a file or standard error. Nobody waits for it, and nothing ends because of it: what cannot be
// written is lost and counted. (SonicBoom, which pino brings, throws out of a callback when a disk is full, and at the
// exit tries for ever.)
import { closeSync, mkdirSync, openSync, write, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Characters of records that may wait to be written. */
const mostWaiting = 8 * 1024 * 1024;
/** Milliseconds between two words about records that were lost. */
const pause = 60_000;
/** A write that takes longer has met a reader who does not read: at the exit it is not waited for. */
const stalled = 1000;
/** Milliseconds after which a pipe that was full is tried again. */
const again = 100;

let dropped = 0;

/** Records of this thread that were lost. */
export function droppedRecords(): number {
  return dropped;
}

export class LogFile {
  readonly #path: string | undefined;
  #fd: number;
  #waiting: string[] = [];
  #length = 0;
  #scheduled = false;
  /** When the write under way began; 0: there is none. */
  #since = 0;
  #saidAt = -Infinity;
  #reopening = false;

  /** Without a path: standard error. Throws when the file cannot be opened. */
  constructor(path: string | undefined) {
    this.#path = path;
    this.#fd = path === undefined ? 2 : open(path);
    process.once('exit', () => this.#last());
  }

  write(line: string): void {
    if (this.#length + line.length > mostWaiting) return this.#lost(1, 'too many records wait to be written');
    this.#waiting.push(line);
    this.#length += line.length;
    if (this.#scheduled || this.#since > 0) return;
    this.#scheduled = true;
    // Not at once: what is said in the turn in which the process ends must still be here then.
    setImmediate(() => {
      this.#scheduled = false;
      this.#next();
    });
  }

  /** Opens the file anew: it was moved away. */
  reopen(): void {
    if (this.#path === undefined) return;
    this.#reopening = this.#since > 0;
    if (this.#reopening) return;
    try {
      const fresh = open(this.#path);
      closeSync(this.#fd);
      this.#fd = fresh;
    } catch (cause) {
      this.#say((cause as Error).message);
    }
  }

  #next(): void {
    if (this.#waiting.length === 0 || this.#since > 0) return;
    const records = this.#waiting.length;
    const text = this.#take();
    this.#since = performance.now();
    this.#put(Buffer.from(text), records);
  }

  #put(bytes: Buffer, records: number): void {
    write(this.#fd, bytes, (cause, written) => {
      if (cause?.code === 'EAGAIN') {
        setTimeout(() => this.#put(bytes, records), again).unref();
        return;
      }
      if (cause === null && written < bytes.length) return this.#put(bytes.subarray(written), records);
      if (cause !== null) this.#lost(records, cause.message);
      this.#since = 0;
      if (this.#reopening) this.reopen();
      this.#next();
    });
  }

  #take(): string {
    const text = this.#waiting.join('');
    this.#waiting = [];
    this.#length = 0;
    return text;
  }

  #last(): void {
    if (this.#waiting.length === 0 || (this.#since > 0 && performance.now() - this.#since > stalled)) return;
    try {
      writeSync(this.#fd, this.#take());
    } catch {
      // Nobody is left to be told.
    }
  }

  #lost(records: number, why: string): void {
    dropped += records;
    this.#say(why);
  }

  /** To standard error, unless it is that which does not take records. */
  #say(why: string): void {
    const now = performance.now();
    if (this.#path === undefined || now - this.#saidAt < pause) return;
    this.#saidAt = now;
    const record = { level: 50, time: new Date().toISOString(), code: 'LOG_DROPPED', file: this.#path, msg: `log records are lost: ${why}` };
    process.stderr.write(`${JSON.stringify(record)}\n`);
  }
}

function open(path: string): number {
  mkdirSync(dirname(path), { recursive: true });
  return openSync(path, 'a');
}
