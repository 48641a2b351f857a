// `millrace doctor`: what would keep Millrace from working here, looked for before it does.
import { X509Certificate } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { availableParallelism, totalmem } from 'node:os';
import { dirname } from 'node:path';
import type { UpstreamValue } from '../config/schemas/upstream.ts';
import { parseNodes } from '../upstream/nodes.ts';
import { refuseTaken } from '../unix-listener.ts';
import { loadSettings, type Settings } from '../settings.ts';
import { resourceFiles } from './check-resources.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

type Level = 'ok' | 'warn' | 'bad';
interface Finding { readonly level: Level; readonly text: string }

const waitFor = 3000;
const soon = 30 * 86_400_000;
/** A clock that is this far off makes expiries and rate limits wrong. */
const clockGrain = 5000;

export async function doctor(file: string | undefined): Promise<ExitCode> {
  const { settings, problems, warnings } = loadSettings(file ?? (existsSync('millrace.yaml') ? 'millrace.yaml' : null), process.env);
  const findings: Finding[] = [
    ...problems.map(({ located }) => bad(located)), ...warnings.map((text) => warn(text)), ...machine(settings),
  ];
  if (settings !== null) findings.push(...await ports(settings), ...files(settings), ...certificates(settings), ...await upstreams(settings));
  for (const { level, text } of findings) console.log(`${level === 'ok' ? '  ok ' : level === 'warn' ? 'warn ' : ' BAD '} ${text}`);
  return findings.some(({ level }) => level === 'bad') ? exitCodes.invalid : exitCodes.ok;
}

const ok = (text: string): Finding => ({ level: 'ok', text });
const warn = (text: string): Finding => ({ level: 'warn', text });
const bad = (text: string): Finding => ({ level: 'bad', text });

function machine(settings: Settings | null): Finding[] {
  const [major = 0] = process.versions.node.split('.').map(Number);
  const memory = process.constrainedMemory() > 0 ? Math.min(totalmem(), process.constrainedMemory()) : totalmem();
  const found = [
    major >= 24 ? ok(`Node ${process.versions.node}`) : bad(`Node ${process.versions.node}: expected 24 or later`),
    ok(`${availableParallelism()} processors, ${Math.round(memory / 1024 ** 2)} MiB memory`),
  ];
  const files = openFiles();
  const clients = settings?.limits.clients_per_listener ?? 0;
  if (files === null) return found;
  // Each client may need a connection of its own behind.
  const needed = clients * 2 + 100;
  return [...found, files >= needed ? ok(`${files} open files allowed`)
    : warn(`${files} open files allowed: limits.clients_per_listener is ${clients}, for which ${needed} are needed; raise ulimit -n`)];
}

function openFiles(): number | null {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === 'unlimited' ? Infinity : Number(soft);
  } catch {
    return null;
  }
}

async function ports({ listeners, admin }: Settings): Promise<Finding[]> {
  const sockets = listeners.flatMap(({ unix }) => (unix === undefined ? [] : [socketFile(unix)]));
  const wanted = [
    ...listeners.filter(({ unix }) => unix === undefined).map(({ address, port }) => ({ what: 'listener', address, port })),
    { what: 'admin', address: admin.address, port: admin.port },
  ];
  return Promise.all([...sockets, ...wanted.map(async ({ what, address, port }) => {
    const why = await bindable(address, port);
    const place = `${what} ${address}:${port}`;
    if (why === null) return ok(`${place} is free`);
    return why === 'EADDRINUSE' ? warn(`${place} is in use: by a Millrace that runs, or by something else`) : bad(`${place} cannot be listened on: ${why}`);
  })]);
}

async function socketFile(path: string): Promise<Finding> {
  try {
    await refuseTaken(path);
  } catch (error) {
    return warn((error as Error).message);
  }
  const folder = dirname(path);
  return allowed(folder, constants.W_OK) ? ok(`listener unix:${path} is free`) : bad(`listener unix:${path}: ${folder} is not writable`);
}

function bindable(address: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(port, address, () => server.close(() => resolve(null)));
  });
}

function files({ store, resources, admin, plugins, protocols }: Settings): Finding[] {
  const found: Finding[] = [];
  const folder = existingFolder(dirname(store.path));
  found.push(allowed(folder, constants.W_OK) ? ok(`the store ${store.path} can be written`) : bad(`the store ${store.path} cannot be written: ${folder} is not writable`));
  for (const each of listOf(resources)) found.push(allowed(each, constants.R_OK) ? ok(`${each} can be read`) : bad(`${each} cannot be read`));
  if (existsSync(admin.key_file)) {
    const mode = statSync(admin.key_file).mode & 0o777;
    found.push((mode & 0o077) === 0 ? ok(`${admin.key_file} is its owner's alone`) : warn(`${admin.key_file} can be read by others (mode ${mode.toString(8)}); chmod 600`));
  }
  for (const path of [...plugins, ...protocols]) if (!existsSync(path)) found.push(warn(`${path}: the folder does not exist`));
  return found;
}

function listOf(resources: Settings['resources']): readonly string[] {
  return resources === undefined ? [] : typeof resources === 'string' ? [resources] : resources;
}

function existingFolder(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : existingFolder(dirname(path));
}

function allowed(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function certificates({ listeners }: Settings): Finding[] {
  const paths = listeners.flatMap(({ tls }) => (tls === undefined ? [] : [tls.cert, ...(tls.certificates ?? []).map(({ cert }) => cert)]))
    .filter((path) => path !== undefined);
  return paths.map((path) => {
    try {
      const { validTo, validFrom } = new X509Certificate(readFileSync(path));
      const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
      if (to < Date.now()) return bad(`${path} expired on ${validTo}`);
      if (from > Date.now()) return bad(`${path} is valid from ${validFrom} on`);
      return to - Date.now() < soon ? warn(`${path} expires on ${validTo}`) : ok(`${path} is valid until ${validTo}`);
    } catch (error) {
      return bad(`${path}: ${(error as Error).message}`);
    }
  });
}

/** The default upstream, and those of the resources file that can be read without plugins. */
async function upstreams({ resources }: Settings): Promise<Finding[]> {
  const nodes = new Set<string>();
  const address = process.env['MILLRACE_UPSTREAM'];
  if (address !== undefined && address !== '') nodes.add(address);
  for (const file of resourceFiles(resources)) for (const each of await nodesIn(file)) nodes.add(each);
  return Promise.all([...nodes].map(speaks));
}

async function nodesIn(file: string): Promise<string[]> {
  const { readDocument } = await import('../config/document.ts');
  try {
    const { value } = readDocument(readFileSync(file, 'utf8'), file.endsWith('.json') ? 'json' : 'yaml', process.env);
    const { upstreams = [], stream_routes: routes = [], services = [] } = value as Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;
    const all = [...upstreams, ...[...routes, ...services].map((each) => each['upstream'])] as readonly (UpstreamValue | undefined)[];
    return all.flatMap((upstream) => (upstream?.nodes === undefined || upstream.scheme === 'tls' ? []
      : parseNodes(upstream.nodes, { defaultPort: 6379 }).map(({ host, port }) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`))));
  } catch {
    // `millrace check` says what is wrong with it.
    return [];
  }
}

/** PING and TIME, as a Redis client asks. */
async function speaks(address: string): Promise<Finding> {
  const colon = address.lastIndexOf(':');
  const [host, port] = colon > 0 && !address.endsWith(']') ? [address.slice(0, colon), Number(address.slice(colon + 1))] : [address, 6379];
  const began = performance.now();
  try {
    const answer = await ask(host.replace(/^\[(.*)\]$/, '$1'), port, 'PING\r\nTIME\r\n', (text) => /^-/m.test(text) || (text.match(/\r\n/g) ?? []).length >= 6);
    const took = Math.round(performance.now() - began);
    if (/^-NOAUTH|^-WRONGPASS/m.test(answer)) return ok(`${address} speaks Redis and asks for a password (${took} ms)`);
    if (!answer.startsWith('+PONG')) return bad(`${address} answers, but not as Redis does: ${JSON.stringify(answer.slice(0, 60))}`);
    const theirs = Number(/\$10\r\n(\d{10})\r\n/.exec(answer)?.[1] ?? Number.NaN) * 1000;
    const off = Math.abs(theirs - Date.now());
    return off > clockGrain ? warn(`${address} speaks Redis (${took} ms), but its clock is ${Math.round(off / 1000)} s off ours`) : ok(`${address} speaks Redis (${took} ms)`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return bad(`${address} cannot be reached: ${code ?? message}`);
  }
}

function ask(host: string, port: number, question: string, whole: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket: Socket = connect({ host, port }, () => socket.write(question));
    socket.setTimeout(waitFor, () => socket.destroy(new Error(`no answer in ${waitFor} ms`)));
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      if (whole(text) || text.length > 4096) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}
