// Which files the `resources` setting means.
import { readdirSync, statSync } from 'node:fs';
import { basename, extname, join } from 'node:path';

const endings = ['.yaml', '.yml', '.json'];

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** The resources files of a folder, in the order of names; hidden ones are what editors and mounts leave there. Throws. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => !name.startsWith('.') && endings.includes(extname(name).toLowerCase()))
    .toSorted()
    .map((name) => join(folder, name))
    .filter((path) => !isFolder(path));
}

/** As they are merged: in the order of names, wherever they stand. */
export function inOrder(paths: readonly string[]): string[] {
  const key = (path: string): string => `${basename(path)}\n${path}`;
  return [...new Set(paths)].toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}
