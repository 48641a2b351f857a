// What `millrace start` prints: what listens where, where the key is, and commands that work as they stand.
import { relative } from 'node:path';
import type { Address, App } from '../app.ts';
import { endpoint } from '../endpoint.ts';
import type { Settings } from '../settings.ts';
import { version } from '../version.ts';

type Environment = Readonly<Record<string, string | undefined>>;
type Listeners = Pick<Settings, 'listeners'> & { readonly admin?: Pick<Settings['admin'], 'tls'> & { readonly api?: boolean } };
type Shown = Pick<App, 'admin' | 'listeners' | 'adminKeyFile' | 'upstream' | 'workers'>;

export function banner(app: Shown, settings: Listeners, environment: Environment): string {
  const admin = `${settings.admin?.tls === undefined ? 'http' : 'https'}://${reachable(app.admin)}`;
  const api = settings.admin?.api ?? true;
  return [
    `Millrace ${version()}, ${app.workers} worker${app.workers === 1 ? '' : 's'}, process ${process.pid}`,
    ...clients(app, settings),
    `  admin API  ${api ? `${admin}/apisix/admin` : 'off'}, metrics ${admin}/metrics`,
    `  admin key  ${app.adminKeyFile ?? 'from the settings'}`,
    ...api ? tryThis(app, settings, admin, keyText(app.adminKeyFile, environment)) : ['Try:', `  curl ${admin}/metrics`],
  ].join('\n');
}

/** A listener with a protocol has the default route; to the others only stream routes lead. */
function clients({ listeners, upstream }: Shown, settings: Listeners): string[] {
  const defaults = new Set(settings.listeners.filter((each) => each.protocol !== undefined).map(text));
  const some = (chosen: Shown['listeners']): string => {
    const all = chosen.map((each) => `${each.tls ? 'tls ' : ''}${text(each)}`);
    // A long list would push the rest off the screen.
    return (all.length > 4 ? [...all.slice(0, 4), `… ${all.length} in all`] : all).join(', ');
  };
  const own = some(listeners.filter((each) => defaults.has(text(each))));
  const routed = some(listeners.filter((each) => !defaults.has(text(each))));
  const lines = [...(own === '' ? [] : [`${own} -> ${upstream}`]), ...(routed === '' ? [] : [`${routed} by stream routes`])];
  return (lines.length === 0 ? ['none'] : lines).map((line) => `  clients    ${line}`);
}

// The port is open already, so this works whatever else uses ports here.
function tryThis(app: Shown, settings: Listeners, admin: string, key: string): string[] {
  const redis = settings.listeners.find((each) => each.protocol === 'redis' && each.tls === undefined && each.unix === undefined);
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
  return endpoint(address, port);
}
