// Static settings (millrace.yaml or .json): file, environment variables in it, environment overrides,
// defaults. All problems are reported at once.
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import { largestDocument, readDocument, Unreadable, type ParsedDocument } from './config/document.ts';
import type { Environment } from './config/environment.ts';
import type { TlsVersion } from './config/schemas/ssl.ts';
import { compileSchema, problem, type Problem } from './schema.ts';
import type { AdminKeyEntry } from './settings-admin.ts';
import { meaning, warnings } from './settings-check.ts';
import { override } from './settings-overrides.ts';
import { settingsSchema } from './settings-schema.ts';

export { portRange } from './settings-check.ts';
export { settingsSchema } from './settings-schema.ts';

export interface CertificateSettings { readonly sni?: string; readonly cert: string; readonly key: string }

export interface ListenerSettings {
  /** `unix:/path` of a Unix socket, whose port is 0. */
  readonly address: string;
  readonly port: number;
  readonly unix?: string;
  readonly mode?: string;
  readonly protocol?: string;
  readonly transport?: 'tcp' | 'udp';
  readonly proxy_protocol?: { readonly trusted: readonly string[] };
  readonly tls?: {
    readonly cert?: string; readonly key?: string; readonly certificates?: readonly CertificateSettings[];
    readonly min_version: TlsVersion; readonly max_version: TlsVersion;
    readonly ciphers?: string; readonly fallback_sni?: string;
  };
}

/** What each means stands in the schema. */
export interface LimitSettings {
  readonly inline_bytes: number; readonly unauthenticated_arguments: number;
  readonly unauthenticated_bulk_bytes: number; readonly unauthenticated_unsent_bytes: number; readonly bulk_bytes: number; readonly arguments: number;
  readonly request_bytes: number; readonly stream_from_bytes: number; readonly reply_nesting: number;
  readonly pipelined_requests: number; readonly reply_window_bytes: number; readonly unsent_reply_pause_bytes: number;
  readonly unsent_reply_close_bytes: number; readonly slow_client_s: number;
  readonly buffered_bytes: number; readonly memory_bytes: number; readonly link_pending_bytes: number; readonly link_spent_slots: number;
  readonly own_links_per_node: number; readonly own_link_wait_s: number;
  readonly clients_per_listener: number; readonly clients_per_address: number;
  readonly auth_failures_per_minute: number; readonly request_timeout_s: number;
  readonly connect_timeout_s: number; readonly tls_handshake_timeout_s: number;
  readonly client_idle_timeout_s: number;
}

export interface EtcdSettings {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly username?: string;
  readonly password?: string;
  readonly timeout_s: number;
  readonly snapshot: string;
  readonly tls?: { readonly verify: boolean; readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** Keys as in the file; paths are absolute. */
export interface Settings {
  readonly listeners: readonly ListenerSettings[];
  readonly stream_ports: { readonly open: boolean; readonly range: string; readonly address: string };
  readonly workers: number | 'auto';
  readonly admin: {
    readonly address: string; readonly port: number; readonly allow_remote: boolean;
    readonly key?: string; readonly key_file: string; readonly keys: readonly AdminKeyEntry[];
    readonly allow?: readonly string[];
    readonly tls?: { readonly cert: string; readonly key: string; readonly client_ca?: string };
    readonly api: boolean; readonly standalone: boolean; readonly body_limit_bytes: number;
  };
  readonly store: { readonly path: string; readonly key_file?: string; readonly max_bytes: number; readonly etcd?: EtcdSettings };
  readonly dns: {
    readonly servers: readonly string[]; readonly timeout_s: number; readonly refresh_s: number;
    readonly min_ttl_s: number; readonly negative_ttl_s: number;
  };
  readonly discovery: { readonly file?: string };
  readonly targets: { readonly allow: readonly string[]; readonly refuse: readonly string[] };
  /** A file or a folder, or several. */
  readonly resources?: string | readonly string[];
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
    return whyUnread(error);
  }
}

/** Why a file cannot be read. */
export function whyUnread(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' ? 'there is no such file' : message;
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

function withAbsolutePaths(settings: Settings, folder: string): Settings {
  const full = (path: string): string => resolve(folder, path);
  return {
    ...settings,
    listeners: settings.listeners.map(({ tls, unix, ...rest }) => ({
      ...rest,
      ...(unix === undefined ? {} : { unix, address: `unix:${unix}`, port: 0 }),
      ...(tls === undefined ? {} : { tls: fullTls(tls, full) }),
    })),
    admin: adminWithFullPaths(settings.admin, full),
    store: {
      ...settings.store, path: full(settings.store.path),
      ...(settings.store.key_file === undefined ? {} : { key_file: full(settings.store.key_file) }),
      ...(settings.store.etcd === undefined ? {} : { etcd: etcdWithFullPaths(settings.store.etcd, full) }),
    },
    discovery: settings.discovery.file === undefined ? {} : { file: full(settings.discovery.file) },
    ...(settings.resources === undefined ? {} : { resources: typeof settings.resources === 'string' ? full(settings.resources) : settings.resources.map(full) }),
    plugins: settings.plugins.map(full),
    protocols: settings.protocols.map(full),
    log: { ...settings.log, ...(settings.log.file === undefined ? {} : { file: full(settings.log.file) }) },
  };
}

function adminWithFullPaths({ tls, ...admin }: Settings['admin'], full: (path: string) => string): Settings['admin'] {
  const { client_ca: clientCa } = tls ?? {};
  return {
    ...admin, key_file: full(admin.key_file),
    ...(tls === undefined ? {} : {
      tls: { cert: full(tls.cert), key: full(tls.key), ...(clientCa === undefined ? {} : { client_ca: full(clientCa) }) },
    }),
  };
}

type Tls = NonNullable<ListenerSettings['tls']>;

function fullTls({ cert, key, certificates, ...rest }: Tls, full: (path: string) => string): Tls {
  return {
    ...rest,
    ...(cert === undefined ? {} : { cert: full(cert) }),
    ...(key === undefined ? {} : { key: full(key) }),
    ...(certificates === undefined ? {}
      : { certificates: certificates.map(
        (each) => ({ ...each, cert: full(each.cert), key: full(each.key) })) }),
  };
}

function etcdWithFullPaths(etcd: EtcdSettings, full: (path: string) => string): EtcdSettings {
  const files = (['ca', 'cert', 'key'] as const).flatMap((name) => {
    const path = etcd.tls?.[name];
    return path === undefined ? [] : [[name, full(path)] as const];
  });
  return {
    ...etcd, snapshot: full(etcd.snapshot),
    ...(etcd.tls === undefined ? {} : { tls: { ...etcd.tls, ...Object.fromEntries(files) } }),
  };
}
