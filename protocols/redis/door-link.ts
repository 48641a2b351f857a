// A connection on which nobody's commands run, only AUTH and HELLO of clients that introduce themselves: the server
// decides, and no shared link changes its identity. One per node, pipelined; each question begins with RESET.
import { ProxyError } from '../../core/errors.ts';
import type { Receiver } from '../../core/upstream/receiver.ts';
import { authRequest, RedisLink, type Credentials } from './link.ts';
import { encodeRequest } from './resp/encode.ts';

const RESET = encodeRequest(['RESET']);
/**
 * Questions under way at once. Servers close a connection without a user when more than 1 KiB of answers wait for it
 * (their fix for CVE-2025-21605), and "NOAUTH HELLO must be called with …" has 230 bytes.
 */
const most = 3;

export class DoorLink extends RedisLink {
  #asking = 0;
  readonly #waiting: (() => void)[] = [];

  /**
   * What the server answers to `command` from a client with these credentials: the raw reply. Rejects with a
   * ProxyError when it does not answer.
   */
  ask(credentials: Credentials | null, command: readonly (string | Buffer)[]): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const parts = [RESET];
      if (credentials !== null) parts.push(authRequest(credentials));
      parts.push(encodeRequest(command));
      const answer = new Answer(parts.length, (reply) => { this.#answered(); resolve(reply); }, (error) => {
        this.#answered();
        reject(error);
      });
      const send = (): void => {
        this.#asking++;
        this.sendWhole(answer, Buffer.concat(parts), parts.length, 0);
      };
      if (this.#asking < most) send();
      else this.#waiting.push(send);
    });
  }

  #answered(): void {
    this.#asking--;
    if (this.state !== 'closed') this.#waiting.shift()?.();
    // Each fails at once, and none starts the next: thousands may wait.
    else for (const fail of this.#waiting.splice(0)) fail();
  }
}

/** Keeps the last of the replies. */
class Answer implements Receiver {
  endsWhole = true;
  readonly outbox = null;
  readonly #resolve: (reply: Buffer) => void;
  readonly #reject: (error: ProxyError) => void;
  #owed: number;
  #pieces: Buffer[] = [];

  constructor(replies: number, resolve: (reply: Buffer) => void, reject: (error: ProxyError) => void) {
    this.#owed = replies;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  receive(bytes: Buffer, start: number, end: number, complete: number): void {
    this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
    this.#owed -= complete;
    if (this.#owed === 0) this.#resolve(lastReply(Buffer.concat(this.#pieces)));
  }

  failed(error: ProxyError): void {
    this.#reject(error);
  }
}

/** RESET and AUTH answer with one line each; what the question itself got comes after them. */
function lastReply(replies: Buffer): Buffer {
  let at = 0;
  while (replies[at] === 0x2b || replies[at] === 0x2d) {
    const next = replies.indexOf(10, at) + 1;
    if (next >= replies.length) break;
    at = next;
  }
  return replies.subarray(at);
}
