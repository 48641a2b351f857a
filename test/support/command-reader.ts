// Frames what a client or proxy sends to an upstream of ours: RESP arrays of bulks and inline lines, in any
// cut.

export interface SeenCommand {
  readonly args: readonly Buffer[];
  /** The bytes as they came. */
  readonly raw: Buffer;
}

export class CommandReader {
  #bytes = Buffer.alloc(0);
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #need = 1;                // scanning before this many bytes are here would be in vain
  #partial: Buffer[] = [];

  /** Arguments of the unfinished command that are complete already. */
  get partial(): readonly Buffer[] { return this.#partial; }

  /** Takes bytes; returns the commands that they complete. Throws on what no Redis client sends. */
  push(bytes: Buffer): SeenCommand[] {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#bytes.length + this.#waitingBytes < this.#need) return [];
    this.#bytes = Buffer.concat([this.#bytes, ...this.#waiting]);
    this.#waiting = [];
    this.#waitingBytes = 0;
    const commands: SeenCommand[] = [];
    let at = 0;
    for (let command = this.#scan(at); command !== null; command = this.#scan(at)) {
      at += command.raw.length;
      if (command.args.length > 0) commands.push(command);
    }
    this.#need -= at;
    this.#bytes = this.#bytes.subarray(at);
    return commands;
  }

  #scan(from: number): SeenCommand | null {
    this.#partial = [];
    this.#need = this.#bytes.length + 1;
    if (this.#bytes[from] !== 42) return this.#inline(from);
    const head = this.#number(from);
    if (head === null) return null;
    const args: Buffer[] = [];
    let at = head.next;
    for (let i = 0; i < head.value; i++) {
      if (at >= this.#bytes.length) return this.#unfinished(args, this.#bytes.length + 1);
      if (this.#bytes[at] !== 36) throw new Error(`expected "$" at ${at}, got ${this.#excerpt(at)}`);
      const size = this.#number(at);
      if (size === null) return this.#unfinished(args, this.#bytes.length + 1);
      const end = size.next + size.value;
      if (this.#bytes.length < end + 2) return this.#unfinished(args, end + 2);
      if (this.#bytes[end] !== 13 || this.#bytes[end + 1] !== 10)
        throw new Error(`no CRLF at ${this.#excerpt(end)}`);
      args.push(Buffer.from(this.#bytes.subarray(size.next, end)));
      at = end + 2;
    }
    return { args, raw: Buffer.from(this.#bytes.subarray(from, at)) };
  }

  #unfinished(args: Buffer[], need: number): null {
    this.#partial = args;
    this.#need = need;
    return null;
  }

  #inline(from: number): SeenCommand | null {
    const end = this.#bytes.indexOf(10, from);
    if (end < 0) return null;
    const words = this.#bytes.toString('latin1', from, end).split(/[ \r]+/).filter((word) => word !== '');
    return { args: words.map((word) => Buffer.from(word, 'latin1')),
      raw: Buffer.from(this.#bytes.subarray(from, end + 1)) };
  }

  #number(from: number): { value: number; next: number } | null {
    const end = this.#bytes.indexOf('\r\n', from);
    if (end < 0) return null;
    const text = this.#bytes.toString('latin1', from + 1, end);
    if (!/^(0|[1-9]\d{0,9})$/.test(text)) throw new Error(`bad length at ${this.#excerpt(from)}`);
    return { value: Number(text), next: end + 2 };
  }

  #excerpt(at: number): string { return JSON.stringify(this.#bytes.toString('latin1', at, at + 40)); }
}
