import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, 'micro');
const ending = '.bench.ts';

/**
 * Runs the named micro benchmarks, or all; answers the exit code. Each has a process of its own, so that
 * one's types do not spoil the code compiled for another.
 */
export function micro(names: readonly string[]): number {
  const files = readdirSync(folder).filter((file) => file.endsWith(ending));
  const all = files.map((file) => file.slice(0, -ending.length));
  const unknown = names.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new Error(`micro: expected some of ${all.join(' ')}, got ${unknown}`);
  const failed = (names.length > 0 ? names : all).filter((name) => {
    const { status } = spawnSync(process.execPath, [join(folder, name + ending)], { stdio: 'inherit' });
    return status !== 0;
  });
  return failed.length === 0 ? 0 : 1;
}
