// `millrace check`: everything that is wrong with the settings and the resources file, without running them.
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { readDocument, Unreadable } from '../config/document.ts';
import { readResources } from '../config/resource-file.ts';
import { isKind } from '../config/resource.ts';
import { emptyConfig } from '../config/source.ts';
import { builtIn, Loader, type ModuleFolder } from '../loader.ts';
import { referencesOf } from '../references.ts';
import { Registry } from '../registry.ts';
import { loadSettings, type Settings } from '../settings.ts';
import { byPlace } from './by-place.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

interface Findings {
  readonly errors: string[];
  readonly warnings: string[];
}

/** Prints one line per mistake, `file:line:column: path: expected …, got …`, or `ok`. */
export async function check(file: string): Promise<ExitCode> {
  const found: Findings = { errors: [], warnings: [] };
  if (isResourcesFile(file)) await checkResources(file, [], found);
  else await checkSettings(file, found);
  for (const text of byPlace(found.warnings)) console.error(`warning: ${text}`);
  for (const text of byPlace(found.errors)) console.error(text);
  if (found.errors.length > 0) return exitCodes.invalid;
  console.log('ok');
  return exitCodes.ok;
}

async function checkSettings(file: string, found: Findings): Promise<void> {
  const { settings, problems, warnings } = loadSettings(file, process.env);
  found.errors.push(...problems.map(({ located }) => located));
  found.warnings.push(...warnings);
  if (settings === null) return;
  if (settings.resources === undefined) {
    const { modules } = await load(foldersOf(settings));
    found.errors.push(...broken(modules));
  } else {
    await checkResources(settings.resources, foldersOf(settings), found);
  }
}

async function checkResources(
  file: string, folders: readonly ModuleFolder[], found: Findings,
): Promise<void> {
  const { registry, modules } = await load(folders);
  found.errors.push(...broken(modules));
  try {
    const { problems, warnings } = readResources(readFileSync(file, 'utf8'), emptyConfig(), {
      name: file, format: formatOf(file), environment: process.env, references: referencesOf(registry),
    });
    found.errors.push(...problems.map(({ located }) => located));
    found.warnings.push(...warnings.map(({ located }) => located));
  } catch (error) {
    found.errors.push(`${file}: ${(error as Error).message}`);
  }
}

async function load(
  folders: readonly ModuleFolder[],
): Promise<{ readonly registry: Registry; readonly modules: Loader['modules'] }> {
  const registry = new Registry();
  const loader = new Loader(registry);
  await loader.loadAll([...builtIn, ...folders]);
  return { registry, modules: loader.modules };
}

function broken(modules: Loader['modules']): string[] {
  return modules.flatMap(({ file, error }) => (error === null ? [] : [`${file}: ${error}`]));
}

function foldersOf({ plugins, protocols }: Settings): ModuleFolder[] {
  return [
    ...plugins.map((path) => ({ kind: 'plugin', path }) as const),
    ...protocols.map((path) => ({ kind: 'protocol', path }) as const),
  ];
}

/** No setting has the name of a kind. What cannot be read is left to the settings' reader to report. */
function isResourcesFile(file: string): boolean {
  try {
    const { value } = readDocument(readFileSync(file, 'utf8'), formatOf(file), process.env);
    return typeof value === 'object' && value !== null && Object.keys(value).some(isKind);
  } catch (error) {
    if (error instanceof Unreadable || (error as NodeJS.ErrnoException).code !== undefined) return false;
    throw error;
  }
}

function formatOf(file: string): 'json' | 'yaml' {
  return extname(file).toLowerCase() === '.json' ? 'json' : 'yaml';
}
