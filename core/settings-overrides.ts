// Environment variables that win over the settings file.
import type { Environment } from './config/environment.ts';
import type { At } from './schema.ts';

interface Override {
  readonly at: At;
  readonly read: (value: string) => unknown;
}

const text = (value: string): string => value;
const number = (value: string): unknown => (/^\d{1,9}$/.test(value) ? Number(value) : value);

/** Variables that win over the file. */
export const overrides: Readonly<Record<string, readonly Override[]>> = {
  MILLRACE_LISTEN: [
    { at: ['listeners', 0, 'address'], read: hostOf }, { at: ['listeners', 0, 'port'], read: portOf },
  ],
  MILLRACE_WORKERS: [{ at: ['workers'], read: number }],
  MILLRACE_ADMIN_LISTEN: [
    { at: ['admin', 'address'], read: hostOf }, { at: ['admin', 'port'], read: portOf },
  ],
  MILLRACE_ADMIN_KEY: [{ at: ['admin', 'key'], read: text }],
  MILLRACE_ADMIN_KEY_FILE: [{ at: ['admin', 'key_file'], read: text }],
  MILLRACE_STORE: [{ at: ['store', 'path'], read: text }],
  MILLRACE_RESOURCES: [{ at: ['resources'], read: text }],
  MILLRACE_LOG_LEVEL: [{ at: ['log', 'level'], read: text }],
};

// `9101`, `127.0.0.1:9101`, `[::1]:9101`. A port alone leaves the address as it is.
function hostOf(value: string): unknown {
  const host = /^(.*):\d+$/.exec(value)?.[1];
  return host?.replace(/^\[(.*)\]$/, '$1');
}

function portOf(value: string): unknown {
  return number(/(?:^|:)(\d+)$/.exec(value)?.[1] ?? value);
}

/** Writes the overrides into the value; tells which variable each place came from. */
export function override(raw: unknown, environment: Environment): ReadonlyMap<string, string> {
  const sources = new Map<string, string>();
  for (const [variable, places] of Object.entries(overrides)) {
    const value = environment[variable];
    if (value === undefined) continue;
    for (const { at, read } of places) {
      const replacement = read(value);
      if (replacement === undefined) continue;
      set(raw, at, replacement);
      sources.set(at.join('.'), variable);
    }
  }
  return sources;
}

function set(root: unknown, at: At, value: unknown): void {
  let node = root as Record<string | number, unknown>;
  for (const [index, segment] of at.entries()) {
    // A file of the wrong shape is reported as it is.
    if (typeof node !== 'object' || node === null) return;
    if (index === at.length - 1) node[segment] = value;
    else node = (node[segment] ??= fresh(at, index)) as Record<string | number, unknown>;
  }
}

// The default listener, which an override changes, is not there yet when defaults have not been filled in.
function fresh(at: At, index: number): unknown {
  return typeof at[index + 1] === 'number' ? [{ address: '127.0.0.1', port: 9101, protocol: 'redis' }] : {};
}
