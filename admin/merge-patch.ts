// Partial changes: a merge of objects, or one place inside.
import type { Value } from '../core/config/resource.ts';
import { isForbiddenName } from '../core/schema.ts';
import { refusalText, type Refusal } from './refusal.ts';

/** RFC 7396: objects are merged, null takes a member away, everything else replaces. */
export function mergePatch(old: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(old) ? { ...old } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}

/** The value with `sent` at the path. Parents that do not exist are made; throws a Refusal where one is no object. */
export function replaceAt(old: Value, path: readonly string[], sent: unknown): Value {
  return replace(old, path, 0, sent) as Value;
}

function replace(old: unknown, path: readonly string[], depth: number, sent: unknown): unknown {
  const name = path[depth];
  if (name === undefined) return sent;
  if (name === '' || isForbiddenName(name)) throw wrongPath(path);
  if (Array.isArray(old)) {
    const index = /^\d{1,6}$/.test(name) ? Number(name) : Infinity;
    // One behind the last appends.
    if (index > old.length) throw wrongPath(path);
    return old.toSpliced(index, 1, replace(old[index], path, depth + 1, sent));
  }
  if (old !== undefined && !isObject(old)) throw wrongPath(path);
  return { ...old, [name]: replace(old?.[name], path, depth + 1, sent) };
}

function wrongPath(path: readonly string[]): Refusal {
  const text = path.join('/').slice(0, 200);
  return refusalText(`invalid sub-path: /${text}`, ['sub-path'], text, 'a place in an object or list');
}

function isObject(value: unknown): value is Value {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
