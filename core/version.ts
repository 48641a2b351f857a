import { existsSync, readFileSync } from 'node:fs';

/** Of the package, found from the sources and from the built files alike. */
export function version(): string {
  const place = ['../package.json', '../../package.json']
    .map((path) => new URL(path, import.meta.url)).find((each) => existsSync(each));
  if (place === undefined) return 'unknown';
  return (JSON.parse(readFileSync(place, 'utf8')) as { version: string }).version;
}
