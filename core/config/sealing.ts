// Values at rest: the store's file alone tells nobody a password or a private key. Each value is sealed with
// AES-256-GCM under a key that stands in a file of its own, and is bound to the resource that it belongs to, so
// that nobody can move it to another one in the file.
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { ProxyError } from '../errors.ts';

const mark = 'sealed:1:';
const ivBytes = 12;
const tagBytes = 16;
const keyBytes = 32;
const mostKeys = 16;

interface Key {
  /** Says which one a value was sealed with. */
  readonly name: string;
  readonly secret: Buffer;
}

export class Sealing {
  /** The first seals, all of them open. */
  readonly #keys: readonly Key[];
  readonly #file: string;

  private constructor(keys: readonly Key[], file: string) {
    this.#keys = keys;
    this.#file = file;
  }

  /** Reads the key file; makes one with a new key where there is none and there may be. Throws STORE_FAILED. */
  static open(file: string, mayCreate = true): Sealing {
    let text = read(file);
    if (text === null) {
      if (!mayCreate) throw wrong(file, 'the file with the key that the store was written with', 'none');
      text = `${randomBytes(keyBytes).toString('base64')}\n`;
      create(file, text);
    }
    const lines = text.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
    if (lines.length === 0 || lines.length > mostKeys) throw wrong(file, `1..${mostKeys} keys, one on a line`, String(lines.length));
    return new Sealing(lines.map((line, index) => keyOf(line, file, index)), file);
  }

  seal(text: string, place: string): string {
    const [{ name, secret }] = this.#keys as [Key];
    const iv = randomBytes(ivBytes);
    const cipher = createCipheriv('aes-256-gcm', secret, iv).setAAD(Buffer.from(place));
    const sealed = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return `${mark}${name}:${sealed.toString('base64')}`;
  }

  /** What was sealed; a text that was never sealed as it is. Throws STORE_FAILED. */
  open(text: string, place: string): string {
    if (!text.startsWith(mark)) return text;
    const [name, data = ''] = text.slice(mark.length).split(':');
    const key = this.#keys.find((each) => each.name === name);
    if (key === undefined) throw wrong(this.#file, 'the key that the store was written with', 'others');
    const bytes = Buffer.from(data, 'base64');
    try {
      const decipher = createDecipheriv('aes-256-gcm', key.secret, bytes.subarray(0, ivBytes), { authTagLength: tagBytes })
        .setAAD(Buffer.from(place)).setAuthTag(bytes.subarray(-tagBytes));
      return decipher.update(bytes.subarray(ivBytes, -tagBytes), undefined, 'utf8') + decipher.final('utf8');
    } catch (cause) {
      throw new ProxyError('STORE_FAILED', `${place}: the value was damaged or exchanged`, { cause });
    }
  }

  /** Whether it is sealed with the key that new values are sealed with. */
  isCurrent(text: string): boolean {
    return text.startsWith(`${mark}${this.#keys[0]!.name}:`);
  }
}

/** Keeps values as they are: what is asked of a store without a key file. */
export const unsealed: Pick<Sealing, 'seal' | 'open' | 'isCurrent'> = {
  seal: (text) => text,
  open(text) {
    if (text.startsWith(mark)) throw new ProxyError('STORE_FAILED', 'its values are sealed, and there is no key file');
    return text;
  },
  isCurrent: () => true,
};

function keyOf(line: string, file: string, index: number): Key {
  const secret = Buffer.from(line, 'base64');
  if (secret.length !== keyBytes) throw wrong(file, `key ${index + 1} of ${keyBytes} bytes in base64`, `${secret.length} bytes`);
  return { name: createHash('sha256').update('name of ').update(secret).digest('hex').slice(0, 16), secret };
}

/** Null: there is none. */
function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new ProxyError('STORE_FAILED', `store.key_file: ${(cause as Error).message}`, { cause });
  }
}

/** On the disk before anything is sealed with it. */
function create(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const handle = openSync(file, 'wx', 0o600);
    writeSync(handle, text);
    fsyncSync(handle);
    closeSync(handle);
    const folder = openSync(dirname(file), 'r');
    fsyncSync(folder);
    closeSync(folder);
  } catch (cause) {
    throw new ProxyError('STORE_FAILED', `store.key_file: ${(cause as Error).message}`, { cause });
  }
}

function wrong(file: string, expected: string, got: string): ProxyError {
  return new ProxyError('STORE_FAILED', `store.key_file: ${file}: expected ${expected}, got ${got}`);
}
