// Which files were read, and what told their versions apart just before.
import { statSync } from 'node:fs';

export class FileStamps {
  readonly #stamps = new Map<string, string>();

  get files(): readonly string[] {
    return [...this.#stamps.keys()];
  }

  /** To be called before the file is read: a change in between is then seen as one. */
  add(file: string): void {
    if (!this.#stamps.has(file)) this.#stamps.set(file, stampOf(file));
  }

  /** Whether one of them is not what it was. */
  get changed(): boolean {
    return [...this.#stamps].some(([file, stamp]) => stampOf(file) !== stamp);
  }
}

// A link that leads elsewhere now has another inode behind it.
function stampOf(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}
