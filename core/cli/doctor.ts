// `millrace doctor`: what would keep Millrace from working here, looked for before it does.
import { X509Certificate } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, isIPv6 } from 'node:net';
import { availableParallelism, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { refuseTaken } from '../unix-listener.ts';
import { loadSettings, type Settings } from '../settings.ts';
import { upstreamFindings } from './doctor-upstreams.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { bad, ok, warn, type Finding } from './finding.ts';

const soon = 30 * 86_400_000;

export async function doctor(file: string | undefined): Promise<ExitCode> {
  const { settings, problems, warnings } = loadSettings(file ?? (existsSync('millrace.yaml') ? 'millrace.yaml' : null), process.env);
  const findings: Finding[] = [
    ...problems.map(({ located }) => bad(located)), ...warnings.map((text) => warn(text)), ...machine(settings),
  ];
  if (settings !== null) findings.push(...await ports(settings), ...files(settings), ...certificates(settings), ...await upstreamFindings(settings, file));
  for (const { level, text } of findings) console.log(`${level === 'ok' ? '  ok ' : level === 'warn' ? 'warn ' : ' BAD '} ${text}`);
  return findings.some(({ level }) => level === 'bad') ? exitCodes.invalid : exitCodes.ok;
}

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
    ...listeners.filter(({ unix }) => unix === undefined)
      .map(({ address, port, transport }) => ({ what: transport === 'udp' ? 'UDP listener' : 'listener', address, port })),
    { what: 'admin', address: admin.address, port: admin.port },
  ];
  return Promise.all([...sockets, ...wanted.map(async ({ what, address, port }) => {
    const why = await (what === 'UDP listener' ? bindableUdp : bindable)(address, port);
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

function bindableUdp(address: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      resolve(error.code ?? error.message);
    });
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve(null)));
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

function certificates({ listeners, admin }: Settings): Finding[] {
  const ofListeners = listeners.flatMap(({ tls }) => (tls === undefined ? [] : [tls.cert, ...(tls.certificates ?? []).map(({ cert }) => cert)]));
  const paths = [...ofListeners, admin.tls?.cert]
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
