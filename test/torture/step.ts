// One command of a scene and what has to come back.
import { encodeCommand, RespError, type Argument, type Value } from '../support/resp.ts';

export interface Step {
  readonly name: string;
  readonly bytes: Buffer;
  /** Null: no reply comes. `push`: it is confirmed by a push frame. */
  readonly reply: 'value' | 'push' | null;
  /** For the report. */
  readonly expected: string;
  /** Judged when its turn comes: everything before it was judged. */
  right(reply: Value): boolean;
  /** An error came (or nothing, text ''): whether it was executed is unknown. `leave`: the client can't go on. */
  failed(text: string): 'go on' | 'leave';
}

export interface StepOptions {
  readonly expected?: string;
  readonly reply?: Step['reply'];
  readonly bytes?: Buffer;
  readonly failed?: (text: string) => 'go on' | 'leave' | void;
}

export function step(args: readonly Argument[], right: (reply: Value) => boolean, options: StepOptions = {}): Step {
  const name = args.slice(0, 3).map((each) => String(each).slice(0, 60)).join(' ');
  return {
    name,
    bytes: options.bytes ?? encodeCommand(args),
    reply: options.reply === undefined ? 'value' : options.reply,
    expected: options.expected ?? 'another reply',
    right,
    failed: (text) => options.failed?.(text) ?? 'go on',
  };
}

/** A step after whose failure nothing about the connection is known any more. */
export function vital(args: readonly Argument[], right: (reply: Value) => boolean, options: StepOptions = {}): Step {
  return step(args, right, { ...options, failed: (text) => { options.failed?.(text); return 'leave'; } });
}

export function isOk(reply: Value): boolean { return reply === 'OK' || (Buffer.isBuffer(reply) && reply.equals(OK)); }
const OK = Buffer.from('OK');

export function same(reply: Value, wanted: Buffer | null): boolean {
  if (wanted === null) return reply === null;
  return Buffer.isBuffer(reply) && reply.equals(wanted);
}

export function text(value: Value | undefined): string {
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  if (value instanceof RespError) return `error ${value.text}`;
  return value === null || value === undefined || typeof value !== 'object' ? String(value) : JSON.stringify(value);
}

/**
 * An error that names the key it is about must be about the right one: answers what is wrong with it, or null. These
 * come from the plugins of the run.
 */
export function strangeError(error: RespError, bytes: Buffer): string | null {
  const named = /(?:injected for|denied by v\d+:) (\S+)/.exec(error.text)?.[1];
  if (named === undefined || bytes.includes(named)) return null;
  return `an error about ${named}`;
}
