// Which files the `resources` setting means.
import { readdirSync, statSync } from 'node:fs';
import { basename, extname, join } from 'node:path';

const endings = ['.yaml', '.yml', '.json'];
// Each is watched on its own.
const mostFiles = 1000;

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Whether a path that leads nowhere yet is meant to be a file. */
export function looksLikeFile(path: string): boolean {
  return endings.includes(extname(path).toLowerCase());
}

/** The resources files of a folder, in the order of names; hidden ones are what editors and mounts leave there. Throws. */
export function filesIn(folder: string): string[] {
  const files = readdirSync(folder)
    .filter((name) => !name.startsWith('.') && looksLikeFile(name))
    .toSorted()
    .map((name) => join(folder, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? true);
  if (files.length > mostFiles) throw new Error(`${folder}: expected at most ${mostFiles} resources files, got ${files.length}`);
  return files;
}

/** As they are merged: in the order of names, wherever they stand. */
export function inOrder(paths: readonly string[]): string[] {
  const key = (path: string): string => `${basename(path)}\n${path}`;
  return [...new Set(paths)].toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}
