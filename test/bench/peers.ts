// The proxies that Millrace is compared with, as their manuals set them up for this job: one thread, one
// server.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { folder, listening, startChild } from './children.ts';
import { ownPort } from './own-port.ts';
import type { Proxy } from './proxy.ts';

export interface Peer extends Proxy {
  /** Of Debian. */
  readonly package: string;
  readonly versionOption: string;
}

const nutcracker: Peer = {
  name: 'nutcracker',
  package: 'nutcracker',
  versionOption: '-V',
  async start(upstream, cpu) {
    const [port, statistics] = [await ownPort(), await ownPort()];
    const conf = write('nutcracker.yml', [
      'bench:', `  listen: 127.0.0.1:${port}`, '  redis: true', '  hash: fnv1a_64', '  distribution: ketama',
      '  backlog: 4096', '  preconnect: true', '  servers:', `   - 127.0.0.1:${upstream}:1`,
    ]);
    const command = ['nutcracker', '-c', conf, '-a', '127.0.0.1', '-s', String(statistics), '-v', '4'];
    const child = startChild('nutcracker', command, { cpu, talk: 'file' });
    await listening(child, port);
    return { child, port };
  },
};

const haproxy: Peer = {
  name: 'haproxy',
  package: 'haproxy',
  versionOption: '-v',
  async start(upstream, cpu) {
    const port = await ownPort();
    const conf = write('haproxy.cfg', [
      'global', '  nbthread 1', '  maxconn 9900', 'defaults', '  mode tcp', '  timeout connect 5s',
      '  timeout client 300s', '  timeout server 300s', 'listen redis',
      `  bind 127.0.0.1:${port} backlog 4096`, `  server standin 127.0.0.1:${upstream}`,
    ]);
    const child = startChild('haproxy', ['haproxy', '-f', conf, '-db'], { cpu, talk: 'file' });
    await listening(child, port);
    return { child, port };
  },
};

export const peers: readonly Peer[] = [nutcracker, haproxy];

/** Its version, or null when it is not installed. */
export function versionOf({ name, versionOption }: Peer): string | null {
  const { error, stdout, stderr } = spawnSync(name, [versionOption]);
  if (error !== undefined) return null;
  return /\d+\.\d+(\.\d+)?/.exec(`${stdout.toString()}${stderr.toString()}`)?.[0] ?? 'unknown';
}

function write(name: string, lines: readonly string[]): string {
  const path = join(mkdtempSync(join(folder, 'peer-')), name);
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}
