import type { ProxyError } from '../../core/errors.ts';
import { printable } from './resp/encode.ts';

/**
 * What a client reads of a failure of ours. Texts that begin with an error word of their own (`OOM …`, `LOADING …`)
 * stay as they are; what went wrong between us and the server is marked as ours.
 */
export function errorText(error: ProxyError): string {
  const text = printable(error.message);
  if (/^[A-Z][A-Z0-9_]* /.test(text)) return text;
  if (error.source === 'plugin' || error.code === 'PROTOCOL_ERROR') return `ERR ${text}`;
  return `ERR millrace: ${text}`;
}
