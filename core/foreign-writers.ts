// Who may write where code is loaded from runs his code in this process.
import { statSync } from 'node:fs';
import { moduleFiles, type ModuleFolder } from './loader.ts';

const everybody = 0o002;

/** A sentence for each configured folder, and each file in them, that every user of the machine may change. */
export function foreignWriters(folders: readonly ModuleFolder[]): string[] {
  if (process.platform === 'win32') return [];
  return folders.flatMap((folder) => [folder.path, ...moduleFiles(folder)].filter(isOpen).map(
    (path) => `${folder.kind}s: everybody may write ${path}, and what is written there runs in this process; chmod o-w`));
}

function isOpen(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && (found.mode & everybody) !== 0;
}
