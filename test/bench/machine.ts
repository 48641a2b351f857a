// A number without its machine, date and command is not a number.
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';

export function machine(programs: readonly string[], command: string): string[] {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? 'unknown';
  const memory = `${Math.round(totalmem() / 1024 ** 3)} GiB`;
  return [
    `Machine: ${processors.length} × ${model}, ${memory}, Linux ${release()}; `
      + `load average at the start ${loadavg()[0]!.toFixed(2)}`,
    `Programs: ${[`Millrace ${revision()} on Node ${process.versions.node}`, ...programs].join(', ')}`,
    `Date: ${new Date().toISOString().slice(0, 10)}`,
    `Command: \`${command}\``,
  ];
}

/** The commit, marked where files differ from it. */
function revision(): string {
  try {
    const git = ['-C', import.meta.dirname, 'describe', '--always', '--dirty'];
    return execFileSync('git', git, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'of unknown revision';
  }
}
