// A log format compiled to pieces of JSON text and variables between them.
import { ProxyError } from '../../core/errors.ts';
import type { Request } from '../../core/request.ts';
import { compileTemplate, type Variable } from '../../core/variables.ts';

export type Format = Readonly<Record<string, unknown>>;

const deepest = 5;
const mostFields = 256;
// Enough to know a key by; a log is no place for payloads.
const keyLimit = 64;

/** What a record says by default. Keys are payload: whoever wants them names them in a format. */
export const requestFormat = {
  time: '$time', route_id: '$route_id', protocol: '$protocol', remote_addr: '$remote_addr', user: '$user',
  command: '$command', upstream_addr: '$upstream_addr', bytes_in: '$bytes_in', bytes_out: '$bytes_out',
  rpc_time: '$rpc_time', outcome: '$outcome',
};

export const connectionFormat = {
  time: '$time', route_id: '$route_id', protocol: '$protocol', remote_addr: '$remote_addr',
  remote_port: '$remote_port', session_id: '$session_id', user: '$user', bytes_out: '$bytes_out',
  duration: '$rpc_time', reason: '$reason',
};

/** Compiled: the record of a request as one line of JSON. `route_id` is always part of it. */
export function compileFormat(format: Format, path = 'log_format'): (request: Request) => string {
  const parts: (string | Variable)[] = [];
  const whole = Object.hasOwn(format, 'route_id') ? format : { ...format, route_id: '$route_id' };
  compileObject(whole, path, 1, parts);
  const joined = mergeTexts(parts);
  return (request) => {
    let text = '';
    for (const part of joined) text += typeof part === 'string' ? part : json(part.read(request));
    return text;
  };
}

function compileObject(format: object, path: string, depth: number, parts: (string | Variable)[]): void {
  if (depth > deepest) throw wrong(path, `expected at most ${deepest} levels`);
  let separator = '{';
  for (const [name, value] of Object.entries(format)) {
    parts.push(`${separator}${JSON.stringify(name)}:`);
    separator = ',';
    compileValue(value, `${path}.${name}`, depth, parts);
  }
  parts.push(separator === '{' ? '{}' : '}');
}

function compileValue(value: unknown, path: string, depth: number, parts: (string | Variable)[]): void {
  if (parts.length > mostFields * 3) throw wrong(path, `expected at most ${mostFields} fields`);
  if (typeof value === 'string') {
    parts.push(value.includes('$') ? template(value, path) : JSON.stringify(value));
  } else if (typeof value === 'number' || typeof value === 'boolean' || value === null) {
    parts.push(JSON.stringify(value));
  } else if (typeof value === 'object' && !Array.isArray(value)) {
    compileObject(value, path, depth + 1, parts);
  } else {
    throw wrong(path, 'expected a text, number or object');
  }
}

function template(text: string, path: string): Variable {
  try {
    return compileTemplate(text, { keyLimit });
  } catch (cause) {
    throw wrong(path, cause instanceof Error ? cause.message : String(cause));
  }
}

function json(value: string | number): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return Number.isFinite(value) ? String(value) : 'null';
}

function mergeTexts(parts: readonly (string | Variable)[]): (string | Variable)[] {
  const merged: (string | Variable)[] = [];
  for (const part of parts) {
    const last = merged.at(-1);
    if (typeof part === 'string' && typeof last === 'string') merged[merged.length - 1] = last + part;
    else merged.push(part);
  }
  return merged;
}

function wrong(path: string, text: string): ProxyError {
  return new ProxyError('CONFIG_INVALID', `${path}: ${text}`);
}
