import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import type { Call, Command } from '../command.ts';

/** One past the last bit of a 512 MB string. */
const MAX_OFFSET = 512 * 1024 * 1024 * 8;
const NOTHING = Buffer.alloc(0);

export const bits: readonly Command[] = [
  command('bitcount', -2, 'readonly', [1, 1, 1], bitCount),
  command('getbit', 3, 'readonly fast', [1, 1, 1], getBit),
  command('setbit', 4, 'write denyoom', [1, 1, 1], setBit),
];

function readOffset(call: Call): number {
  const message = 'ERR bit offset is not an integer or out of range';
  const offset = call.ranged(2, 0, message);
  if (offset >= MAX_OFFSET) throw new CommandError(message);
  return offset;
}

function getBit(call: Call): void {
  const offset = readOffset(call);
  const bytes = call.db.read(call.text(1), 'string')?.bytes ?? NOTHING;
  call.reply.integer(bitAt(bytes, offset));
}

function setBit(call: Call): void {
  const offset = readOffset(call);
  const message = 'ERR bit is not an integer or out of range';
  const bit = call.ranged(3, 0, message);
  if (bit > 1) throw new CommandError(message);
  const key = call.text(1);
  const old = call.db.read(key, 'string')?.bytes ?? NOTHING;
  const place = Math.floor(offset / 8);
  const mask = 0x80 >> (offset % 8);
  const bytes = Buffer.alloc(Math.max(old.length, place + 1));
  old.copy(bytes);
  const byte = bytes[place] ?? 0;
  bytes[place] = bit === 1 ? byte | mask : byte & ~mask;
  call.db.store(key, { type: 'string', bytes }, true);
  call.reply.integer(bitAt(old, offset));
}

function bitAt(bytes: Buffer, offset: number): number {
  return ((bytes[Math.floor(offset / 8)] ?? 0) >> (7 - (offset % 8))) & 1;
}

function bitCount(call: Call): void {
  const bytes = call.db.read(call.text(1), 'string')?.bytes;
  if (bytes === undefined) return call.reply.integer(0);
  if (call.count === 2) return call.reply.integer(countBits(bytes, 0, bytes.length * 8 - 1));
  if (call.count !== 4 && call.count !== 5) throw CommandError.syntax();
  let start = call.integer(2);
  let end = call.integer(3);
  const unit = call.count === 5 ? call.word(4) : 'byte';
  if (unit !== 'bit' && unit !== 'byte') throw CommandError.syntax();
  if (start < 0 && end < 0 && start > end) return call.reply.integer(0);
  const total = unit === 'bit' ? bytes.length * 8 : bytes.length;
  if (start < 0) start = Math.max(total + start, 0);
  if (end < 0) end = Math.max(total + end, 0);
  end = Math.min(end, total - 1);
  if (start > end) return call.reply.integer(0);
  const [first, last] = unit === 'bit' ? [start, end] : [start * 8, end * 8 + 7];
  call.reply.integer(countBits(bytes, first, last));
}

/** Counts from bit `start` to bit `end`, both included. */
function countBits(bytes: Buffer, start: number, end: number): number {
  const first = Math.floor(start / 8);
  const last = Math.floor(end / 8);
  let count = 0;
  for (let i = first; i <= last; i++) {
    let byte = bytes[i] ?? 0;
    if (i === first) byte &= 0xff >> (start % 8);
    if (i === last) byte &= 0xff << (7 - (end % 8));
    for (byte &= 0xff; byte !== 0; byte &= byte - 1) count++;
  }
  return count;
}
