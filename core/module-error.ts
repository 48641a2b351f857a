import { basename } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * Why a module could not be imported, with the line if the engine knows it: `line 3: boom`, or `table.ts, line 3: boom` of
 * a file that it imports. `isOurs` tells the URLs of Millrace, whose own texts need none.
 */
export function moduleError(cause: unknown, file: string, isOurs: (url: string) => boolean): string {
  if (!(cause instanceof Error)) return String(cause);
  // A syntax error has its place in front of the stack, any other one in the first frame.
  const [, url = '', line = ''] = /(file:[^\s?():]+(?:\/[^\s?():]+)*)(?:\?v=\d+)?:(\d+)/.exec(cause.stack ?? '') ?? [];
  if (url === '' || isOurs(url)) return cause.message;
  const same = url === pathToFileURL(file).href;
  return `${same ? '' : `${basename(fileURLToPath(url))}, `}line ${line}: ${cause.message}`;
}
