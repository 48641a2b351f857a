// One client: its socket, its parser and its state between commands.
import type { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { dispatch } from './dispatch.ts';
import { ReplyWriter } from './reply-writer.ts';
import { ProtocolFault, RequestParser, RequestTooLarge } from './request-parser.ts';
import { Subscriptions } from './subscriptions.ts';
import { Transaction } from './transaction.ts';
import type { Wait } from './blocking.ts';
import type { Subscriber, SubscriptionKind } from './channels.ts';
import type { Database } from './database.ts';
import type { Engine } from './engine.ts';

/** A client that does not read its replies is not read from either while it owes us this many bytes. */
const MAX_UNREAD = 64 * 1024 * 1024;
/** A subscriber that does not read is closed at this many bytes: client-output-buffer-limit pubsub. */
const MAX_UNREAD_SUBSCRIBED = 32 * 1024 * 1024;
/** Longest delay of a Node timer; longer waits are armed again. */
const MAX_TIMER = 2 ** 31 - 1;

const messageKinds: Readonly<Record<SubscriptionKind, string>> = {
  channels: 'message', patterns: 'pmessage', shards: 'smessage',
};

/** What a blocking command waits for. */
export interface BlockingTry {
  readonly keys: readonly string[];
  /** 0: for ever. */
  readonly milliseconds: number;
  readonly serve: (key: string) => boolean;
  readonly timedOut: () => void;
}

export class Connection implements Subscriber {
  readonly id: number;
  readonly engine: Engine;
  readonly reply = new ReplyWriter();
  readonly transaction = new Transaction();
  readonly subscriptions: Subscriptions;
  readonly createdAt: number;
  lastCommandAt: number;
  lastCommand = 'NULL';
  name = '';
  database: Database;
  replyMode: 'on' | 'off' | 'skip' | 'skip-next' = 'on';
  noEvict = false;
  readonly #socket: Duplex;
  readonly #parser = new RequestParser();
  #wait: Wait | null = null;
  #timer: NodeJS.Timeout | undefined;
  #closing = false;
  #closed = false;
  #full = false;

  constructor(id: number, socket: Duplex, engine: Engine) {
    this.id = id;
    this.engine = engine;
    this.#socket = socket;
    this.database = this.#databaseZero();
    this.createdAt = this.lastCommandAt = engine.now();
    this.subscriptions = new Subscriptions(engine.channels, this);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('drain', () => this.#drained());
    socket.on('end', () => this.close());
    socket.on('close', () => {
      this.close();
      engine.connections.delete(id);
    });
    // A reset by the client is no fault of ours: 'close' follows and lets everything go.
    socket.on('error', () => this.close());
  }

  get blocked(): boolean {
    return this.#wait !== null;
  }

  /** `host:port` of the client's and of our end; empty for a stream that is no socket. */
  get addresses(): { readonly remote: string; readonly local: string } {
    const { remoteAddress, remotePort, localAddress, localPort } = this.#socket as Partial<Socket>;
    return {
      remote: remoteAddress === undefined ? '' : `${remoteAddress}:${remotePort}`,
      local: localAddress === undefined ? '' : `${localAddress}:${localPort}`,
    };
  }

  /** Runs what has arrived, until a command blocks or the client has to read first. */
  process(): void {
    this.engine.wrote(this);
    try {
      while (!this.#closing && !this.#closed && this.#wait === null && !this.#full) {
        const args = this.#parser.next();
        if (args === null) return;
        dispatch(this, args);
        // A command that blocks is over when it is unblocked.
        if (!this.blocked) this.#advanceReplyMode();
        this.engine.blocking.serveReady();
        // A pipeline of large replies: stop when the client does not read, instead of gathering them all.
        if (this.reply.bytes > MAX_UNREAD) this.flush();
      }
    } catch (cause) {
      this.#refuse(cause);
    }
  }

  flush(): void {
    if (this.#closed) return;
    if (this.reply.bytes > 0) this.#write(this.reply.take());
    if (this.#closing) {
      this.#release();
      this.#socket.end(() => this.#socket.destroy());
      return;
    }
    const unread = this.#socket.writableLength;
    if (unread > MAX_UNREAD_SUBSCRIBED && this.subscriptions.total > 0) this.close();
    else if (unread > MAX_UNREAD) this.#pause();
  }

  /** Blocks the client; commands that it pipelined behind wait. */
  block({ keys, milliseconds, serve, timedOut }: BlockingTry): void {
    const wait: Wait = {
      database: this.database, keys, serve,
      served: () => {
        this.#unblock(wait);
        this.#advanceReplyMode();
        this.engine.resume(this);
      },
    };
    this.#wait = wait;
    this.engine.blocking.add(wait);
    if (milliseconds > 0) this.#arm(wait, milliseconds, timedOut);
  }

  deliver(kind: SubscriptionKind, pattern: string | null, channel: string, message: Buffer): void {
    const { reply } = this;
    const muted = reply.muted;
    // Pushes go out even while CLIENT REPLY OFF drops replies.
    reply.muted = false;
    reply.push(pattern === null ? 3 : 4);
    reply.bulk(messageKinds[kind]);
    if (pattern !== null) reply.bulk(pattern);
    reply.bulk(channel);
    reply.bulk(message);
    reply.muted = muted;
    this.engine.wrote(this);
  }

  /** Sends the replies written so far, then closes; what the client sent behind is dropped. */
  closeAfterReply(): void {
    this.#closing = true;
  }

  setReplyMode(mode: Connection['replyMode']): void {
    this.replyMode = mode;
    this.reply.muted = mode === 'off' || mode === 'skip';
  }

  /** RESET: as if newly connected, but with its id. */
  reset(): void {
    this.transaction.end();
    this.subscriptions.clear();
    this.database = this.#databaseZero();
    this.reply.resp = 2;
    this.name = '';
    this.noEvict = false;
    this.setReplyMode('on');
  }

  /** Closes at once, without sending what is waiting. */
  close(): void {
    if (!this.#closed) this.#release();
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#closing || this.#closed) return;
    try {
      this.#parser.push(chunk);
    } catch (cause) {
      this.#refuse(cause);
    }
    this.process();
    this.engine.settle();
  }

  /** One system call for all parts. */
  #write(parts: readonly Buffer[]): void {
    this.#socket.cork();
    for (const part of parts) this.#socket.write(part);
    this.#socket.uncork();
  }

  #refuse(cause: unknown): void {
    if (!(cause instanceof ProtocolFault)) {
      // A fault of ours must not take the process down, nor leave this client with half a reply.
      if (!(cause instanceof RequestTooLarge)) {
        process.emitWarning(cause instanceof Error ? cause : String(cause));
      }
      return this.close();
    }
    this.reply.error(`ERR Protocol error: ${cause.message}`);
    this.#closing = true;
  }

  #advanceReplyMode(): void {
    if (this.replyMode === 'skip') this.setReplyMode('on');
    else if (this.replyMode === 'skip-next') this.setReplyMode('skip');
  }

  #arm(wait: Wait, milliseconds: number, timedOut: () => void): void {
    this.#timer = setTimeout(() => {
      if (milliseconds > MAX_TIMER) return this.#arm(wait, milliseconds - MAX_TIMER, timedOut);
      this.#unblock(wait);
      timedOut();
      this.#advanceReplyMode();
      this.process();
      this.engine.settle();
    }, Math.min(milliseconds, MAX_TIMER));
    this.#timer.unref();
  }

  #unblock(wait: Wait): void {
    clearTimeout(this.#timer);
    this.engine.blocking.remove(wait);
    this.#wait = null;
  }

  #pause(): void {
    this.#full = true;
    this.#socket.pause();
  }

  #drained(): void {
    if (!this.#full) return;
    this.#full = false;
    this.#socket.resume();
    this.process();
    this.engine.settle();
  }

  #release(): void {
    this.#closed = true;
    if (this.#wait !== null) this.#unblock(this.#wait);
    this.transaction.end();
    this.subscriptions.clear();
  }

  #databaseZero(): Database {
    const [database] = this.engine.databases;
    if (database === undefined) throw new Error('engine without databases');
    return database;
  }
}
