// What a key can hold. Keys, fields and members are latin1 strings (one character per byte); contents are
// buffers.
import { Deque } from './deque.ts';
import { MemberSet } from './member-set.ts';
import { SortedSet } from './sorted-set.ts';

export interface StringValue {
  readonly type: 'string';
  bytes: Buffer;
  /**
   * Owned by this value; `bytes` is its beginning. Lets APPEND grow in place: bytes once written never
   * change.
   */
  room?: Buffer;
}
export interface HashValue { readonly type: 'hash'; readonly fields: Map<string, Buffer> }
export interface ListValue { readonly type: 'list'; items: Deque<Buffer> }
export interface SetValue { readonly type: 'set'; readonly members: MemberSet }
export interface SortedSetValue { readonly type: 'zset'; readonly members: SortedSet }

export type Value = StringValue | HashValue | ListValue | SetValue | SortedSetValue;
export type ValueType = Value['type'];
export type ValueOf<T extends ValueType> = Extract<Value, { type: T }>;

const empty: { readonly [T in ValueType]: () => ValueOf<T> } = {
  string: () => ({ type: 'string', bytes: Buffer.alloc(0) }),
  hash: () => ({ type: 'hash', fields: new Map() }),
  list: () => ({ type: 'list', items: new Deque() }),
  set: () => ({ type: 'set', members: new MemberSet() }),
  zset: () => ({ type: 'zset', members: new SortedSet() }),
};

export function emptyValue<T extends ValueType>(type: T): ValueOf<T> {
  return empty[type]();
}

/** True for a hash, list or set without members: Redis keeps no such key. */
export function isEmpty(value: Value): boolean {
  switch (value.type) {
    case 'string': return false;
    case 'hash': return value.fields.size === 0;
    case 'list': return value.items.length === 0;
    case 'set':
    case 'zset': return value.members.size === 0;
  }
}

export function copyValue(value: Value): Value {
  switch (value.type) {
    case 'string': return { type: 'string', bytes: value.bytes };
    case 'hash': return { type: 'hash', fields: new Map(value.fields) };
    case 'list': return { type: 'list', items: Deque.from(value.items.slice()) };
    case 'set': return { type: 'set', members: MemberSet.from(value.members) };
    case 'zset': return { type: 'zset', members: SortedSet.from(value.members.entries()) };
  }
}
