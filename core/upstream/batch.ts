// Bytes that wait to be written to one link: requests of many clients, copied side by side, leave as one write.
//
//   [whole] [filled buffer] [whole] …   [buffer being filled ───>      ]
//    what stands before it, in order
import type { Socket } from 'node:net';
import { fresh, used } from '../inlet.ts';

const SIZE = 128 * 1024;
/** Copying a shorter one costs less than another write. */
export const WORTH_KEEPING = SIZE / 4;
/** Buffers whose write was complete, of all links of this worker. */
const spares: Buffer[] = [];
const MOST_SPARES = 32;

function spare(buffer: Buffer): void {
  if (buffer.length === SIZE && spares.length < MOST_SPARES) spares.push(used(buffer));
}

export class Batch {
  #open: Buffer | null = null;
  #used = 0;
  #before: Buffer[] = [];
  #bytesBefore = 0;
  /** Our own buffers among those that stand before. */
  #filled: Buffer[] = [];

  get empty(): boolean { return this.#used === 0 && this.#before.length === 0; }
  get bytes(): number { return this.#used + this.#bytesBefore; }

  copy(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    let open = this.#open;
    if (open === null || this.#used + length > open.length) open = this.#next(length);
    if (length < 48) {
      // A loop beats the call for the usual short request.
      let at = this.#used;
      for (let i = start; i < end; i++) open[at++] = bytes[i]!;
      this.#used = at;
    } else {
      bytes.copy(open, this.#used, start, end);
      this.#used += length;
    }
  }

  /** Takes a buffer as it is; it must never change afterwards. */
  append(bytes: Buffer): void {
    this.#setAside();
    this.#before.push(bytes);
    this.#bytesBefore += bytes.length;
  }

  /** All of it as one piece. */
  joined(): Buffer {
    this.#setAside();
    return Buffer.concat(this.#before);
  }

  /** Writes everything. `rests`: no buffer is kept for the next time, somebody else may need it before. */
  writeTo(socket: Socket, rests: boolean): void {
    if (this.#before.length === 0) this.#writeOpen(socket, this.#open!, rests);
    else this.#writeAll(socket);
  }

  /** Nothing will be written any more. */
  drop(): void {
    if (this.#open !== null) spare(this.#open);
    this.#open = null;
    this.#used = 0;
    this.#before = [];
    this.#bytesBefore = 0;
    this.#filled = [];
  }

  #next(length: number): Buffer {
    this.#setAside();
    const buffer = length > SIZE ? fresh(length) : (spares.pop() ?? fresh(SIZE));
    this.#open = buffer;
    return buffer;
  }

  #setAside(): void {
    if (this.#open === null || this.#used === 0) return;
    this.#before.push(this.#open.subarray(0, this.#used));
    this.#filled.push(this.#open);
    this.#bytesBefore += this.#used;
    this.#open = null;
    this.#used = 0;
  }

  #writeOpen(socket: Socket, buffer: Buffer, rests: boolean): void {
    socket.write(this.#used === buffer.length ? buffer : buffer.subarray(0, this.#used));
    this.#used = 0;
    // The kernel still reads from it: it is garbage when the write is done.
    this.#open = socket.writableLength > 0 || rests ? null : used(buffer);
    if (rests && socket.writableLength === 0) spare(buffer);
  }

  #writeAll(socket: Socket): void {
    this.#setAside();
    socket.cork();
    for (const bytes of this.#before) socket.write(bytes);
    socket.uncork();
    this.#before = [];
    this.#bytesBefore = 0;
    if (socket.writableLength === 0) for (const buffer of this.#filled) spare(buffer);
    this.#filled = [];
  }
}
