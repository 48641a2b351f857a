import { createRequire } from 'node:module';

/** What to do when packages are not installed, for a plugin's `check`; nothing when all are. None is loaded. */
export function missingPackages(user: string, ...names: readonly string[]): string[] {
  const missing = names.filter((name) => !isInstalled(name));
  if (missing.length === 0) return [];
  const are = missing.length === 1 ? 'a package that is' : 'packages that are';
  return [`${user} needs ${are} not installed: npm install ${missing.join(' ')}`];
}

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}
