// Handshakes that failed for a reason that an operator can do something about. Anybody can cause them, and as many as he
// likes: only some of each kind are written.
import type { ErrorCode } from '../errors.ts';
import type { Logger } from '../log.ts';

const perSecond = 10;

export class RefusalLog {
  readonly #log: Logger;
  readonly #written = new Map<ErrorCode, number>();
  #second = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  warn(code: ErrorCode, record: Readonly<Record<string, unknown>>, text: string): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#written.clear();
    }
    const written = (this.#written.get(code) ?? 0) + 1;
    this.#written.set(code, written);
    if (written <= perSecond) this.#log.warn({ code, ...record }, text);
  }
}
