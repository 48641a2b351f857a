// `millrace check`: everything that is wrong with the settings and the resources file, without running them.
import { existsSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { readDocument, Unreadable } from '../config/document.ts';
import { isKind, kindNames } from '../config/resource.ts';
import { defaultUpstream } from '../default-upstream.ts';
import { foreignWriters } from '../foreign-writers.ts';
import { builtIn, Loader, type ModuleFolder } from '../loader.ts';
import { unknownProtocols } from '../listener-protocols.ts';
import { nearest } from '../problem.ts';
import { Registry } from '../registry.ts';
import { loadSettings, settingsSchema, type Settings } from '../settings.ts';
import { TargetRules } from '../targets.ts';
import { wrongAdminFiles } from '../tls/admin-certificate.ts';
import { wrongFiles } from '../tls/certificate-files.ts';
import { byPlace } from './by-place.ts';
import { checkResources, resourceFiles, type Findings } from './check-resources.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

/** Prints one line per mistake, `file:line:column: path: expected …, got …`, or `ok`. */
export async function check(file: string | null): Promise<ExitCode> {
  const found: Findings = { errors: [], warnings: [] };
  if (file !== null && isResourcesFile(file)) await checkAlone(file, found);
  else await checkSettings(file, found);
  for (const text of byPlace(found.warnings)) console.error(`warning: ${text}`);
  for (const text of byPlace(found.errors)) console.error(text);
  if (found.errors.length > 0) return exitCodes.invalid;
  console.log('ok');
  return exitCodes.ok;
}

async function checkSettings(file: string | null, found: Findings): Promise<void> {
  const { settings, problems, warnings } = loadSettings(file, process.env);
  found.errors.push(...problems.map(({ located }) => located), ...wrongUpstream());
  found.warnings.push(...warnings);
  if (settings === null) return;
  const folders = foldersOf(settings);
  found.warnings.push(...folders.filter(({ path }) => !existsSync(path)).map(({ kind, path }) => `${kind}s: there is no folder ${path}`));
  found.warnings.push(...foreignWriters(folders));
  const { registry, modules } = await load(folders);
  found.errors.push(...broken(modules));
  const wrong = [
    ...unknownProtocols(settings.listeners, [...registry.protocols.keys()]).map(({ message }) => message),
    ...wrongFiles(settings.listeners),
    ...[wrongAdminFiles(settings.admin.tls)].filter((text) => text !== null),
  ];
  found.errors.push(...wrong.map((text) => `${file ?? 'defaults'}: ${text}`));
  checkResources(resourceFiles(settings.resources), registry, found, new TargetRules({ ...settings.targets, admin: settings.admin }));
}

async function checkAlone(file: string, found: Findings): Promise<void> {
  checkResources([file], (await load([])).registry, found);
}

function wrongUpstream(): string[] {
  try {
    defaultUpstream(process.env);
    return [];
  } catch (error) {
    return [(error as Error).message];
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
    if (typeof value !== 'object' || value === null) return false;
    const names = Object.keys(value);
    const settings = Object.keys(settingsSchema['properties'] as object);
    // `stream_route:` alone is a misspelt kind.
    const misspelt = names.some((name) => nearest(name, kindNames) !== undefined) && !names.some((name) => settings.includes(name));
    return names.some(isKind) || misspelt;
  } catch (error) {
    if (error instanceof Unreadable || (error as NodeJS.ErrnoException).code !== undefined) return false;
    throw error;
  }
}

function formatOf(file: string): 'json' | 'yaml' {
  return extname(file).toLowerCase() === '.json' ? 'json' : 'yaml';
}
