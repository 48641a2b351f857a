// Whether the nodes that the configuration names can be reached, and speak what is spoken to them.
import { readFileSync } from 'node:fs';
import { connect, isIP, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { readDocument } from '../config/document.ts';
import type { UpstreamValue } from '../config/schemas/upstream.ts';
import { ProxyError } from '../errors.ts';
import type { Settings } from '../settings.ts';
import { TargetRules } from '../targets.ts';
import { addressOf } from '../upstream/node.ts';
import { parseNodes } from '../upstream/nodes.ts';
import { unixPath } from '../upstream/unix-path.ts';
import { AdminClient } from './admin-client.ts';
import { resourceFiles } from './check-resources.ts';
import { bad, ok, warn, type Finding } from './finding.ts';

type Value = Readonly<Record<string, any>>;
type Resources = Readonly<Record<string, readonly Value[] | undefined>>;

interface Target {
  readonly address: string;
  readonly dial: NetConnectOpts;
  readonly tls: ConnectionOptions | null;
  readonly redis: boolean;
}

const waitFor = 3000;
/** A clock that is this far off makes expiries and rate limits wrong. */
const clockGrain = 5000;

/** The default upstream, those of the resources files, and what a Millrace that runs with these settings says of its own. */
export async function upstreamFindings(settings: Settings, config: string | undefined): Promise<Finding[]> {
  const rules = new TargetRules({ ...settings.targets, admin: settings.admin });
  const targets = new Map<string, Target>();
  const add = (target: Target): void => void targets.set(`${target.address} ${target.redis} ${target.tls !== null}`, target);
  const address = process.env['MILLRACE_UPSTREAM'];
  if (address !== undefined && address !== '') for (const each of targetsOf({ nodes: { [address]: 1 } }, true, rules)) add(each);
  for (const file of resourceFiles(settings.resources)) for (const each of targetsIn(file, settings, rules)) add(each);
  const [asked, running] = await Promise.all([Promise.all([...targets.values()].map(look)), ofRunning(config)]);
  const known = new Set([...targets.values()].map((target) => target.address));
  return [...asked, ...running.filter(({ node }) => !known.has(node)).map(({ finding }) => finding)];
}

/** Resources of the store are sealed; who runs knows them, and how their nodes are. */
async function ofRunning(config: string | undefined): Promise<{ readonly node: string; readonly finding: Finding }[]> {
  try {
    const { list } = await AdminClient.open(config === undefined ? {} : { config }).get('/apisix/admin/upstreams/status') as { list: readonly Value[] };
    return list.flatMap(({ name, nodes }) => (nodes as readonly Value[]).map(({ hostname, port, available, last_error: error }) => {
      const node = addressOf(String(hostname), Number(port));
      const text = `${node} (${String(name)})`;
      return { node, finding: available === true ? ok(`${text} is used by the Millrace that runs`)
        : bad(`${text} is left out by the Millrace that runs: ${String(error)}`) };
    }));
  } catch {
    // None runs, or it is not ours to ask.
    return [];
  }
}

function targetsIn(file: string, { listeners }: Settings, rules: TargetRules): Target[] {
  try {
    const { value } = readDocument(readFileSync(file, 'utf8'), file.endsWith('.json') ? 'json' : 'yaml', process.env);
    const { upstreams = [], stream_routes: routes = [], services = [] } = value as Resources;
    const found = (list: readonly Value[], id: unknown): Value | undefined =>
      list.find((each) => id !== undefined && String(each['id']) === String(id as string | number));
    const used = new Set<Value>();
    const udp = new Set(listeners.filter(({ transport }) => transport === 'udp').map(({ port }) => port));
    const targets = routes.flatMap((route) => {
      const service = found(services, route['service_id']);
      const upstream = (route['upstream'] ?? found(upstreams, route['upstream_id']) ?? service?.['upstream'] ?? found(upstreams, service?.['upstream_id'])) as Value | undefined;
      if (upstream === undefined) return [];
      used.add(upstream);
      // Nothing can be asked by UDP that every server would answer.
      return udp.has(route['server_port'] as number) ? [] : targetsOf(upstream as UpstreamValue, route['protocol']?.['name'] === 'redis', rules);
    });
    const others = [...upstreams, ...services.map((each) => each['upstream'] as Value | undefined)]
      .filter((each) => each !== undefined && !used.has(each)).flatMap((each) => targetsOf(each as UpstreamValue, true, rules));
    return [...targets, ...others];
  } catch {
    // `millrace check` says what is wrong with it.
    return [];
  }
}

function targetsOf({ nodes, scheme, tls = {} }: UpstreamValue, redis: boolean, rules: TargetRules): Target[] {
  if (nodes === undefined) return [];
  return parseNodes(nodes, { defaultPort: 6379 }).map(({ host, port }) => {
    const path = unixPath(host);
    const name = tls.server_name ?? (isIP(host) === 0 && path === null ? host : undefined);
    return {
      address: addressOf(host, port), redis,
      dial: path === null ? rules.dial(host, port) : { path },
      tls: scheme !== 'tls' ? null : {
        rejectUnauthorized: tls.verify !== false, ...(name === undefined ? {} : { servername: name }),
        ...(tls.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls.client_cert === undefined ? {} : { cert: tls.client_cert, key: tls.client_key }),
      },
    };
  });
}

/** PING and TIME, as a Redis client asks; elsewhere that it can be connected to is all that is known. */
async function look(target: Target): Promise<Finding> {
  const { address, redis, tls } = target;
  const began = performance.now();
  try {
    const answer = await ask(target);
    const took = Math.round(performance.now() - began);
    const over = tls === null ? '' : ' over TLS';
    if (!redis) return ok(`${address} can be reached${over} (${took} ms)`);
    if (/^-NOAUTH|^-WRONGPASS/m.test(answer)) return ok(`${address} speaks Redis${over} and asks for a password (${took} ms)`);
    if (!answer.startsWith('+PONG')) return bad(`${address} answers, but not as Redis does: ${JSON.stringify(answer.slice(0, 60))}`);
    const theirs = Number(/\$10\r\n(\d{10})\r\n/.exec(answer)?.[1] ?? Number.NaN) * 1000;
    const off = Math.abs(theirs - Date.now());
    return off > clockGrain ? warn(`${address} speaks Redis${over} (${took} ms), but its clock is ${Math.round(off / 1000)} s off ours`)
      : ok(`${address} speaks Redis${over} (${took} ms)`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return bad(`${address} cannot be reached: ${tls === null && !(error instanceof ProxyError) ? code ?? message : message || code}`);
  }
}

function ask({ dial, tls, redis }: Target): Promise<string> {
  const whole = (text: string): boolean => /^-/m.test(text) || (text.match(/\r\n/g) ?? []).length >= 6;
  return new Promise((resolve, reject) => {
    let text = '';
    const ready = (): void => {
      if (redis) socket.write('PING\r\nTIME\r\n');
      else socket.destroy();
    };
    const socket: Socket = tls === null ? connect(dial, ready) : connectTls({ ...dial, ...tls }, ready);
    socket.setTimeout(waitFor, () => socket.destroy(new Error(`no answer in ${waitFor} ms`)));
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      if (whole(text) || text.length > 4096) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}
