// Redis' side of an upstream connection: which bytes are a reply, and what a link must say before it serves anybody.
import { randomBytes } from 'node:crypto';
import { ASIDE, GARBAGE, Link, MORE, REPLY, type LinkOptions } from '../../core/upstream/link.ts';
import { unwell } from './probe.ts';
import { bulk, encodeRequest } from './resp/encode.ts';
import * as reply from './resp/scan-reply.ts';
import { ReplyScanner } from './resp/scan-reply.ts';
import type { RedisRequest } from './request.ts';
import type { RedisSession } from './session.ts';

export interface Credentials {
  /** Null: `AUTH password`, as before Redis 6. Both are latin1: one character a byte. */
  readonly user: string | null;
  readonly password: string;
}

/** The bytes of AUTH; credentials are held as latin1, one character a byte. */
export function authRequest({ user, password }: Credentials): Buffer {
  const secret = Buffer.from(password, 'latin1');
  return encodeRequest(user === null ? ['AUTH', secret] : ['AUTH', Buffer.from(user, 'latin1'), secret]);
}

/** What tells links to one node apart: a shared link never changes any of it. */
export interface Identity {
  readonly database: number;
  readonly resp: 2 | 3;
  readonly credentials: Credentials | null;
}

export function identityKey({ database, resp, credentials }: Identity): string {
  return JSON.stringify([database, resp, credentials?.user ?? null, credentials?.password ?? null]);
}

export interface RedisLinkOptions extends LinkOptions {
  readonly identity: Identity;
  /** The node asks for a password that this link's clients have not given. */
  readonly onNoAuth?: () => void;
  /** The node does not take the credentials of this link; its words. */
  readonly onLoginRefused?: (text: string) => void;
}

export class RedisLink extends Link {
  declare protected readonly options: RedisLinkOptions;
  readonly #scanner: ReplyScanner;
  /** The answer to AUTH, which is said first, came. */
  #loggedIn = false;

  constructor(options: RedisLinkOptions) {
    super(options);
    this.#scanner = new ReplyScanner(options.engine.limits.replyNesting);
  }

  get identity(): Identity {
    return this.options.identity;
  }

  protected override get midMessage(): boolean {
    return this.#scanner.midMessage;
  }

  protected override get owedBytes(): number {
    return this.#scanner.owed;
  }

  protected override token(): { request: Buffer; reply: Buffer } {
    const token = randomBytes(16).toString('hex');
    return { request: encodeRequest(['ECHO', token]), reply: bulk(token) };
  }

  protected override resetFrame(): void {
    this.#scanner.reset();
  }

  protected expectConfirmations(counts: number[]): void {
    this.#scanner.confirmations = counts;
  }

  protected override frame(bytes: Buffer, at: number, end: number): number {
    const scanner = this.#scanner;
    const next = scanner.scan(bytes, at, end);
    switch (scanner.outcome) {
      case reply.DONE:
        this.framed = scanner.type === 0x3e ? ASIDE : REPLY; // >
        if (scanner.type === 0x2d || scanner.type === 0x21) this.#errorSeen(bytes, at, next); // - !
        return next;
      case reply.MORE:
        this.framed = MORE;
        return next;
      default:
        this.framed = GARBAGE;
        return at;
    }
  }

  #errorSeen(bytes: Buffer, at: number, end: number): void {
    this.head?.erred?.(this.ring.tag(0));
    if (bytes[at + 1] === 0x4e) this.#refused(bytes, at, end); // -N…
    if (!this.node.health.judged) return;
    const text = bytes.toString('latin1', at, Math.min(end - 2, at + 200));
    if (unwell.test(text)) this.node.health.observed(text.slice(1));
  }

  #refused(bytes: Buffer, at: number, end: number): void {
    if (this.options.identity.credentials === null && bytes.toString('latin1', at, Math.min(end, at + 7)) === '-NOAUTH') {
      this.options.onNoAuth?.();
    }
  }

  protected override greeting(): { bytes: Buffer; replies: number } | null {
    const { database, resp, credentials } = this.options.identity;
    const lines: Buffer[] = [];
    if (credentials !== null) lines.push(authRequest(credentials));
    if (resp === 3) lines.push(encodeRequest(['HELLO', '3']));
    if (database !== 0) lines.push(encodeRequest(['SELECT', String(database)]));
    return lines.length === 0 ? null : { bytes: Buffer.concat(lines), replies: lines.length };
  }

  protected override greeted(bytes: Buffer, start: number, end: number): string | null {
    const isLogin = !this.#loggedIn && this.options.identity.credentials !== null;
    this.#loggedIn = true;
    if (bytes[start] !== 0x2d) return null;
    const text = bytes.toString('utf8', start + 1, Math.max(start + 1, end - 2));
    if (isLogin) this.options.onLoginRefused?.(text);
    return text;
  }
}

/** A link that serves one session for a while: state that lives in a connection lives here. */
export class OwnLink extends RedisLink {
  override readonly own = true;
  /** Who it serves; null while it rests in the pool. */
  session: RedisSession | null = null;
  /** Its state is no longer that of a new connection: it must not go back to the pool. */
  dirty = false;
  /** Commands of which it is not known (yet) that they left no trace. */
  suspects = 0;
  /** Times it was borrowed. */
  uses = 0;
  /** Pushes may arrive between replies as plain arrays (RESP2). */
  subscribed = false;
  monitoring = false;
  /** Channels, patterns and sharded channels, as the server confirmed them. */
  channels = 0;
  patterns = 0;
  shards = 0;
  /** Subscription commands that wait for EXEC. */
  readonly inTransaction: RedisRequest[] = [];
  /** The subscription command at the head of the ring, whose confirmations are being counted. */
  readonly commands: RedisRequest[] = [];
  #special = false;
  #aside = false;
  #kind = '';

  get subscriptions(): number {
    return this.channels + this.patterns + this.shards;
  }

  protected override frame(bytes: Buffer, at: number, end: number): number {
    if (!this.midMessage) {
      this.midAside = false;
      this.expectConfirmations(this.inTransaction.length > 0 && isExec(this.head) ? this.inTransaction.map((each) => this.#expected(each)) : NONE);
      this.#special = this.#maybeSpecial(bytes[at]!);
      if (this.#special) {
        const kind = kindOf(bytes, at, end);
        if (kind === null) {
          this.framed = MORE;
          return at;
        }
        this.#kind = kind;
        this.#aside = this.#isAside(kind, bytes[at]!);
      }
    }
    const next = super.frame(bytes, at, end);
    if (!this.#special || this.framed === GARBAGE) return next;
    // A confirmation is short and counted: it is looked at whole.
    if (this.framed === MORE && confirmation.test(this.#kind) && next - at < 64 * 1024) {
      return this.#wait(at);
    }
    if (this.framed === MORE) {
      this.midAside = this.#aside;
      return next;
    }
    const aside = confirmation.test(this.#kind) ? this.#confirmed(bytes, at, next) : this.#aside;
    this.framed = aside ? ASIDE : REPLY;
    return next;
  }

  /**
   * Whether a message that begins so may be something else than a plain reply. In RESP2 messages and confirmations are
   * arrays like any other, so it depends on whose turn it is: before SUBSCRIBE is answered, ordinary replies still come.
   */
  #maybeSpecial(type: number): boolean {
    if (type === 0x3e) return true; // >
    if (type === 0x2b) return this.monitoring; // +
    if (type !== 0x2a || this.session?.resp === 3) return false; // *
    const [command] = this.commands;
    if (this.subscriptions > 0) return true;
    return command === undefined ? this.subscribed : this.head === command;
  }

  #wait(at: number): number {
    this.resetFrame();
    this.framed = MORE;
    return at;
  }

  #isAside(kind: string, type: number): boolean {
    if (type === 0x3e) return !confirmation.test(kind);
    return type === 0x2b ? kind === 'monitor' : message.test(kind);
  }

  /** Counts a confirmation. True: it is not the last one that a command waits for. */
  #confirmed(bytes: Buffer, at: number, end: number): boolean {
    const colon = bytes.lastIndexOf(0x3a, end - 3);
    const total = Number(bytes.toString('latin1', colon + 1, end - 2));
    const head = this.commands[0];
    const name = this.#kind;
    if (head !== undefined && head.confirmations < 0) head.confirmations = this.#expected(head);
    this.#count(name, total);
    if (head === undefined || head.name !== name) return true;
    if (--head.confirmations > 0) return true;
    this.commands.shift();
    return false;
  }

  /** One for each channel that it names; without names, one for each there is, and at least one. */
  #expected(request: RedisRequest): number {
    if (request.count > 1) return request.count - 1;
    const { name } = request;
    return Math.max(1, name === 'unsubscribe' ? this.channels : name === 'punsubscribe' ? this.patterns : this.shards);
  }

  #count(kind: string, total: number): void {
    // The number is of channels and patterns together, or of sharded channels.
    if (kind.startsWith('s') && kind !== 'subscribe') this.shards = total;
    else if (kind.startsWith('p')) this.patterns = total - this.channels;
    else this.channels = total - this.patterns;
  }

  protected override ended(): void {
    this.session?.own.lost(this);
  }

  protected override aside(bytes: Buffer, start: number, end: number, complete: boolean): void {
    if (this.session === null) {
      this.fail('UPSTREAM_PROTOCOL', 'upstream sent a push to a link at rest');
      return;
    }
    this.session.pushed(bytes, start, end, complete);
  }
}

/** Never written to: only what EXEC answers takes from such a list. */
const NONE: number[] = [];
const message = /^[ps]?message$/;
const confirmation = /^[ps]?(un)?subscribe$/;
const longestKind = 40;

function isExec(head: object | null): boolean {
  return (head as { readonly name?: string } | null)?.name === 'exec';
}

/**
 * What a message in subscriber or monitor mode is: the first word of an array or push, `monitor`, or '' for any other
 * reply. Null: too few bytes to tell.
 */
function kindOf(bytes: Buffer, at: number, end: number): string | null {
  const type = bytes[at];
  if (type === 0x2b) {
    if (at + 1 >= end) return null;
    const next = bytes[at + 1]!;
    return next >= 0x30 && next <= 0x39 ? 'monitor' : '';
  }
  if (type !== 0x2a && type !== 0x3e) return '';
  const line = bytes.indexOf(10, at);
  if (line < 0 || line >= end) return end - at > 16 ? '' : null;
  // What follows an empty array is another message.
  if (emptyArray(bytes, at, line)) return '';
  if (line + 1 >= end) return null;
  if (bytes[line + 1] !== 0x24) return '';
  const second = bytes.indexOf(10, line + 1);
  if (second < 0 || second >= end) return null;
  const length = Number(bytes.toString('latin1', line + 2, second - 1));
  if (!(length > 0 && length <= longestKind)) return '';
  if (second + 1 + length > end) return null;
  return bytes.toString('latin1', second + 1, second + 1 + length).toLowerCase();
}

function emptyArray(bytes: Buffer, at: number, line: number): boolean {
  const count = bytes.toString('latin1', at + 1, line - 1);
  return count === '0' || count === '-1';
}
