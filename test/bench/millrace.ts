// Millrace as it is measured: one worker, one route, metrics and admin API on, defaults but for the limits on
// clients.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { folder, listening, startChild } from './children.ts';
import { ownPort } from './own-port.ts';
import type { Proxy } from './proxy.ts';

const root = join(import.meta.dirname, '..', '..');

/** `program`: the sources' main.ts or the compiled package's main.js. */
export function plainRoute(program: string): Proxy {
  return millrace('millrace', program, () => ({}));
}

/** The same with three plugins at work: a fault that no key matches, a count never reached, a sampled log. */
export function routeWithPlugins(program: string): Proxy {
  return millrace('millrace, 3 plugins', program, (own) => ({
    'fault-injection': { abort: { error: 'ERR broken on purpose' }, keys: ['broken:*'] },
    'limit-count': { count: 2_147_483_647, time_window: 3600, policy: 'local' },
    'logger': { sample: 0.01, file: { path: join(own, 'requests.log') } },
  }));
}

export const fromSources = join(root, 'core', 'main.ts');
export const fromPackage = join(root, 'dist', 'core', 'main.js');

function millrace(name: string, program: string, plugins: (own: string) => Record<string, unknown>): Proxy {
  return {
    name,
    async start(upstream, cpu) {
      const own = mkdtempSync(join(folder, 'millrace-'));
      const port = await ownPort();
      writeFileSync(join(own, 'resources.json'), JSON.stringify({
        stream_routes: [{
          id: '1', server_port: port,
          upstream: { type: 'roundrobin', nodes: { [`127.0.0.1:${upstream}`]: 1 } },
          protocol: { name: 'redis' }, plugins: plugins(own),
        }],
      }));
      const settings = join(own, 'millrace.json');
      writeFileSync(settings, JSON.stringify({
        listeners: [{ port, protocol: 'redis' }], admin: { port: await ownPort() }, workers: 1,
        resources: 'resources.json', log: { level: 'warn' },
        // All clients of a benchmark come from one address.
        limits: { clients_per_address: 20_000, clients_per_listener: 20_000 },
      }));
      // As `npm start` does.
      const command = [process.execPath, '--max-semi-space-size=4', program, 'start', '-c', settings];
      const child = startChild(name, command, { cpu, talk: 'file', env: { MILLRACE_UPSTREAM: undefined } });
      await listening(child, port);
      return { child, port };
    },
  };
}
