import { createRequire } from 'node:module';
import { ProxyError } from '../../core/errors.ts';

/** Throws what to do when a package is not installed. It is not loaded. */
export function needPackage(name: string, user: string): void {
  try {
    createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new ProxyError('CONFIG_INVALID', `${user} needs the package ${name}, which is not installed: npm install ${name}`, { cause });
  }
}
