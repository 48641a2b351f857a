// Static settings (millrace.yaml or .json): file, environment variables in it, environment overrides,
// defaults. All problems are reported at once.
import { readFileSync, statSync } from 'node:fs';
import { BlockList, isIPv6 } from 'node:net';
import { basename, dirname, extname, resolve } from 'node:path';
import { largestDocument, readDocument, Unreadable, type ParsedDocument } from './config/document.ts';
import type { Environment } from './config/environment.ts';
import { show } from './problem.ts';
import { compileSchema, problem, type At, type Problem } from './schema.ts';
import { settingsSchema } from './settings-schema.ts';

export { settingsSchema } from './settings-schema.ts';

export interface CertificateSettings { readonly sni?: string; readonly cert: string; readonly key: string }

export interface ListenerSettings {
  readonly address: string;
  readonly port: number;
  readonly protocol?: string;
  readonly tls?: {
    readonly cert?: string; readonly key?: string; readonly certificates?: readonly CertificateSettings[];
  };
}

/** What each means stands in the schema. */
export interface LimitSettings {
  readonly inline_bytes: number; readonly header_line_bytes: number;
  readonly unauthenticated_arguments: number; readonly unauthenticated_bulk_bytes: number;
  readonly bulk_bytes: number; readonly http_bulk_bytes: number; readonly arguments: number;
  readonly unauthenticated_unsent_bytes: number; readonly stream_from_bytes: number;
  readonly request_bytes: number; readonly reply_nesting: number; readonly pipelined_requests: number;
  readonly unsent_reply_pause_bytes: number; readonly unsent_reply_close_bytes: number;
  readonly slow_client_s: number; readonly buffered_bytes: number;
  readonly subscriber_close_bytes: number; readonly subscriber_slow_bytes: number;
  readonly subscriber_slow_s: number;
  readonly link_pending_bytes: number; readonly link_spent_slots: number;
  readonly own_links_per_node: number; readonly own_link_wait_s: number;
  readonly clients_per_listener: number; readonly clients_per_address: number;
  readonly auth_failures_per_minute: number;
  readonly request_timeout_s: number; readonly connect_timeout_s: number;
  readonly tls_handshake_timeout_s: number;
  readonly client_idle_timeout_s: number; readonly http_idle_timeout_s: number;
  readonly redirect_hops: number; readonly retries: number;
  readonly http_header_bytes: number; readonly http_body_bytes: number; readonly http_batch_commands: number;
  readonly regex_subject_bytes: number;
  readonly memory_refuse_percent: number; readonly memory_close_percent: number;
  readonly log_queue_bytes: number;
}

/** Keys as in the file; paths are absolute. */
export interface Settings {
  readonly listeners: readonly ListenerSettings[];
  readonly stream_ports: { readonly open: boolean; readonly range: string; readonly address: string };
  readonly workers: number | 'auto';
  readonly admin: {
    readonly address: string; readonly port: number; readonly allow_remote: boolean;
    readonly key?: string; readonly key_file: string; readonly body_limit_bytes: number;
  };
  readonly store: { readonly path: string; readonly max_bytes: number };
  readonly resources?: string;
  readonly plugins: readonly string[];
  readonly protocols: readonly string[];
  readonly log: { readonly level: string; readonly file?: string };
  readonly limits: LimitSettings;
  readonly drain_timeout_s: number;
}

export interface SettingsProblem extends Problem {
  /**
   * `millrace.yaml:3:9: admin.port: expected 1..65535, got 0`, or the variable that is wrong in place of the
   * file.
   */
  readonly located: string;
}

export type LoadedSettings =
  & { readonly warnings: readonly string[] }
  & ({ readonly settings: Settings; readonly problems: readonly [] }
    | { readonly settings: null; readonly problems: readonly SettingsProblem[] });

/**
 * Reads the file (null: defaults only). Relative paths count from the file's folder, without one from
 * `folder`.
 */
export function loadSettings(
  file: string | null, environment: Environment, folder = process.cwd(),
): LoadedSettings {
  const read = file === null ? empty : readFile(resolve(folder, file), environment);
  if (typeof read === 'string') {
    return failed([{ ...problem([], '', '', read), located: `${file}: ${read}` }]);
  }
  const raw = read.value ?? {};
  const sources = override(raw, environment);
  const shape = validate(raw);
  const problems = [...read.problems, ...(shape.length > 0 ? shape : meaning(raw as Settings))];
  if (problems.length > 0) {
    const place = (each: Problem): string => placeOf(each, sources, file, read);
    return failed(problems.map((each) => ({ ...each, located: `${place(each)}: ${each.message}` })));
  }
  const settings = raw as Settings;
  return {
    settings: withAbsolutePaths(settings, file === null ? folder : dirname(resolve(folder, file))),
    problems: [], warnings: warnings(settings),
  };
}

/** The first and last port that stream routes may open. */
export function portRange(range: string): { readonly first: number; readonly last: number } {
  const [first = 0, last = 0] = range.split('-').map(Number);
  return { first, last };
}

const validate = compileSchema(settingsSchema, { defaults: true });
const empty: ParsedDocument = { value: {}, problems: [], locate: () => ({ line: 1, column: 1 }) };

function failed(problems: readonly SettingsProblem[]): LoadedSettings {
  return { settings: null, problems, warnings: [] };
}

function readFile(path: string, environment: Environment): ParsedDocument | string {
  try {
    const { size } = statSync(path);
    if (size > largestDocument) return `expected at most ${largestDocument} bytes, got ${size}`;
    const format = extname(path).toLowerCase() === '.json' ? 'json' : 'yaml';
    return readDocument(readFileSync(path, 'utf8'), format, environment);
  } catch (error) {
    if (error instanceof Unreadable) {
      return `${error.position.line}:${error.position.column}: ${error.message}`;
    }
    return (error as Error).message;
  }
}

interface Override {
  readonly at: At;
  readonly read: (value: string) => unknown;
}

const text = (value: string): string => value;
const number = (value: string): unknown => (/^\d{1,9}$/.test(value) ? Number(value) : value);

/** Variables that win over the file. */
export const overrides: Readonly<Record<string, readonly Override[]>> = {
  MILLRACE_LISTEN: [
    { at: ['listeners', 0, 'address'], read: hostOf }, { at: ['listeners', 0, 'port'], read: portOf },
  ],
  MILLRACE_WORKERS: [{ at: ['workers'], read: number }],
  MILLRACE_ADMIN_LISTEN: [
    { at: ['admin', 'address'], read: hostOf }, { at: ['admin', 'port'], read: portOf },
  ],
  MILLRACE_ADMIN_KEY: [{ at: ['admin', 'key'], read: text }],
  MILLRACE_ADMIN_KEY_FILE: [{ at: ['admin', 'key_file'], read: text }],
  MILLRACE_STORE: [{ at: ['store', 'path'], read: text }],
  MILLRACE_RESOURCES: [{ at: ['resources'], read: text }],
  MILLRACE_LOG_LEVEL: [{ at: ['log', 'level'], read: text }],
};

// `9101`, `127.0.0.1:9101`, `[::1]:9101`. A port alone leaves the address as it is.
function hostOf(value: string): unknown {
  const host = /^(.*):\d+$/.exec(value)?.[1];
  return host?.replace(/^\[(.*)\]$/, '$1');
}

function portOf(value: string): unknown {
  return number(/(?:^|:)(\d+)$/.exec(value)?.[1] ?? value);
}

/** Writes the overrides into the value; tells which variable each place came from. */
function override(raw: unknown, environment: Environment): ReadonlyMap<string, string> {
  const sources = new Map<string, string>();
  for (const [variable, places] of Object.entries(overrides)) {
    const value = environment[variable];
    if (value === undefined) continue;
    for (const { at, read } of places) {
      const replacement = read(value);
      if (replacement === undefined) continue;
      set(raw, at, replacement);
      sources.set(at.join('.'), variable);
    }
  }
  return sources;
}

function set(root: unknown, at: At, value: unknown): void {
  let node = root as Record<string | number, unknown>;
  for (const [index, segment] of at.entries()) {
    // A file of the wrong shape is reported as it is.
    if (typeof node !== 'object' || node === null) return;
    if (index === at.length - 1) node[segment] = value;
    else node = (node[segment] ??= fresh(at, index)) as Record<string | number, unknown>;
  }
}

// The default listener, which an override changes, is not there yet when defaults have not been filled in.
function fresh(at: At, index: number): unknown {
  return typeof at[index + 1] === 'number' ? [{ address: '127.0.0.1', port: 9101, protocol: 'redis' }] : {};
}

function placeOf(
  wrong: Problem, sources: ReadonlyMap<string, string>, file: string | null, read: ParsedDocument,
): string {
  const variable = sources.get(wrong.at.join('.'));
  if (variable !== undefined) return variable;
  if (file === null) return 'defaults';
  const { line, column } = read.locate(wrong);
  return `${basename(file)}:${line}:${column}`;
}

// Keys that stand in the reference's public documentation.
const wellKnownKeys = ['edd1c9f034335f136f87ad84b625c8f1', '4054f7cf07e344346cd3f287985e76a2'];

/** What a schema cannot say. */
function meaning(settings: Settings): Problem[] {
  return [...wrongPorts(settings), ...wrongAdmin(settings), ...wrongLimits(settings.limits)];
}

function wrongPorts({ listeners, stream_ports: streamPorts, admin }: Settings): Problem[] {
  const problems: Problem[] = [];
  const taken = new Map([[`${admin.address} ${admin.port}`, 'admin']]);
  for (const [index, { address, port }] of listeners.entries()) {
    const name = `${address} ${port}`;
    const other = taken.get(name);
    if (other !== undefined) {
      problems.push(problem(['listeners', index, 'port'], `a port that ${other} does not use`, String(port)));
    }
    taken.set(name, `listeners[${index}]`);
  }
  const { first, last } = portRange(streamPorts.range);
  if (first < 1 || last > 65535 || first > last) {
    const expected = 'a port range within 1-65535, lower first';
    problems.push(problem(['stream_ports', 'range'], expected, show(streamPorts.range)));
  }
  return problems;
}

function wrongAdmin({ admin }: Settings): Problem[] {
  if (isLoopback(admin.address)) return [];
  const problems: Problem[] = [];
  if (!admin.allow_remote) {
    const expected = 'a loopback address, or allow_remote: true';
    problems.push(problem(['admin', 'address'], expected, show(admin.address)));
  }
  if (admin.key !== undefined && wellKnownKeys.includes(admin.key)) {
    problems.push(problem(['admin', 'key'], 'a secret key', 'one that is publicly known'));
  }
  return problems;
}

function wrongLimits(limits: LimitSettings): Problem[] {
  const pairs = [
    ['unsent_reply_pause_bytes', 'unsent_reply_close_bytes'],
    ['subscriber_slow_bytes', 'subscriber_close_bytes'],
    ['memory_refuse_percent', 'memory_close_percent'], ['unauthenticated_bulk_bytes', 'bulk_bytes'],
    ['unauthenticated_arguments', 'arguments'],
  ] as const;
  return pairs.filter(([low, high]) => limits[low] > limits[high]).map(
    ([low, high]) => problem(['limits', low], `at most ${high} (${limits[high]})`, String(limits[low])));
}

function warnings({ admin }: Settings): string[] {
  if (admin.key === undefined || !wellKnownKeys.includes(admin.key)) return [];
  return ['admin.key is publicly known; it is accepted on loopback only'];
}

function isLoopback(address: string): boolean {
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8, 'ipv4');
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

function withAbsolutePaths(settings: Settings, folder: string): Settings {
  const full = (path: string): string => resolve(folder, path);
  return {
    ...settings,
    listeners: settings.listeners.map(
      ({ tls, ...rest }) => (tls === undefined ? rest : { ...rest, tls: fullTls(tls, full) })),
    admin: { ...settings.admin, key_file: full(settings.admin.key_file) },
    store: { ...settings.store, path: full(settings.store.path) },
    ...(settings.resources === undefined ? {} : { resources: full(settings.resources) }),
    plugins: settings.plugins.map(full),
    protocols: settings.protocols.map(full),
    log: { ...settings.log, ...(settings.log.file === undefined ? {} : { file: full(settings.log.file) }) },
  };
}

type Tls = NonNullable<ListenerSettings['tls']>;

function fullTls({ cert, key, certificates }: Tls, full: (path: string) => string): Tls {
  return {
    ...(cert === undefined ? {} : { cert: full(cert) }),
    ...(key === undefined ? {} : { key: full(key) }),
    ...(certificates === undefined ? {}
      : { certificates: certificates.map(
        (each) => ({ ...each, cert: full(each.cert), key: full(each.key) })) }),
  };
}
