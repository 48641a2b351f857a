// `millrace test`: Node's own test runner, with `millrace` importable wherever the files are.
import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exitCodes, type ExitCode } from './exit-codes.ts';

export function runTests(files: readonly string[]): Promise<ExitCode> {
  // The loader's hooks tell where `millrace` is. As source or as built file: they lie beside each other.
  const ending = extname(fileURLToPath(import.meta.url));
  const beside = (path: string): URL => new URL(`${path}${ending}`, import.meta.url);
  const args = ['--import', beside('../loader').href, '--test', ...files];
  const child = spawn(process.execPath, args, {
    stdio: 'inherit', env: { ...process.env, MILLRACE_MAIN: fileURLToPath(beside('../main')) },
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code === 0 ? exitCodes.ok : exitCodes.invalid));
  });
}
