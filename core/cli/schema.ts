// `millrace schema settings|resources`: JSON schema of the files that people write, for their editors.
import { resourcesFileSchema, settingsFileSchema } from '../editor-schemas.ts';
import { builtIn, Loader, type ModuleFolder } from '../loader.ts';
import { Registry } from '../registry.ts';
import { loadSettings } from '../settings.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

export type SchemaName = 'settings' | 'resources';

/** Of resources, with the plugins and protocols of the folders in these settings, too. */
export async function schema(name: SchemaName, settingsFile: string | undefined): Promise<ExitCode> {
  if (name === 'settings') return print(settingsFileSchema());
  const folders: ModuleFolder[] = [...builtIn];
  if (settingsFile !== undefined) {
    const { settings, problems } = loadSettings(settingsFile, process.env);
    for (const { located } of problems) console.error(located);
    if (settings === null) return exitCodes.invalid;
    folders.push(...settings.plugins.map((path) => ({ kind: 'plugin', path }) as const));
    folders.push(...settings.protocols.map((path) => ({ kind: 'protocol', path }) as const));
  }
  const registry = new Registry();
  const loader = new Loader(registry);
  await loader.loadAll(folders);
  for (const { file, error } of loader.modules) if (error !== null) console.error(`${file}: ${error}`);
  return print(resourcesFileSchema({
    plugins: () => [...registry.plugins.values()].map(({ value }) => value),
    protocols: () => [...registry.protocols.values()].map(({ value }) => value),
  }));
}

// A pipe takes it in pieces, and the process ends when the command does.
async function print(value: unknown): Promise<ExitCode> {
  await new Promise((written) => process.stdout.write(`${JSON.stringify(value, null, 2)}\n`, written));
  return exitCodes.ok;
}
