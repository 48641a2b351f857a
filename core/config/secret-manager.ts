// Where a secret is looked up that a resource names: `env` and `file` are built in, a plugin may bring its own.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonSchema } from '../schema.ts';
import type { Environment } from './environment.ts';
import type { Value } from './resource.ts';

export interface SecretManager {
  /** Of `secrets/<manager>/<id>`, but for the id. What is secret in it is `writeOnly`. Absent: it has no settings. */
  readonly schema?: JsonSchema;
  /** `conf`: the settings. Undefined: there is no secret of this name. What it throws is told, so no secret may be in it. */
  find(conf: Value, name: string, context: SecretContext): string | undefined | Promise<string | undefined>;
}

export interface SecretContext {
  readonly environment: Environment;
  /** Before a file is read: when it changes, everything is looked up anew. */
  readonly watch: (file: string) => void;
}

/** Larger than any certificate with its chain. */
const largestFile = 256 * 1024;

export const builtInManagers: Readonly<Record<string, SecretManager>> = {
  env: {
    find: (conf, name, { environment }) => variable(environment, `${typeof conf['prefix'] === 'string' ? conf['prefix'] : ''}${name}`),
  },
  file: {
    find: (conf, name, { watch }) => {
      if (name === '.' || name === '..') return undefined;
      const file = join(String(conf['path']), name);
      watch(file);
      const stats = statSync(file);
      if (!stats.isFile()) throw new Error('no ordinary file');
      const { size } = stats;
      // What the system makes up while it is read, as in /proc: the environment, keys and all, is among it.
      if (size === 0) return '';
      if (size > largestFile) throw new Error(`expected at most ${largestFile} bytes, got ${size}`);
      // Editors and `echo` end a file with a line feed.
      return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    },
  },
};

// Who may write a route must not get the admin key by it.
export function variable(environment: Environment, name: string): string | undefined {
  return /^MILLRACE_/i.test(name) ? undefined : environment[name];
}
