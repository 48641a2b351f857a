import type { Kind } from './config/resource.ts';
import { ProxyError } from './errors.ts';
import type { Rejection } from './plane.ts';

export function rejection(kind: Kind, id: string, cause: unknown): Rejection {
  const code = cause instanceof ProxyError ? cause.code : 'CONFIG_INVALID';
  return { kind, id, code, text: cause instanceof Error ? cause.message : String(cause) };
}
