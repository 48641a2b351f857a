// An upstream connection whose replies are handed out as whole messages.
import { GARBAGE, Link, MORE, REPLY } from './link.ts';

export abstract class MessageLink extends Link {
  /** Where the message ends that begins at `start`; 0: more bytes are needed, -1: it is none. */
  protected abstract message(bytes: Buffer, start: number, end: number): number;

  protected override get midMessage(): boolean { return false; }
  protected override resetFrame(): void {}

  protected override frame(bytes: Buffer, at: number, end: number): number {
    const next = this.message(bytes, at, end);
    if (next > 0) {
      this.framed = REPLY;
      return next;
    }
    this.framed = next < 0 || end - at > this.engine.limits.assembly ? GARBAGE : MORE;
    return at;
  }
}
