// The frames of the pingpong protocol:
//
//   0      2      3         5          6               10        14
//   "pp" | type | stream  | reserved | length of body | service | body
//                                                       (type 4 only, NUL padded)
export const HEARTBEAT = 1;
/** Answered before the next request is looked at. */
export const UNARY = 2;
/** Answered whenever the node likes. */
export const STREAM = 3;
/** As unary; the node is chosen by the service's name. */
export const SERVICE = 4;

export const headerLength = 10;
const serviceLength = 4;
const longestBody = 1024 * 1024;

export interface Frame {
  readonly type: number;
  readonly stream: number;
  readonly service: string;
  readonly body: string;
}

/** Where the frame ends that begins at `start`; 0: more bytes are needed, -1: it is none. */
export function frameEnd(bytes: Buffer, start: number, end: number): number {
  if (end - start >= 1 && bytes[start] !== 0x70) return -1;
  if (end - start >= 2 && bytes[start + 1] !== 0x70) return -1;
  if (end - start < headerLength) return 0;
  const type = typeOf(bytes, start);
  if (type < HEARTBEAT || type > SERVICE) return -1;
  const length = bodyLength(bytes, start);
  if (length > longestBody) return -1;
  const next = start + headerLength + (type === SERVICE ? serviceLength : 0) + length;
  return next <= end ? next : 0;
}

export function typeOf(bytes: Buffer, start: number): number {
  return bytes[start + 2]!;
}

export function streamOf(bytes: Buffer, start: number): number {
  return bytes.readUInt16BE(start + 3);
}

export function bodyLength(bytes: Buffer, start: number): number {
  return bytes.readUInt32BE(start + 6);
}

export function serviceOf(bytes: Buffer, start: number): string {
  if (typeOf(bytes, start) !== SERVICE) return '';
  return bytes.toString('latin1', start + headerLength, start + headerLength + serviceLength).replace(/\0+$/, '');
}

export function makeFrame({ type, stream = 0, service = '', body = '' }: { type: number } & Partial<Frame>): Buffer {
  const frame = Buffer.alloc(headerLength + (type === SERVICE ? serviceLength : 0));
  frame.write('pp');
  frame[2] = type;
  frame.writeUInt16BE(stream, 3);
  frame.writeUInt32BE(Buffer.byteLength(body), 6);
  if (type === SERVICE) frame.write(service, headerLength, serviceLength, 'latin1');
  return Buffer.concat([frame, Buffer.from(body)]);
}

export function readFrame(bytes: Buffer): Frame {
  const type = typeOf(bytes, 0);
  const from = headerLength + (type === SERVICE ? serviceLength : 0);
  return { type, stream: streamOf(bytes, 0), service: serviceOf(bytes, 0), body: bytes.toString('utf8', from) };
}
