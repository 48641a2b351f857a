// The admin keys: given by settings or environment, and one that is made at the first start in a file that only its
// owner reads. Their texts are never logged, shown, or kept in memory.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import {
  chmodSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, statSync, writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { ProxyError } from '../core/errors.ts';
import type { AdminKeyEntry } from '../core/settings-admin.ts';
import { isLoopback } from './loopback.ts';
import { Scopes } from './scopes.ts';

export interface AdminKeySettings {
  readonly address: string;
  readonly key?: string;
  readonly key_file: string;
  readonly keys?: readonly AdminKeyEntry[];
}

/** Who asks. */
export interface AdminKey {
  readonly name: string;
  /** A viewer reads only. */
  readonly role: 'admin' | 'viewer';
  /** Null: everything. */
  readonly scopes: Scopes | null;
  /** Unix ms; null: never. */
  readonly expires: number | null;
}

/** Keys that stand in the reference's public documentation, the first one in its examples to this day. */
export const wellKnownKeys: readonly string[] = [
  'edd1c9f034335f136f87ad84b625c8f1', '4054f7cf07e344346cd3f287985e76a2',
];

const shortest = 16;
const longest = 1024;

interface Known {
  readonly key: AdminKey;
  readonly digest: Buffer;
}

interface FoundKeys {
  readonly file?: string;
  readonly generated?: boolean;
  readonly warnings?: readonly string[];
}

export class AdminKeys {
  readonly #known: readonly Known[];
  /** Where the key named `admin` stands; null: in the settings, or there is none. */
  readonly file: string | null;
  /** The file was made just now. */
  readonly generated: boolean;
  /** What an operator should hear; without a key. */
  readonly warnings: readonly string[];

  private constructor(known: readonly Known[], { file, generated = false, warnings = [] }: FoundKeys) {
    refuseSameText(known);
    this.#known = known;
    this.file = file ?? null;
    this.generated = generated;
    this.warnings = [...warnings, ...known.flatMap(({ key }) => over(key, Date.now()))];
  }

  /** Throws SETTINGS_INVALID when there is no acceptable key and none can be made. */
  static open({ address, key, key_file: file, keys = [] }: AdminKeySettings): AdminKeys {
    const others = keys.map((entry, index) => knownOf(entry, `admin.keys[${index}]`));
    const known = others.flatMap(({ digest }, index) => publicKey(digest, address, `admin.keys[${index}]`));
    if (key !== undefined) {
      const own = sole(key, 'admin.key');
      return new AdminKeys([own, ...others], { warnings: [...publicKey(own.digest, address, 'admin.key'), ...known] });
    }
    // Where the settings have a key for everything and for ever, nobody needs one more.
    if (keys.some(isWhole) && !existsSync(file)) return new AdminKeys(others, { warnings: known });
    try {
      const made = create(file);
      const own = sole(made ?? readFileSync(file, 'utf8').trim(), file);
      const warnings = [...publicKey(own.digest, address, file), ...known, ...readableByOthers(file)];
      return new AdminKeys([own, ...others], { file, generated: made !== null, warnings });
    } catch (error) {
      if (error instanceof ProxyError) throw error;
      const why = `${file}: the admin key file cannot be used: ${(error as Error).message}`;
      throw new ProxyError('SETTINGS_INVALID', why, { cause: error });
    }
  }

  /**
   * The key with that text, expired ones too; null: there is none. Takes the same time for every text of one length,
   * whether it is nearly right or not, whichever key it is.
   */
  find(candidate: string): AdminKey | null {
    const given = digestOf(candidate);
    let found: AdminKey | null = null;
    for (const { key, digest } of this.#known) found = timingSafeEqual(digest, given) ? key : found;
    return found;
  }
}

/** The one key that is always there, with every right. */
function sole(text: string, place: string): Known {
  refuseBadKey(text, place);
  return { key: { name: 'admin', role: 'admin', scopes: null, expires: null }, digest: digestOf(text) };
}

function knownOf({ name, key, key_sha256: hash, role, scopes, expires }: AdminKeyEntry, place: string): Known {
  if (key !== undefined) refuseBadKey(key, `${place}.key`);
  return {
    key: {
      name, role, scopes: scopes === undefined ? null : new Scopes(scopes),
      expires: expires === undefined ? null : Date.parse(expires),
    },
    digest: key === undefined ? Buffer.from(hash ?? '', 'hex') : digestOf(key),
  };
}

function isWhole({ role, scopes, expires }: AdminKeyEntry): boolean {
  return role === 'admin' && scopes === undefined && expires === undefined;
}

// Of two keys with one text the audit log could not tell who it was. Those of the settings alone are told apart earlier,
// with their line; that of the file is known only here.
function refuseSameText(known: readonly Known[]): void {
  for (const [index, { key, digest }] of known.entries()) {
    const other = known.slice(0, index).find((each) => each.digest.equals(digest));
    if (other === undefined) continue;
    throw new ProxyError('SETTINGS_INVALID', `admin.keys: expected a key of its own for ${key.name}, got that of ${other.key.name}`);
  }
}

function over({ name, expires }: AdminKey, now: number): string[] {
  if (expires === null || expires > now) return [];
  return [`admin.keys: the key ${name} expired at ${new Date(expires).toISOString()} and is not accepted`];
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function refuseBadKey(key: string, place: string): void {
  if (key.length >= shortest && key.length <= longest && /^[\x21-\x7e]+$/.test(key)) return;
  const got = key === '' ? 'an empty one' : `one of ${key.length}`;
  throw new ProxyError(
    'SETTINGS_INVALID', `${place}: expected a key of ${shortest}..${longest} visible characters, got ${got}`);
}

const wellKnownDigests = wellKnownKeys.map(digestOf);

function publicKey(digest: Buffer, address: string, place: string): string[] {
  if (!wellKnownDigests.some((each) => each.equals(digest))) return [];
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
