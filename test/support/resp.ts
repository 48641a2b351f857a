// RESP2 and RESP3 for tests, written apart from the proxy's own codec so that one cannot hide the other's
// mistake.

/** An error reply (`-…` or `!…`), without its marker. */
export class RespError {
  readonly text: string;
  constructor(text: string) { this.text = text; }
}
/** A verbatim string: `=15\r\ntxt:Some string`. */
export class Verbatim {
  readonly format: string;
  readonly text: string;
  constructor(format: string, text: string) { this.format = format; this.text = text; }
}
/** A push frame (`>`); it answers no request. */
export class Push {
  readonly items: Value[];
  constructor(items: Value[]) { this.items = items; }
}
/** What `Decoder` throws; nothing behind it can be trusted. */
export class RespSyntaxError extends Error {}

/**
 * Integers beyond 2^53 and big numbers are bigint; every kind of null is null; bulks are Buffers if asked
 * for.
 */
export type Value =
  null | string | number | bigint | boolean | Buffer | RespError | Verbatim | Push | Value[] | Map<Value,
  Value> | Set<Value>;

export type Argument = string | number | Buffer;

/** One command as a RESP array of bulk strings. */
export function encodeCommand(args: readonly Argument[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

type Aggregate = '*' | '~' | '>' | '%' | '|';
// left: Infinity while streamed
interface Open { readonly kind: Aggregate; left: number; readonly items: Value[] }

/** Bytes in, values out, in any cut. Iterative, so that nesting costs no stack. */
export class Decoder {
  /** Attributes met so far, also those inside other values; the reader may empty it. */
  attributes: Map<Value, Value>[] = [];
  /** The bytes of the value that `next()` returned last. */
  frame: Buffer = Buffer.alloc(0);
  readonly #bulk: 'string' | 'buffer';
  #bytes: Buffer = Buffer.alloc(4096);
  #start = 0;                       // first byte of the frame under way
  #at = 0;                          // first byte not decoded
  #end = 0;
  #searched = 0;                    // no CRLF before this
  #open: Open[] = [];
  #chunks: Buffer[] | null = null;  // of a streamed string

  constructor(options: { bulk?: 'string' | 'buffer' } = {}) { this.#bulk = options.bulk ?? 'string'; }

  /** Bytes taken in that belong to no returned value yet. */
  get pending(): number { return this.#end - this.#start; }

  push(bytes: Buffer): void {
    if (this.#end + bytes.length > this.#bytes.length) this.#grow(bytes.length);
    bytes.copy(this.#bytes, this.#end);
    this.#end += bytes.length;
  }

  /** The next whole value, or undefined when more bytes are needed. Throws RespSyntaxError. */
  next(): Value | undefined {
    for (;;) {
      const value = this.#chunks === null ? this.#item() : this.#chunk();
      if (value === undefined) return undefined;
      const whole = value === CONTINUE ? undefined : this.#close(value);
      if (whole === undefined) continue;
      this.frame = Buffer.from(this.#bytes.subarray(this.#start, this.#at));
      this.#start = this.#at;
      return whole;
    }
  }

  // Puts a value into the innermost open aggregate; returns the outermost one once it is complete.
  #close(first: Value | typeof END): Value | undefined {
    let value = first;
    for (;;) {
      const open = this.#open.at(-1);
      if (open === undefined) {
        if (value === END) throw new RespSyntaxError('"." outside a streamed aggregate');
        return value;
      }
      if (value === END) {
        if (open.left !== Infinity) throw new RespSyntaxError('"." inside a counted aggregate');
      } else {
        open.items.push(value);
        if (open.left !== Infinity) open.left--;
        if (open.left > 0) return undefined;
      }
      this.#open.pop();
      const built = build(open);
      if (open.kind === '|') {
        this.attributes.push(built as Map<Value, Value>);
        return undefined;
      }
      value = built;
    }
  }

  #item(): Value | typeof CONTINUE | typeof END | undefined {
    const line = this.#line();
    if (line === undefined) return undefined;
    const kind = line[0];
    const rest = line.slice(1);
    switch (kind) {
      case '+': return this.#taken(line, rest);
      case '-': return this.#taken(line, new RespError(Buffer.from(rest, 'latin1').toString()));
      case ':': return this.#taken(line, integer(rest, line));
      case '_': return this.#taken(line, null);
      case ',': return this.#taken(line, double(rest, line));
      case '#': return this.#taken(line, boolean(rest, line));
      case '(': return this.#taken(line, big(rest, line));
      case '.': return this.#taken(line, END);
      case '$': case '!': case '=': return this.#bulkString(kind, line, rest);
      case '*': case '~': case '>': case '%': case '|': return this.#aggregate(kind, line, rest);
      case undefined: default: throw new RespSyntaxError(`unknown type in ${JSON.stringify(line.slice(0, 80))}`);
    }
  }

  #taken<T>(line: string, value: T): T {
    this.#at += line.length + 2;
    this.#searched = this.#at;
    return value;
  }

  #aggregate(kind: Aggregate, line: string, rest: string): Value | typeof CONTINUE {
    if (rest === '-1' && kind === '*') return this.#taken(line, null);
    const left = rest === '?' ? Infinity : count(rest, line) * (kind === '%' || kind === '|' ? 2 : 1);
    this.#taken(line, null);
    const open: Open = { kind, left, items: [] };
    if (left > 0) {
      this.#open.push(open);
      return CONTINUE;
    }
    if (kind !== '|') return build(open);
    this.attributes.push(new Map());
    return CONTINUE;
  }

  #bulkString(kind: '$' | '!' | '=', line: string, rest: string): Value | typeof CONTINUE | undefined {
    if (rest === '-1' && kind === '$') return this.#taken(line, null);
    if (rest === '?' && kind === '$') {
      this.#chunks = [];
      return this.#taken(line, CONTINUE);
    }
    const body = this.#body(line, count(rest, line));
    if (body === undefined) return undefined;
    if (kind === '!') return new RespError(body.toString());
    if (kind === '=') return new Verbatim(body.toString('latin1', 0, 3), body.toString('utf8', 4));
    return this.#bulk === 'buffer' ? body : body.toString();
  }

  #chunk(): Value | typeof CONTINUE | undefined {
    const line = this.#line();
    if (line === undefined) return undefined;
    if (line[0] !== ';') throw new RespSyntaxError(`expected ";", got ${JSON.stringify(line.slice(0, 80))}`);
    const length = count(line.slice(1), line);
    const chunks = this.#chunks ?? [];
    if (length === 0) {
      this.#taken(line, null);
      this.#chunks = null;
      const whole = Buffer.concat(chunks);
      return this.#bulk === 'buffer' ? whole : whole.toString();
    }
    const body = this.#body(line, length);
    if (body === undefined) return undefined;
    chunks.push(body);
    return CONTINUE;
  }

  #body(line: string, length: number): Buffer | undefined {
    const from = this.#at + line.length + 2;
    const to = from + length;
    if (this.#end < to + 2) return undefined;
    if (this.#bytes[to] !== 13 || this.#bytes[to + 1] !== 10) {
      throw new RespSyntaxError(`no CRLF behind the ${length} bytes of ${line}`);
    }
    this.#at = to + 2;
    this.#searched = this.#at;
    return Buffer.from(this.#bytes.subarray(from, to));
  }

  #line(): string | undefined {
    const found = this.#bytes.subarray(0, this.#end).indexOf('\r\n', Math.max(this.#at, this.#searched));
    if (found < 0) {
      this.#searched = Math.max(this.#at, this.#end - 1);
      if (this.#end - this.#at > 0 && !MARKERS.includes(this.#bytes[this.#at] ?? 0)) {
        throw new RespSyntaxError(`unknown type byte 0x${(this.#bytes[this.#at] ?? 0).toString(16)}`);
      }
      return undefined;
    }
    this.#searched = found;          // found again cheaply while a body is awaited
    return this.#bytes.toString('latin1', this.#at, found);
  }

  #grow(more: number): void {
    const used = this.#end - this.#start;
    const size = Math.max(this.#bytes.length, 2 ** Math.ceil(Math.log2(used + more + 1)));
    const bytes = used + more <= this.#bytes.length / 2 ? this.#bytes : Buffer.allocUnsafe(size);
    this.#bytes.copy(bytes, 0, this.#start, this.#end);
    this.#bytes = bytes;
    this.#at -= this.#start;
    this.#searched -= this.#start;
    this.#end = used;
    this.#start = 0;
  }
}

const CONTINUE = Symbol('opened, go on');
const END = Symbol('end of a streamed aggregate');
const MARKERS = Buffer.from('+-:_,#(.$!=*~>%|;');

function build(open: Open): Value {
  const { kind, items } = open;
  if (kind === '*') return items;
  if (kind === '~') return new Set(items);
  if (kind === '>') return new Push(items);
  if (items.length % 2 === 1) throw new RespSyntaxError('a map ends after a key');
  const map = new Map<Value, Value>();
  for (let i = 0; i < items.length; i += 2) map.set(items[i] as Value, items[i + 1] as Value);
  return map;
}

function count(text: string, line: string): number {
  if (!/^(0|[1-9]\d{0,9})$/.test(text))
    throw new RespSyntaxError(`bad length in ${JSON.stringify(line.slice(0, 80))}`);
  return Number(text);
}

function integer(text: string, line: string): number | bigint {
  if (!/^[+-]?\d{1,20}$/.test(text))
    throw new RespSyntaxError(`bad integer in ${JSON.stringify(line.slice(0, 80))}`);
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text.replace('+', ''));
}

function double(text: string, line: string): number {
  if (/^[+-]?(inf|infinity)$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (/^[+-]?nan$/i.test(text)) return NaN;
  if (!/^[+-]?\d+(\.\d*)?(e[+-]?\d+)?$/i.test(text))
    throw new RespSyntaxError(`bad double in ${JSON.stringify(line)}`);
  return Number(text);
}

function boolean(text: string, line: string): boolean {
  if (text !== 't' && text !== 'f')
    throw new RespSyntaxError(`bad boolean in ${JSON.stringify(line.slice(0, 80))}`);
  return text === 't';
}

function big(text: string, line: string): bigint {
  if (!/^[+-]?\d+$/.test(text))
    throw new RespSyntaxError(`bad big number in ${JSON.stringify(line.slice(0, 80))}`);
  return BigInt(text.replace('+', ''));
}
