// The composition root: puts everything together, and nothing else. The only file that knows the container.
import 'reflect-metadata';
import { container as rootContainer, instanceCachingFactory, type DependencyContainer } from 'tsyringe';
import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { isUnset } from './config/document.ts';
import { effectiveRoute } from './config/effective.ts';
import { Expiry } from './config/expiry.ts';
import type { ConfigEvent } from './config/file.ts';
import { openResources, type ResourceFiles } from './config/files.ts';
import { MemoryStore } from './config/memory-store.ts';
import { MergedConfig } from './config/merged.ts';
import { joinLists, onlyListed, type PluginList } from './config/plugin-list.ts';
import type { StreamRouteValue } from './config/schemas/stream-route.ts';
import type { UpstreamValue } from './config/schemas/upstream.ts';
import { emptyConfig, type Config, type ConfigSource, type Store } from './config/source.ts';
import { Secrets } from './config/secrets.ts';
import { Standalone } from './config/standalone.ts';
import { SqliteStore } from './config/sqlite-store.ts';
import { DataPlane } from './data-plane.ts';
import { unknownProtocols } from './listener-protocols.ts';
import { defaultUpstream } from './default-upstream.ts';
import { ProxyError } from './errors.ts';
import { foreignWriters } from './foreign-writers.ts';
import { builtIn, Loader, type ModuleFolder } from './loader.ts';
import { LocalPlane, type RunningPlane } from './local-plane.ts';
import type { Logger } from './log.ts';
import { mergeSnapshots, Metrics } from './metrics.ts';
import { ModuleWatch } from './module-watch.ts';
import { SharedOccupancy } from './occupancy.ts';
import type { Rejection } from './plane.ts';
import type { EmbeddedServer } from './protocol.ts';
import { referencesOf } from './references.ts';
import { Registry } from './registry.ts';
import { SecretWatch } from './secret-watch.ts';
import type { EtcdSettings, Settings } from './settings.ts';
import { CertificateFiles } from './tls/certificate-files.ts';
import { refuseTakenPorts } from './taken-ports.ts';
import { TargetRules } from './targets.ts';
import { LOADER, PLANE, REGISTRY, STORE } from './tokens.ts';
import { SharedWindows } from './windows.ts';
import { Workers } from './workers.ts';

export interface AppOptions {
  readonly settings: Settings;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  /** Opens the log file anew. */
  readonly reopenLog?: () => void;
  /** Called with a child container before anything is resolved: tests put their own in. */
  readonly prepare?: (container: DependencyContainer) => void;
}

export interface Address {
  readonly address: string;
  readonly port: number;
}

export interface App {
  readonly plane: RunningPlane;
  readonly admin: Address;
  readonly listeners: readonly (Address & { readonly tls: boolean })[];
  /** Where the admin key is kept; null: it was given. */
  readonly adminKeyFile: string | null;
  /** What the default route leads to: `host:port`, or the embedded server. */
  readonly upstream: string;
  readonly workers: number;
  /** Reads files again and reopens logs: SIGHUP. */
  reload(): Promise<void>;
  /** Lets what is under way end, at the latest after `deadline` ms, and closes everything: SIGTERM. */
  drain(deadline: number): Promise<void>;
}

/** Rejects with a ProxyError: SETTINGS_INVALID, STORE_FAILED or LISTEN_FAILED. Nothing keeps running then. */
export async function startApp(options: AppOptions): Promise<App> {
  const { settings, environment, log } = options;
  const upstream = defaultUpstream(environment);
  const container = rootContainer.createChildContainer();
  const workers = settings.workers === 'auto' ? availableParallelism() : settings.workers;
  // What this thread counts itself; the workers have their own.
  const metrics = new Metrics();
  const certificates = new CertificateFiles({
    listeners: settings.listeners, log, onChange: (next) => container.resolve(PLANE).setCertificates(next),
  });
  register(container, options, upstream, workers, metrics, certificates);
  options.prepare?.(container);

  const registry = container.resolve(REGISTRY);
  const loader = container.resolve(LOADER);
  const folders: readonly ModuleFolder[] = [
    ...builtIn,
    ...settings.plugins.map((path) => ({ kind: 'plugin', path }) as const),
    ...settings.protocols.map((path) => ({ kind: 'protocol', path }) as const),
  ];
  const loadedAt = Date.now();
  await loader.loadAll(folders);
  const configured = folders.filter((each) => !builtIn.includes(each));
  for (const text of foreignWriters(configured)) log.warn({ code: 'SETTINGS_INVALID' }, text);
  for (const { error, file } of loader.modules) {
    if (error !== null) log.error({ code: 'MODULE_FAILED', file, text: error }, 'a module could not be loaded');
  }
  const [wrong] = unknownProtocols(settings.listeners, [...registry.protocols.keys(), ...notLoaded(loader)]);
  if (wrong !== undefined) throw new ProxyError('SETTINGS_INVALID', wrong.message);
  if (workers > 1) await refuseTakenPorts(settings.listeners);

  const closers: (() => Promise<void> | void)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const { AdminKeys, createAdmin } = await import('../admin/server.ts');
    const keys = AdminKeys.open(settings.admin);
    for (const text of keys.warnings) log.warn({ code: 'SETTINGS_INVALID' }, text);

    const { etcd } = settings.store;
    const standalone = settings.admin.standalone ? new Standalone() : null;
    const store = standalone !== null ? new MemoryStore()
      : etcd === undefined ? container.resolve(STORE) : await openEtcd(etcd, log);
    closers.push(() => store.close());
    const targets = new TargetRules({ ...settings.targets, admin: settings.admin });
    // The file is checked before the two are one configuration.
    let merged: MergedConfig | null = null;
    const references = referencesOf(registry, { targets, config: () => (merged ?? store).config });
    const report = (event: ConfigEvent): void => log[event.level]({ code: event.code }, event.text);
    const file = settings.resources === undefined ? null
      : await openResources(settings.resources, { references, environment, report });
    if (file !== null) closers.push(() => file.close());
    // The environment is that of the start: waiting would not help.
    const unset = file?.problems.filter(isUnset).map(({ located }) => located) ?? [];
    if (unset.length > 0) throw new ProxyError('CONFIG_INVALID', unset.slice(0, 10).join('; '));
    const config = merged = new MergedConfig(store, file ?? nothing, report);
    closers.push(() => config.close());

    const expiry = new Expiry(store, log);
    closers.push(() => expiry.close());

    const plane = container.resolve(PLANE);
    closers.push(() => certificates.close());
    let running = true;
    closers.push(() => (running ? plane.drain(0) : undefined));
    const embedded = new EmbeddedServers(registry);
    closers.push(() => embedded.close());
    const secretWatch = new SecretWatch(log, () => void applied.again().catch((cause: unknown) => {
      log.error({ code: 'INTERNAL', err: cause }, 'secrets could not be looked up anew');
    }));
    closers.push(() => secretWatch.close());
    const secrets = new Secrets({
      managers: () => registry.secretManagers, environment, references, isOurs: (text) => keys.find(text) !== null, onLooked: (files) => secretWatch.follow(files),
    });
    const applied = new Applied({ plane, embedded, secrets, log, upstream, settings, listed: () => standalone?.plugins });
    await applied.apply(config.config);
    await plane.listen();
    certificates.watch();
    closers.push(config.onChange((next) => void applied.apply(next).catch((cause: unknown) => {
      log.error({ code: 'INTERNAL', err: cause }, 'a configuration could not be applied');
    })));

    const modules = new ModuleWatch({
      folders: folders.filter(({ path }) => !builtIn.some((each) => each.path === path)),
      loader, plane, log, metrics, loadedAt,
      onReloaded: async () => {
        await file?.reload();
        // Plugins may bring managers of secrets.
        await applied.again();
      },
    });
    closers.push(() => modules.close());

    const admin = await createAdmin({
      settings: settings.admin,
      keys,
      store,
      config,
      references: referencesOf(registry, { targets, config: () => config.config, listed: (name) => config.config.plugins?.has(name) ?? true }),
      plane: {
        apply: (next) => applied.apply(next),
        inspect: (question) => plane.inspect(question),
        tail: (options, show) => plane.tail(options, show),
        // A file that fails in this thread never reaches a worker: this thread's loader knows all.
        status: async () => (await plane.status()).map((each) => ({ ...each, modules: loader.modules })),
        metrics: async () => mergeSnapshots([await plane.metrics(), metrics.snapshot()]),
      },
      registry: {
        plugins: () => [...registry.plugins.values()].map(({ value }) => value),
        protocols: () => [...registry.protocols.values()].map(({ value }) => value),
      },
      log,
      reloadModules: () => modules.reload(),
      pending: async () => ({
        rejections: await applied.rejections,
        file: file === null ? null : { problems: file.problems.map(({ located }) => located), warnings: file.warnings.map(({ located }) => located) },
      }),
      ready: () => (running ? unconfigured(standalone, file) : 'draining'),
      ...(standalone === null ? {} : { standalone }),
    });
    closers.push(() => admin.close());

    const status = await plane.status();
    return {
      plane,
      admin: { address: admin.address, port: admin.port },
      listeners: [...new Map(status.flatMap(({ listeners }) => listeners).map(({ address, port, tls }) => (
        [`${address} ${port}`, { address, port, tls }])))].map(([, each]) => each),
      adminKeyFile: keys.file,
      upstream: upstream.type === 'memory' ? 'the embedded in-memory Redis (for demo and development)' : Object.keys(upstream.nodes ?? {})[0]!,
      workers,
      async reload() {
        options.reopenLog?.();
        plane.reopen();
        certificates.reload();
        admin.reload();
        await file?.reload();
        await applied.again();
      },
      async drain(deadline) {
        running = false;
        await plane.drain(deadline);
        await closeAll();
      },
    };
  } catch (cause) {
    await closeAll();
    throw cause;
  }
}

/** Why it has no configuration yet; null: it has. */
function unconfigured(standalone: Standalone | null, file: ResourceFiles | null): string | null {
  if (standalone !== null && standalone.received === null) return 'no configuration has been sent yet';
  return file === null || file.loaded ? null : 'the resources have not been readable yet';
}

/** Protocols whose files cannot be loaded now: when they are repaired, they are there. */
function notLoaded({ modules }: Loader): string[] {
  return modules.flatMap(({ kind, name, error }) => (kind === 'protocol' && error !== null ? [name] : []));
}

function register(
  container: DependencyContainer, options: AppOptions, upstream: UpstreamValue, workers: number, metrics: Metrics,
  certificates: CertificateFiles,
): void {
  const { settings, log } = options;
  const windows = SharedWindows.allocate();
  const ticketSecret = randomBytes(32);
  const occupancy = SharedOccupancy.allocate(workers);
  container.register(REGISTRY, { useFactory: instanceCachingFactory(() => new Registry()) });
  container.register(LOADER, { useFactory: instanceCachingFactory((c) => new Loader(c.resolve(REGISTRY))) });
  container.register(STORE, {
    useFactory: instanceCachingFactory(() => {
      const store = SqliteStore.open({
        path: settings.store.path, maxBytes: settings.store.max_bytes, keyFile: settings.store.key_file ?? `${settings.store.path}.key`,
      });
      if (store.readOnly) log.warn({ code: 'STORE_FAILED' }, `${settings.store.path}: the configuration store is read-only; what it has is served, writes are refused`);
      return store;
    }),
  });
  container.register(PLANE, {
    useFactory: instanceCachingFactory((c): RunningPlane => {
      if (workers > 1) {
        return new Workers({
          settings, log, windows, occupancy, workers, upstream, metrics, modules: c.resolve(LOADER).loaded,
          certificates: () => certificates.current, ticketSecret,
        });
      }
      // One worker needs no thread of its own.
      return new LocalPlane(new DataPlane({
        settings, log, registry: c.resolve(REGISTRY), loader: c.resolve(LOADER), windows, occupancy, worker: 0, workers: 1, upstream,
        certificates: certificates.current, ticketSecret,
      }));
    }),
  });
}

async function openEtcd(settings: EtcdSettings, log: Logger): Promise<Store> {
  const { endpoints, prefix, username, password, timeout_s: seconds, snapshot, tls } = settings;
  const { EtcdStore } = await import('./config/etcd-store.ts');
  const read = (name: 'ca' | 'cert' | 'key'): { readonly [file: string]: Buffer } => {
    const path = tls?.[name];
    return path === undefined ? {} : { [name]: readFileSync(path) };
  };
  return EtcdStore.open({
    endpoints, prefix, snapshot, log, timeout: seconds * 1000,
    ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: { verify: tls.verify, ...read('ca'), ...read('cert'), ...read('key') } }),
  });
}

/** Stands where there is no resources file. */
const nothing: ConfigSource = {
  config: emptyConfig(),
  onChange: () => () => undefined,
  close: () => Promise.resolve(),
};

/** Embedded servers, started when a configuration first asks for one; all workers share them. */
class EmbeddedServers {
  readonly #registry: Registry;
  readonly #servers = new Map<string, EmbeddedServer>();
  readonly addresses = new Map<string, string>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async start(protocol: string): Promise<void> {
    if (this.#servers.has(protocol)) return;
    const server = this.#registry.protocols.get(protocol)?.value.embedded?.();
    if (server === undefined) return;
    this.#servers.set(protocol, server);
    this.addresses.set(protocol, `127.0.0.1:${await server.listen(0, '127.0.0.1')}`);
  }

  async close(): Promise<void> {
    for (const server of this.#servers.values()) await server.close();
  }
}

interface AppliedOptions {
  readonly plane: RunningPlane;
  readonly embedded: EmbeddedServers;
  readonly secrets: Secrets;
  readonly log: Logger;
  readonly upstream: UpstreamValue;
  readonly settings: Settings;
  /** Of what comes by the API. */
  readonly listed: () => PluginList | undefined;
}

/** Applies configurations one after the other; the same one only once. */
class Applied {
  readonly #options: AppliedOptions;
  #last: Config | null = null;
  /** It is to be applied anew: what it needs has changed, or it failed. */
  #stale = false;
  /** The last one without what the list of plugins forbids. */
  #allowed: Config | null = null;
  #result: Promise<readonly Rejection[]> = Promise.resolve([]);

  constructor(options: AppliedOptions) {
    this.#options = options;
  }

  /** Of the last configuration. */
  get rejections(): Promise<readonly Rejection[]> {
    return this.#result.catch(() => []);
  }

  apply(config: Config): Promise<readonly Rejection[]> {
    if (config === this.#last && !this.#stale) return this.#result;
    this.#last = config;
    this.#stale = false;
    this.#result = this.#result.catch(() => []).then(() => this.#run(config));
    this.#result.catch(() => { if (this.#last === config) this.#stale = true; });
    return this.#result;
  }

  /** Secrets are looked up anew. */
  again(): Promise<readonly Rejection[]> {
    this.#stale = true;
    return this.#last === null ? this.#result : this.apply(this.#last);
  }

  async #run(written: Config): Promise<readonly Rejection[]> {
    const { plane, embedded, secrets, log, listed } = this.#options;
    const { config: allowed, rejections: unlisted } = onlyListed(written, joinLists([written.plugins, listed()]), this.#allowed);
    this.#allowed = allowed;
    const { config, rejections: notFound } = await secrets.resolve(allowed);
    for (const protocol of this.#embeddedIn(config)) await embedded.start(protocol);
    plane.setEmbedded(embedded.addresses);
    const rejections = [...unlisted, ...notFound, ...await plane.apply(config)];
    for (const { kind, id, code, text } of rejections) log.error({ code, kind, id }, text);
    return rejections;
  }

  #embeddedIn(config: Config): ReadonlySet<string> {
    const wanted = new Set<string>();
    const { upstream, settings } = this.#options;
    if (upstream.type === 'memory') {
      for (const { protocol } of settings.listeners) if (protocol !== undefined) wanted.add(protocol);
    }
    for (const { value } of config.resources.stream_routes.values()) {
      const { protocol } = value as StreamRouteValue;
      if (protocol !== undefined && isEmbedded(value as StreamRouteValue, config)) wanted.add(protocol.name);
    }
    return wanted;
  }
}

function isEmbedded(route: StreamRouteValue, config: Config): boolean {
  try {
    return effectiveRoute(route, (kind, id) => config.resources[kind].get(id)).upstream?.type === 'memory';
  } catch {
    // A route that names what does not exist is reported by who builds it.
    return false;
  }
}
