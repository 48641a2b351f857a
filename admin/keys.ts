// The admin key: given by settings or environment, or made at the first start in a file that only its owner
// reads. Its text is never logged, shown, or kept in memory.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import {
  chmodSync, closeSync, fsyncSync, mkdirSync, openSync, readFileSync, statSync, writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { ProxyError } from '../core/errors.ts';
import { isLoopback } from './loopback.ts';

export interface AdminKeySettings {
  readonly address: string;
  readonly key?: string;
  readonly key_file: string;
}

/** Keys that stand in the reference's public documentation, the first one in its examples to this day. */
export const wellKnownKeys: readonly string[] = [
  'edd1c9f034335f136f87ad84b625c8f1', '4054f7cf07e344346cd3f287985e76a2',
];

const shortest = 16;
const longest = 1024;

interface FoundKeys {
  readonly file?: string;
  readonly generated?: boolean;
  readonly warnings?: readonly string[];
}

export class AdminKeys {
  readonly #digests: readonly Buffer[];
  /** Where the key stands; null: in the settings. */
  readonly file: string | null;
  /** The file was made just now. */
  readonly generated: boolean;
  /** What an operator should hear; without the key. */
  readonly warnings: readonly string[];

  constructor(keys: readonly string[], found: FoundKeys = {}) {
    for (const key of keys) refuseBadKey(key, found.file ?? 'admin.key');
    if (keys.length === 0) throw new ProxyError('SETTINGS_INVALID', 'admin.key: expected a key, got none');
    this.#digests = keys.map(digest);
    this.file = found.file ?? null;
    this.generated = found.generated ?? false;
    this.warnings = found.warnings ?? [];
  }

  /** Throws SETTINGS_INVALID when there is no acceptable key and none can be made. */
  static open({ address, key, key_file: file }: AdminKeySettings): AdminKeys {
    if (key !== undefined) return new AdminKeys([key], { warnings: publicKey(key, address, 'admin.key') });
    try {
      const made = create(file);
      const text = made ?? readFileSync(file, 'utf8').trim();
      const warnings = [...publicKey(text, address, file), ...readableByOthers(file)];
      return new AdminKeys([text], { file, generated: made !== null, warnings });
    } catch (error) {
      if (error instanceof ProxyError) throw error;
      const why = `${file}: the admin key file cannot be used: ${(error as Error).message}`;
      throw new ProxyError('SETTINGS_INVALID', why, { cause: error });
    }
  }

  /** Takes the same time for every text of one length, whether it is nearly right or not. */
  accepts(candidate: string): boolean {
    const given = digest(candidate);
    let accepted = false;
    for (const known of this.#digests) accepted = timingSafeEqual(known, given) || accepted;
    return accepted;
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function refuseBadKey(key: string, place: string): void {
  if (key.length >= shortest && key.length <= longest && /^[\x21-\x7e]+$/.test(key)) return;
  const got = key === '' ? 'an empty one' : `one of ${key.length}`;
  throw new ProxyError(
    'SETTINGS_INVALID', `${place}: expected a key of ${shortest}..${longest} visible characters, got ${got}`);
}

function publicKey(key: string, address: string, place: string): string[] {
  if (!wellKnownKeys.includes(key)) return [];
  if (isLoopback(address)) return [`${place}: this key is publicly known; it is accepted on loopback only`];
  const why = `${place}: expected a secret key, got one that is publicly known`;
  throw new ProxyError('SETTINGS_INVALID', `${why}; it is accepted on loopback only, not on ${address}`);
}

/** Returns the new key; null when the file is there already. */
function create(file: string): string | null {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  let handle: number;
  try {
    handle = openSync(file, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null;
    throw error;
  }
  try {
    // The process's mask may have taken rights away from the owner.
    chmodSync(file, 0o600);
    const key = randomBytes(32).toString('hex');
    writeSync(handle, `${key}\n`);
    fsyncSync(handle);
    return key;
  } finally {
    closeSync(handle);
  }
}

// Mounted secrets often have such a mode and cannot change it, so it is no reason to stop.
function readableByOthers(file: string): string[] {
  if (process.platform === 'win32') return [];
  const mode = statSync(file).mode & 0o777;
  if ((mode & 0o077) === 0) return [];
  return [`${file}: the admin key can be read by others (mode ${mode.toString(8)}, expected 600)`];
}
