// What `millrace check` finds in resources files, which are one configuration together.
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { readResources, type FileReading } from '../config/resource-file.ts';
import { joinLists, onlyListed } from '../config/plugin-list.ts';
import { kindNames } from '../config/resource.ts';
import { filesIn, inOrder, isFolder } from '../config/resource-paths.ts';
import { emptyConfig, type Config } from '../config/source.ts';
import type { Targets } from '../plugin.ts';
import { referencesOf } from '../references.ts';
import type { Registry } from '../registry.ts';
import { whyUnread } from '../settings.ts';

export interface Findings {
  readonly errors: string[];
  readonly warnings: string[];
}

/** The files that the `resources` setting means now. Throws when a folder cannot be read. */
export function resourceFiles(resources: string | readonly string[] | undefined): string[] {
  return inOrder([resources ?? []].flat().flatMap((path) => (isFolder(path) ? filesIn(path) : [path])));
}

export function checkResources(files: readonly string[], registry: Registry, found: Findings, targets?: Targets): void {
  const texts = new Map<string, string>();
  for (const file of files) {
    try {
      texts.set(file, readFileSync(file, 'utf8'));
    } catch (error) {
      found.errors.push(`${file}: ${whyUnread(error)}`);
    }
  }
  // Twice: what one file names may stand in another one, before or behind it.
  const first = [...texts].map(([file, text]) => [file, read(file, text, registry, [], targets)] as const);
  const all = first.map(([, reading]) => reading);
  for (const [file, text] of texts) {
    const { problems, warnings } = all.length === 1 ? all[0]! : read(file, text, registry, all, targets);
    found.errors.push(...problems.map(({ located }) => located));
    found.warnings.push(...warnings.map(({ located }) => located));
  }
  found.errors.push(...duplicates(first), ...unlisted(first));
}

function read(file: string, text: string, registry: Registry, others: readonly FileReading[], targets?: Targets): FileReading {
  return readResources(text, emptyConfig(), {
    name: file, format: extname(file).toLowerCase() === '.json' ? 'json' : 'yaml', environment: process.env,
    references: {
      ...referencesOf(registry, targets === undefined ? {} : { targets }),
      resource: (kind, id) => others.find(({ config }) => config.resources[kind].has(id))?.config.resources[kind].get(id)?.value,
    },
  });
}

/** Resources that run plugins which no file lists, where one file has a list. */
function unlisted(readings: readonly (readonly [string, FileReading])[]): string[] {
  const list = joinLists(readings.map(([, { config }]) => config.plugins));
  const joined = Object.fromEntries(kindNames.map((kind) => [
    kind, new Map(readings.toReversed().flatMap(([, { config }]) => [...config.resources[kind]])),
  ])) as unknown as Config['resources'];
  return onlyListed({ revision: 0, resources: joined }, list).rejections.map(({ kind, id, text }) => {
    const [file] = readings.find(([, { config }]) => config.resources[kind].has(id))!;
    return `${file}: ${kind} ${id}: ${text}`;
  });
}

function duplicates(readings: readonly (readonly [string, FileReading])[]): string[] {
  return kindNames.flatMap((kind) => {
    const first = new Map<string, string>();
    return readings.flatMap(([file, { config }]) => [...config.resources[kind].keys()].flatMap((id) => {
      const other = first.get(id);
      if (other === undefined) first.set(id, file);
      return other === undefined ? [] : [`${file}: found duplicate id ${id} in ${kind}, which stands in ${other}, too; the one there counts`];
    }));
  });
}
