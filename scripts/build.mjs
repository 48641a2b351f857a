// Sources to what is published: JavaScript with types in dist/. Plain old JavaScript: this may run on Node 20.
import { spawnSync } from 'node:child_process';
import {
  chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folders = ['core', 'plugins', 'protocols', 'admin'];
// Built aside and put in place at the end: a build that fails leaves the last one, nobody sees half of one.
const aside = join(root, `dist.${process.pid}`);

try {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--outDir', aside],
    { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exitCode = status === null ? 1 : status;
  else finish();
} finally {
  rmSync(aside, { recursive: true, force: true });
}

function finish() {
  for (const folder of folders) copyData(join(root, folder), join(aside, folder));
  const main = join(aside, 'core', 'main.js');
  const start = readFileSync(main, 'utf8').split('\n')[0];
  if (start !== '#!/usr/bin/env node') throw new Error(`${main}:1: expected #!/usr/bin/env node, got ${start}`);
  chmodSync(main, 0o755);
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  renameSync(aside, join(root, 'dist'));
}

// Files that the sources read or import at run time.
function copyData(from, to) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyData(source, target);
    else if (!/\.(ts|md)$/.test(entry.name) && !existsSync(target)) {
      mkdirSync(to, { recursive: true });
      copyFileSync(source, target);
    }
  }
}
