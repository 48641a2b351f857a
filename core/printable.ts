// Client bytes as text for logs, filters and counters: always one line, never ambiguous, never long.
import { isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';

/**
 * UTF-8 stays readable; control characters, backslashes and bytes that are not UTF-8 become escapes, so that
 * two different keys never look the same. Of more than `limit` bytes the first ones are shown, with length
 * and a fingerprint of the whole.
 */
export function printable(bytes: Buffer, limit: number): string {
  if (bytes.length > limit) {
    const fingerprint = hash('sha256', bytes).slice(0, 16);
    return `${escaped(bytes.subarray(0, limit))}...(${bytes.length} bytes, ${fingerprint})`;
  }
  return escaped(bytes);
}

function escaped(bytes: Buffer): string {
  if (isPlain(bytes)) return bytes.toString('latin1');
  if (isUtf8(bytes)) return bytes.toString('utf8').replace(/[\\\p{Cc}\u2028\u2029]/gu, escapeCharacter);
  let text = '';
  for (const byte of bytes) text += byte < 0x7f && byte >= 0x20 ? escapePlain(byte) : escapeByte(byte);
  return text;
}

function isPlain(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte < 0x20 || byte > 0x7e || byte === 0x5c) return false;
  }
  return true;
}

function escapePlain(byte: number): string {
  return byte === 0x5c ? '\\\\' : String.fromCharCode(byte);
}

function escapeCharacter(character: string): string {
  if (character === '\\') return '\\\\';
  const code = character.charCodeAt(0);
  return code < 0x80 ? escapeByte(code) : `\\u${code.toString(16).padStart(4, '0')}`;
}

function escapeByte(byte: number): string {
  if (byte === 0x0a) return '\\n';
  if (byte === 0x0d) return '\\r';
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
