// What filters, log formats and rate limits can say about a request: `remote_addr`, `rpc_time`, `key`, …
// A name that is not common is asked of the request's protocol, then of its door; empty when nobody knows it.
import { ProxyError } from './errors.ts';
import { printable } from './printable.ts';
import type { Request } from './request.ts';

export interface Variable {
  /** Times and sizes are numbers, so that a JSON record has them as such. */
  readonly read: (request: Request) => string | number;
  /** It is not complete before the answer came: no use in the request phase. */
  readonly afterAnswer: boolean;
}

export interface VariableOptions {
  /** How many bytes of a key are shown before it is cut; default 1024. */
  readonly keyLimit?: number;
}

const longestTemplate = 4096;
const mostSlots = 64;
/** A command may name a million keys; a record shows these many. */
const mostKeys = 64;

/** Letters, digits and `_`, not beginning with a digit, at most 100. */
export function isWellFormedVariable(name: string): boolean {
  return /^[A-Za-z_]\w{0,99}$/.test(name);
}

/** Compiled once. Throws when the name is not well formed. */
export function compileVariable(name: string, options: VariableOptions = {}): (request: Request) => string {
  const { read } = findVariable(name, options);
  return (request) => String(read(request));
}

let noted: Set<string> | null = null;

/** What `act` makes, and the names of the variables that it compiled and not every protocol has. */
export function notingVariables<Made>(act: () => Made): readonly [made: Made, names: ReadonlySet<string>] {
  const before = noted;
  const names = noted = new Set<string>();
  try {
    return [act(), names];
  } finally {
    noted = before;
  }
}

export function findVariable(name: string, options: VariableOptions = {}): Variable {
  if (!isWellFormedVariable(name)) {
    const got = JSON.stringify(name.slice(0, 120));
    throw new ProxyError('CONFIG_INVALID', `variable: expected letters, digits and _, got ${got}`);
  }
  const limit = options.keyLimit ?? 1024;
  if (name === 'key') {
    return early((request) => (request.keyCount > 0 ? printable(request.key(0), limit) : ''));
  }
  if (name === 'keys') return early((request) => readKeys(request, limit).join(','));
  const common = Object.hasOwn(commonVariables, name) ? commonVariables[name] : undefined;
  if (common !== undefined) return common;
  noted?.add(name);
  return {
    // A connection that is read like a request has no plan.
    read: (request) => request.variable(name) ?? request.session.variable(name) ?? request.plan?.variable(name, request) ?? '',
    afterAnswer: name.startsWith('reply_'),
  };
}

/** The request's keys as text, the first 64 of them. */
export function readKeys(request: Request, limit = 1024): string[] {
  const keys: string[] = [];
  for (let i = 0; i < request.keyCount && i < mostKeys; i++) keys.push(printable(request.key(i), limit));
  return keys;
}

const commonVariables: Readonly<Record<string, Variable>> = {
  remote_addr: early((request) => request.session.remoteAddress),
  remote_port: early((request) => request.session.remotePort),
  server_addr: early((request) => request.session.localAddress),
  server_port: early((request) => request.session.localPort),
  session_id: early((request) => request.session.id),
  user: early((request) => request.session.user ?? ''),
  consumer_name: early((request) => request.session.consumer ?? ''),
  route_id: early((request) => request.session.route.id),
  protocol: early((request) => request.session.route.protocol),
  command: early((request) => request.name),
  bytes_in: early((request) => request.bytesIn),
  time: early(() => new Date().toISOString()),
  time_ms: early(() => Date.now()),
  rpc_time: late(seconds),
  bytes_out: late((request) => request.bytesOut),
  upstream_addr: late((request) => request.upstreamAddress),
  outcome: late(outcomeOf),
};

/** Names of the variables that every protocol has. */
export const commonVariableNames: readonly string[] = ['key', 'keys', ...Object.keys(commonVariables)];

function early(read: Variable['read']): Variable {
  return { read, afterAnswer: false };
}

function late(read: Variable['read']): Variable {
  return { read, afterAnswer: true };
}

// Rounded to microseconds, which is what the clock is good for.
function seconds(request: Request): number {
  return request.endedAt === 0 ? 0 : Math.round((request.endedAt - request.startedAt) * 1000) / 1e6;
}

/** `error` is the server's own error reply, a failure of ours is its code, no answer is `unfinished`. */
function outcomeOf(request: Request): string {
  const { outcome } = request;
  if (outcome === null) return 'unfinished';
  if (outcome instanceof ProxyError) return outcome.code.toLowerCase();
  return outcome.isError ? 'error' : 'ok';
}

/**
 * Text with `$name` and `${name}` in it; `$$` is a dollar. A text that is one variable and nothing else keeps
 * the variable's type.
 */
export function compileTemplate(text: string, options: VariableOptions = {}): Variable {
  if (text.length > longestTemplate) {
    throw tooLong('characters', longestTemplate, text.length);
  }
  const parts = templateParts(text, options);
  const slots = parts.filter((part) => typeof part !== 'string');
  if (slots.length > mostSlots) {
    throw tooLong('variables', mostSlots, slots.length);
  }
  if (parts.length === 1 && slots.length === 1) return slots[0]!;
  return {
    read: (request) => {
      let made = '';
      for (const part of parts) made += typeof part === 'string' ? part : part.read(request);
      return made;
    },
    afterAnswer: slots.some((slot) => slot.afterAnswer),
  };
}

function tooLong(what: string, most: number, got: number): ProxyError {
  return new ProxyError('CONFIG_INVALID', `template: expected at most ${most} ${what}, got ${got}`);
}

function templateParts(text: string, options: VariableOptions): (string | Variable)[] {
  const parts: (string | Variable)[] = [];
  let from = 0;
  for (const found of text.matchAll(/\$(?:\$|([A-Za-z_]\w*)|\{([^}]*)\})/g)) {
    if (found.index > from) parts.push(text.slice(from, found.index));
    const name = found[1] ?? found[2];
    parts.push(name === undefined ? '$' : findVariable(name, options));
    from = found.index + found[0].length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}
