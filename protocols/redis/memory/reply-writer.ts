// Encodes one connection's replies for RESP2 or RESP3 and gathers them for one write. A method per reply type
// of Redis, which falls back to RESP2's nearest type as Redis does.
import { formatDouble } from './double.ts';

/** Bulk strings up to this many bytes are joined as text: cheaper than a buffer of their own. */
const SMALL = 1024;

export type Bulk = Buffer | string;

export class ReplyWriter {
  resp: 2 | 3 = 2;
  /** True while CLIENT REPLY OFF or SKIP drops replies; pushes still go out. */
  muted = false;
  #parts: Buffer[] = [];
  #partsBytes = 0;
  /** Latin1, thus one character per byte. */
  #text = '';

  /** Bytes written since the last `take`. */
  get bytes(): number {
    return this.#partsBytes + this.#text.length;
  }

  /** Everything written since the last call: small replies joined, large values as they are, uncopied. */
  take(): readonly Buffer[] {
    this.#closeText();
    const parts = this.#parts;
    this.#parts = [];
    this.#partsBytes = 0;
    return parts;
  }

  ok(): void {
    this.#write('+OK\r\n');
  }

  simple(text: string): void {
    this.#write(`+${text}\r\n`);
  }

  /** `message` starts with its code; line ends would break the frame and become spaces. */
  error(message: string): void {
    this.#write(`-${message.replace(/[\r\n]/g, ' ')}\r\n`);
  }

  integer(value: number | bigint): void {
    this.#write(`:${value}\r\n`);
  }

  /** Strings are latin1: one character per byte. */
  bulk(value: Bulk): void {
    if (this.muted) return;
    if (value.length <= SMALL) {
      const text = typeof value === 'string' ? value : value.toString('latin1');
      this.#text += `$${value.length}\r\n${text}\r\n`;
      return;
    }
    this.#text += `$${value.length}\r\n`;
    this.#closeText();
    this.#push(typeof value === 'string' ? Buffer.from(value, 'latin1') : value);
    this.#text = '\r\n';
  }

  bulkOrNil(value: Bulk | undefined): void {
    if (value === undefined) this.nil();
    else this.bulk(value);
  }

  nil(): void {
    this.#write(this.resp === 3 ? '_\r\n' : '$-1\r\n');
  }

  nilArray(): void {
    this.#write(this.resp === 3 ? '_\r\n' : '*-1\r\n');
  }

  array(length: number): void {
    this.#write(`*${length}\r\n`);
  }

  set(length: number): void {
    this.#write(`${this.resp === 3 ? '~' : '*'}${length}\r\n`);
  }

  map(pairs: number): void {
    this.#write(this.resp === 3 ? `%${pairs}\r\n` : `*${pairs * 2}\r\n`);
  }

  push(length: number): void {
    this.#write(`${this.resp === 3 ? '>' : '*'}${length}\r\n`);
  }

  double(value: number): void {
    if (this.resp === 3) this.#write(`,${formatDouble(value)}\r\n`);
    else this.bulk(formatDouble(value));
  }

  verbatim(text: string): void {
    const bytes = Buffer.from(text).toString('latin1');
    if (this.resp === 3) this.#write(`=${bytes.length + 4}\r\ntxt:${bytes}\r\n`);
    else this.bulk(bytes);
  }

  bulks(values: readonly Bulk[]): void {
    this.array(values.length);
    for (const value of values) this.bulk(value);
  }

  #write(text: string): void {
    if (!this.muted) this.#text += text;
  }

  #closeText(): void {
    if (this.#text === '') return;
    this.#push(Buffer.from(this.#text, 'latin1'));
    this.#text = '';
  }

  #push(part: Buffer): void {
    this.#parts.push(part);
    this.#partsBytes += part.length;
  }
}
