// How a key finds its place on the ring. Each is nutcracker's hash of the same name, checked against recorded
// answers.
import { crc32 as zlibCrc32 } from 'node:zlib';

/** An unsigned 32-bit number. */
export type KeyHash = (key: Uint8Array) => number;

/**
 * `crc32` (nutcracker's `crc32a`) spreads keys that differ in their last characters, such as client
 * addresses. `fnv1a_64` (nutcracker's default) does not: it is for data that was distributed by nutcracker.
 */
export type KeyHashName = 'crc32' | 'fnv1a_64';

export const keyHashes: Readonly<Record<KeyHashName, KeyHash>> = { crc32, fnv1a_64: fnv1a64 };

function crc32(key: Uint8Array): number {
  return zlibCrc32(key);
}

/** Not the FNV of that name: start and prime are cut to 32 bits, and bytes are signed (a C char on x86). */
function fnv1a64(key: Uint8Array): number {
  let hash = 0x84222325;
  for (let i = 0; i < key.length; i++) {
    hash = Math.imul(hash ^ ((key[i]! << 24) >> 24), 0x1b3);
  }
  return hash >>> 0;
}
