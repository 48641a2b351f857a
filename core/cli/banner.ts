// What `millrace start` prints: what listens where, where the key is, and commands that work as they stand.
import { relative } from 'node:path';
import type { Address, App } from '../app.ts';
import type { Settings } from '../settings.ts';
import { version } from './version.ts';

type Environment = Readonly<Record<string, string | undefined>>;
type Listeners = Pick<Settings, 'listeners'>;
type Shown = Pick<App, 'admin' | 'listeners' | 'adminKeyFile' | 'upstream' | 'workers'>;

export function banner(app: Shown, settings: Listeners, environment: Environment): string {
  const admin = `http://${reachable(app.admin)}`;
  const clients = app.listeners.map((each) => `${each.tls ? 'tls ' : ''}${text(each)}`);
  // A long list would push the rest off the screen.
  const shown = clients.length > 4 ? [...clients.slice(0, 4), `… ${clients.length} in all`] : clients;
  return [
    `Millrace ${version()}, ${app.workers} worker${app.workers === 1 ? '' : 's'}, process ${process.pid}`,
    `  clients    ${shown.join(', ') || 'none'} -> ${app.upstream}`,
    `  admin API  ${admin}/apisix/admin, metrics ${admin}/metrics`,
    `  admin key  ${app.adminKeyFile ?? 'from the settings'}`,
    ...tryThis(app, settings, admin, keyText(app.adminKeyFile, environment)),
  ].join('\n');
}

// The port is open already, so this works whatever else uses ports here.
function tryThis(app: Shown, settings: Listeners, admin: string, key: string): string[] {
  const redis = settings.listeners.find((each) => each.protocol === 'redis' && each.tls === undefined);
  const curl = `curl -H "X-API-KEY: ${key}"`;
  if (redis === undefined) return ['Try:', `  ${curl} ${admin}/apisix/admin/stream_routes`];
  const route = {
    server_port: redis.port, upstream: upstreamOf(app.upstream),
    protocol: { name: 'redis', conf: { faults: [{ commands: ['get'], delay: 1 }] } },
  };
  const host = hostOf(redis.address);
  return [
    'Try: each GET takes a second longer after',
    `  ${curl} ${admin}/apisix/admin/stream_routes/1 -X PUT -d '${JSON.stringify(route)}'`,
    `  redis-cli${host === '127.0.0.1' ? '' : ` -h ${host}`} -p ${redis.port} get a`,
  ];
}

/** The app says where the default route leads in words, or as an address. */
function upstreamOf(place: string): unknown {
  return /^\S+$/.test(place) ? { nodes: { [place]: 1 } } : { type: 'memory' };
}

function keyText(file: string | null, environment: Environment): string {
  const given = environment['MILLRACE_ADMIN_KEY'] === undefined ? '<admin.key>' : '$MILLRACE_ADMIN_KEY';
  if (file === null) return given;
  const near = relative(process.cwd(), file);
  const path = near.startsWith('..') ? file : near;
  return `$(cat ${/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`})`;
}

/** An address that one can connect to: a wildcard is every address of this machine. */
function hostOf(address: string): string {
  return address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
}

function reachable({ address, port }: Address): string {
  return text({ address: hostOf(address), port });
}

function text({ address, port }: Address): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}
