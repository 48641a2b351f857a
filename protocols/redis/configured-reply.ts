// A reply as configuration writes it:
//   "text" → bulk string    5 → integer    0.5 → double    true → boolean    null → null    […] → array
//   { "status": "OK" } → simple string    { "error": "ERR no" } → error    { "map": { … } } → map
// What RESP2 does not have becomes what Redis makes of it there.
import { ProxyError } from '../../core/errors.ts';
import type { Session } from '../../core/session.ts';
import { RedisReply } from './request.ts';
import { array, bulk, errorLine, integer, nothing, simple } from './resp/encode.ts';
import type { RedisSession } from './session.ts';

type Resp = 2 | 3;

const deepest = 16;
const mostValues = 10_000;

export function configuredReply(value: unknown): (session: Session) => RedisReply {
  const left = { values: mostValues };
  const two = new RedisReply(encode(value, 2, 'reply', 1, left));
  const three = new RedisReply(encode(value, 3, 'reply', 1, left));
  return (session) => ((session as RedisSession).resp === 3 ? three : two);
}

function encode(value: unknown, resp: Resp, path: string, depth: number, left: { values: number }): Buffer {
  if (depth > deepest) throw wrong(path, `at most ${deepest} levels`);
  if (--left.values < 0) throw wrong(path, `at most ${mostValues / 2} values`);
  if (value === null) return nothing(resp);
  if (typeof value === 'string') return bulk(value);
  if (typeof value === 'number') return number(value, resp, path);
  if (typeof value === 'boolean') return resp === 3 ? Buffer.from(`#${value ? 't' : 'f'}\r\n`) : integer(value ? 1 : 0);
  if (Array.isArray(value)) return array(value.map((each, i) => encode(each, resp, `${path}[${i}]`, depth + 1, left)));
  return special(value as Readonly<Record<string, unknown>>, resp, path, depth, left);
}

function number(value: number, resp: Resp, path: string): Buffer {
  if (Number.isSafeInteger(value)) return integer(value);
  if (Number.isInteger(value)) throw wrong(path, 'an integer of at most 53 bits');
  return resp === 3 ? Buffer.from(`,${value}\r\n`) : bulk(String(value));
}

function special(
  value: Readonly<Record<string, unknown>>, resp: Resp, path: string, depth: number, left: { values: number },
): Buffer {
  const [name, ...others] = Object.keys(value);
  const inner = name === undefined ? undefined : value[name];
  if (others.length === 0 && typeof inner === 'string') {
    if (name === 'status') return simple(inner);
    if (name === 'error') return errorLine(/^[A-Z][A-Z0-9_]*( |$)/.test(inner) ? inner : `ERR ${inner}`);
  }
  if (others.length > 0 || name !== 'map' || typeof inner !== 'object' || inner === null || Array.isArray(inner)) {
    throw wrong(path, 'a text, number, boolean, null, list, or an object with one of status, error, map');
  }
  const entries = Object.entries(inner);
  const parts = entries.flatMap(([key, each]) => [bulk(key), encode(each, resp, `${path}.map.${key}`, depth + 1, left)]);
  return resp === 3 ? Buffer.concat([Buffer.from(`%${entries.length}\r\n`), ...parts]) : array(parts);
}

function wrong(path: string, expected: string): ProxyError {
  return new ProxyError('CONFIG_INVALID', `${path}: expected ${expected}`);
}
