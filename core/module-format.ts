// Plugins and protocols are ES modules, whatever the package.json around them says: `npm init` writes
// `"type": "commonjs"`, and Node would then refuse the first `import` of a file.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// As Node decides for packages that say nothing; `import(` and `import.meta` say nothing, either.
const moduleSyntax = /^[ \t]*(?:import[ \t]*["'{*]|import[ \t]+[\w$]|export[ \t]*[{*]|export[ \t]+\w)/m;

/** The format of a file outside of packages that Node takes for CommonJS or would have to guess, by what stands in it. */
export function formatBySyntax(url: string, format: string | null | undefined): string | null | undefined {
  const ending = /^file:.*\.([jt]s)(?:[?#]|$)/.exec(url)?.[1];
  const undecided = format == null || format.startsWith('commonjs');
  if (ending === undefined || !undecided || url.includes('/node_modules/')) return format;
  if (!moduleSyntax.test(readFileSync(fileURLToPath(url), 'utf8'))) return format;
  return ending === 'ts' ? 'module-typescript' : 'module';
}
