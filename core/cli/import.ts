// `millrace import apisix`: a resources file out of an apisix.yaml or a running APISIX, and what does not map.
import { readFileSync, writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { stringify } from 'yaml';
import { kindNames, type Kind } from '../config/resource.ts';
import { readResources } from '../config/resource-file.ts';
import { emptyConfig, type Config } from '../config/source.ts';
import { builtIn, Loader } from '../loader.ts';
import { referencesOf } from '../references.ts';
import { Registry } from '../registry.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

export interface ImportOptions {
  /** File to write; default: standard output. */
  readonly output?: string;
  /** Of the APISIX that is asked. */
  readonly key?: string;
}

// Of the reference; what Millrace has no counterpart for is counted.
const foreign: Readonly<Record<string, string>> = {
  routes: 'HTTP routes', consumer_groups: 'consumer groups', protos: 'protobuf definitions',
};
// Seen in what a running one lists, besides the values.
const bookkeeping = ['create_time', 'update_time'];

export async function importApisix(source: string, options: ImportOptions): Promise<ExitCode> {
  try {
    const { text, format, name, uncounted } = await read(source, options);
    const registry = new Registry();
    await new Loader(registry).loadAll(builtIn);
    const { config, problems, warnings, readable } = readResources(text, emptyConfig(), {
      name, format, environment: process.env, references: referencesOf(registry),
    });
    for (const { located } of problems) console.error(`left out: ${located}`);
    for (const { located } of warnings) console.error(`note: ${located}`);
    if (config.plugins !== undefined) console.error('note: the list of plugins was not taken over: all that there are may be used');
    for (const each of uncounted) console.error(`left out: ${each}`);
    if (!readable) return exitCodes.invalid;
    write(config, options.output);
    const counts = kindNames.map((kind) => [kind, config.resources[kind].size] as const).filter(([, count]) => count > 0);
    console.error(`imported: ${counts.length === 0 ? 'nothing' : counts.map(([kind, count]) => `${count} ${kind}`).join(', ')}`);
    return problems.length > 0 ? exitCodes.invalid : exitCodes.ok;
  } catch (error) {
    console.error(`millrace: ${(error as Error).message}`);
    return exitCodes.invalid;
  }
}

interface Source {
  readonly text: string;
  readonly format: 'yaml' | 'json';
  /** In texts. */
  readonly name: string;
  readonly uncounted: readonly string[];
}

async function read(source: string, { key }: ImportOptions): Promise<Source> {
  if (/^https?:\/\//.test(source)) return dump(source.replace(/\/+$/, ''), key);
  const format = extname(source).toLowerCase() === '.json' ? 'json' : 'yaml';
  return { text: readFileSync(source, 'utf8'), format, name: source, uncounted: [] };
}

/** Lists every kind through the Admin API. */
async function dump(url: string, key: string | undefined): Promise<Source> {
  const base = url.endsWith('/apisix/admin') ? url : `${url}/apisix/admin`;
  const values: Partial<Record<Kind, unknown[]>> = {};
  for (const kind of kindNames) {
    const list = kind === 'credentials' ? [] : await listOf(base, kind, key);
    if (list.length > 0) values[kind] = list.map((each) => cleaned(kind, each));
  }
  const counted = await Promise.all(Object.entries(foreign).map(async ([kind, words]) => [(await listOf(base, kind, key)).length, words] as const));
  return {
    text: JSON.stringify(values), format: 'json', name: base,
    uncounted: counted.filter(([count]) => count > 0).map(([count, words]) => `${count} ${words}, which Millrace has no counterpart for`),
  };
}

interface Listed { readonly key?: string; readonly value: Readonly<Record<string, unknown>> }

async function listOf(base: string, kind: string, key: string | undefined): Promise<readonly Listed[]> {
  const response = await fetch(`${base}/${kind}`, { headers: key === undefined ? {} : { 'X-API-KEY': key }, signal: AbortSignal.timeout(10_000) });
  // A kind that the other one does not have, or has switched off.
  if (response.status === 404 || response.status === 400) return [];
  if (!response.ok) throw new Error(`${base}/${kind}: status ${response.status}: ${(await response.text()).slice(0, 300)}`);
  const { list = [] } = await response.json() as { list?: readonly Listed[] };
  return Array.isArray(list) ? list : [];
}

function cleaned(kind: Kind, { key, value }: Listed): unknown {
  const rest = Object.fromEntries(Object.entries(value).filter(([name]) => !bookkeeping.includes(name)));
  // Of metadata the key says which plugin it is.
  return kind === 'plugin_metadata' && rest['id'] === undefined ? { ...rest, id: key?.slice(key.lastIndexOf('/') + 1) } : rest;
}

function write(config: Config, output: string | undefined): void {
  const resources = Object.fromEntries(kindNames.filter((kind) => config.resources[kind].size > 0).map((kind) => [
    kind, [...config.resources[kind].values()].map(({ id, value }) => (kind === 'consumers' ? value : { id, ...value })),
  ]));
  const json = output !== undefined && extname(output).toLowerCase() === '.json';
  const text = json ? `${JSON.stringify(resources, null, 2)}\n` : stringify(resources);
  // It may hold secrets.
  if (output === undefined) process.stdout.write(text);
  else writePrivately(output, text);
}

function writePrivately(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600, flag: 'wx' });
}
