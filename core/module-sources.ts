// The source texts of a module as it was loaded. A thread that begins later runs what the others run, whatever lies on
// the disk by then.
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

export interface Source {
  readonly format: string;
  readonly text: string | Uint8Array;
}

/** By URL, with the version. */
export type Sources = ReadonlyMap<string, Source>;

export interface Loading {
  readonly sources: Sources;
  stop(): void;
}

/** Adds to `sources` what is imported until `stop`, but for what `skip` names and packages. */
export function recordSources(sources: Map<string, Source>, skip: (url: string) => boolean): Loading {
  const hooks = registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      if (url.startsWith('file:') && !url.includes('/node_modules/') && !skip(url)) {
        // Of a CommonJS file the loader hands no text on.
        const text = loaded.source ?? readFileSync(fileURLToPath(url));
        sources.set(url, { format: loaded.format ?? 'module', text: typeof text === 'string' ? text : new Uint8Array(text as ArrayBuffer) });
      }
      return loaded;
    },
  });
  return { sources, stop: () => hooks.deregister() };
}

/** What is imported until `stop` comes from `sources`, where it is there. */
export function provideSources(sources: Sources): Loading {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      const url = provided(sources, specifier, context.parentURL);
      return url === null ? next(specifier, context) : { url, format: sources.get(url)!.format, shortCircuit: true };
    },
    load(url, context, next) {
      const source = sources.get(url);
      return source === undefined ? next(url, context) : { format: source.format, source: source.text, shortCircuit: true };
    },
  });
  return { sources, stop: () => hooks.deregister() };
}

/** A file that is gone must be found, too, so nobody is asked whether it is there. */
function provided(sources: Sources, specifier: string, parent: string | undefined): string | null {
  if (sources.has(specifier)) return specifier;
  if (parent === undefined || !/^\.\.?\//.test(specifier)) return null;
  const url = new URL(specifier, parent).href + new URL(parent).search;
  return sources.has(url) ? url : null;
}
