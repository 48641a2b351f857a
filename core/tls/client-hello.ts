// What a client says before anything is encrypted, read ahead of the TLS library: the certificate, the versions, whether
// a client certificate is asked for and the keys of session tickets all depend on the name in it, and none of them can
// be changed once the library has seen it. RFC 8446, 4.1.2; RFC 6066, 3.

export interface ClientHello {
  /** The server name, lower case; null: it names none. */
  readonly name: string | null;
}

/** Longest hello that is waited for. With post-quantum keys they have about 2 KB. */
export const longestHello = 16 * 1024;

const handshakeRecord = 22;
const clientHello = 1;
const serverNameExtension = 0;
const hostName = 0;

/** `more`: it is not complete. `garbage`: it is none. */
export function readClientHello(bytes: Buffer): ClientHello | 'more' | 'garbage' {
  const message = joinRecords(bytes);
  if (typeof message === 'string') return message;
  const reader = new Reader(message);
  // Version, random; session id, cipher suites, compression methods.
  reader.skip(34);
  reader.skip(reader.byte());
  reader.skip(reader.word());
  reader.skip(reader.byte());
  const end = Math.min(message.length, reader.word() + reader.at);
  while (reader.at + 4 <= end) {
    const type = reader.word();
    const length = reader.word();
    if (type === serverNameExtension) return nameIn(reader, Math.min(end, reader.at + length));
    reader.skip(length);
  }
  return reader.beyond ? 'garbage' : { name: null };
}

function nameIn(reader: Reader, end: number): ClientHello | 'garbage' {
  reader.skip(2);
  while (reader.at + 3 <= end) {
    const type = reader.byte();
    const name = reader.text(reader.word());
    if (type !== hostName) continue;
    const lower = name.toLowerCase().replace(/\.$/, '');
    return /^[a-z0-9._-]{1,253}$/.test(lower) ? { name: lower } : 'garbage';
  }
  return reader.beyond ? 'garbage' : { name: null };
}

/** The body of the hello, which may be spread over several records. */
function joinRecords(bytes: Buffer): Buffer | 'more' | 'garbage' {
  const parts: Buffer[] = [];
  let have = 0;
  // Known with its fourth byte.
  let owed = Infinity;
  for (let at = 0; ;) {
    if (at < bytes.length && bytes[at] !== handshakeRecord) return 'garbage';
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return 'garbage';
    if (bytes.length < at + 5) return 'more';
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0) return 'garbage';
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    have += part.length;
    if (owed === Infinity && have >= 4) {
      const head = Buffer.concat(parts);
      if (head[0] !== clientHello) return 'garbage';
      owed = head.readUIntBE(1, 3);
      if (owed > longestHello) return 'garbage';
    }
    // Joined once: whoever sends a byte in each record must not make us copy the rest again and again.
    if (have >= 4 + owed) return Buffer.concat(parts).subarray(4, 4 + owed);
    if (part.length < length) return 'more';
    at += 5 + length;
  }
}

/** Reads zeros behind the end, and remembers that it was there. */
class Reader {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get beyond(): boolean { return this.at > this.#bytes.length; }

  skip(count: number): void {
    this.at += count;
  }

  byte(): number {
    return this.#bytes[this.at++] ?? 0;
  }

  word(): number {
    return this.byte() * 256 + this.byte();
  }

  text(length: number): string {
    this.at += length;
    return this.#bytes.toString('latin1', this.at - length, this.at);
  }
}
