// Frames of a binary RPC protocol: a header of 16 bytes (magic, flags, status, id, length) and a body.
export const REQUEST = 0x80;
export const TWO_WAY = 0x40;
export const EVENT = 0x20;
export const OK = 20;

const magic = 0xdabb;
const header = 16;
const longestBody = 4 * 1024 * 1024;

export interface Frame {
  readonly flags: number;
  readonly status: number;
  readonly id: bigint;
  readonly body: Buffer;
}

export function writeFrame({ flags, status, id, body }: Frame): Buffer {
  const bytes = Buffer.alloc(header + body.length);
  bytes.writeUInt16BE(magic, 0);
  bytes[2] = flags;
  bytes[3] = status;
  bytes.writeBigUInt64BE(id, 4);
  bytes.writeUInt32BE(body.length, 12);
  body.copy(bytes, header);
  return bytes;
}

export function readFrame(bytes: Buffer): Frame {
  return { flags: bytes[2]!, status: bytes[3]!, id: bytes.readBigUInt64BE(4), body: Buffer.from(bytes.subarray(header)) };
}

/** Where the frame at `start` ends; 0: more bytes are needed. Throws a text for what is no frame. */
export function frameEnd(bytes: Buffer, start: number, end: number): number {
  if (end - start >= 2 && bytes.readUInt16BE(start) !== magic) {
    throw new Error(`unknown magic number: "0x${bytes.toString('hex', start, start + 2)}"`);
  }
  if (end - start < header) return 0;
  const length = bytes.readUInt32BE(start + 12);
  if (length > longestBody) throw new Error(`body: expected at most ${longestBody} bytes, got ${length}`);
  return end - start >= header + length ? start + header + length : 0;
}

/** Replies come in any order; this says to which request one belongs. Ids beyond 2^52 share tags, which clients do not reach. */
export function tagOf(bytes: Buffer, start: number): number {
  return Number(bytes.readBigUInt64BE(start + 4) & 0xf_ffff_ffff_ffffn) + 1;
}
