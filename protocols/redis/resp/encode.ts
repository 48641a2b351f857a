// Bytes of requests and of the replies that Millrace makes itself.

const CRLF = '\r\n';

/** A request as an array of bulk strings. */
export function encodeRequest(args: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}${CRLF}`)];
  for (const arg of args) {
    const bytes = typeof arg === 'string' ? Buffer.from(arg) : arg;
    parts.push(Buffer.from(`$${bytes.length}${CRLF}`), bytes, Buffer.from(CRLF));
  }
  return Buffer.concat(parts);
}

/** A text that came from outside or from a failure: one line, no control characters, at most 512 of them. */
export function errorLine(text: string): Buffer {
  return Buffer.from(`-${printable(text).slice(0, 512)}${CRLF}`);
}

// eslint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f]/g;

export function printable(text: string): string {
  return text.replace(control, ' ');
}

export const OK = Buffer.from('+OK\r\n');
export const RESET = Buffer.from('+RESET\r\n');

export function simple(text: string): Buffer {
  return Buffer.from(`+${printable(text)}${CRLF}`);
}

export function integer(value: number): Buffer {
  return Buffer.from(`:${value}${CRLF}`);
}

export function bulk(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from(`$${bytes.length}${CRLF}`), bytes, Buffer.from(CRLF)]);
}

/** A text of several lines: verbatim in RESP3, a bulk string in RESP2. */
export function verbatim(text: string, resp: 2 | 3): Buffer {
  if (resp === 2) return bulk(text);
  const bytes = Buffer.from(`txt:${text}`);
  return Buffer.concat([Buffer.from(`=${bytes.length}${CRLF}`), bytes, Buffer.from(CRLF)]);
}

export function nothing(resp: 2 | 3): Buffer {
  return Buffer.from(resp === 3 ? '_\r\n' : '$-1\r\n');
}

export function array(items: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from(`*${items.length}${CRLF}`), ...items]);
}
