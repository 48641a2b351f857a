// The last configuration that was seen, in a file of its own: what a process begins with while etcd is away.
import { closeSync, fchmodSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isKind, type Kind, type Resource } from '../resource.ts';
import { emptyResources, frozenResource, type Config } from '../source.ts';

/** Whole and on the disk before it takes the old one's place; readable by its owner only, because it holds secrets. */
export function writeSnapshot(path: string, { revision, resources }: Config): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const text = JSON.stringify({ revision, resources: Object.values(resources).flatMap((map) => [...map.values()]) });
  const made = `${path}.new`;
  synced(made, 'w', (file) => {
    fchmodSync(file, 0o600);
    writeFileSync(file, text);
  });
  renameSync(made, path);
  synced(folder, 'r', () => undefined);
}

/** Null: there is none that can be read. */
export function readSnapshot(path: string): Config | null {
  try {
    const { revision, resources: list } = JSON.parse(readFileSync(path, 'utf8')) as { revision: number; resources: Resource[] };
    const resources = emptyResources() as Record<Kind, Map<string, Resource>>;
    for (const each of list) if (isKind(each.kind)) resources[each.kind].set(each.id, frozenResource(each));
    return { revision, resources };
  } catch {
    return null;
  }
}

function synced(path: string, flags: string, work: (file: number) => void): void {
  const file = openSync(path, flags, 0o600);
  try {
    work(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
