import { existsSync } from 'node:fs';

/** The settings file of the current folder; null: there is none, and everything has its default. */
export function usualFile(): string | null {
  return ['millrace.yaml', 'millrace.json'].find((name) => existsSync(name)) ?? null;
}
