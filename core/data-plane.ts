// One worker's data plane: engine, routes and listeners of one thread.
import type { ListenerSettings, Settings } from './settings.ts';
import { portRange } from './settings.ts';
import type { UpstreamValue } from './config/schemas/upstream.ts';
import type { Config } from './config/source.ts';
import { unixClient } from './endpoint.ts';
import { Engine } from './engine.ts';
import { inspect, type Answer, type Question } from './inspect.ts';
import { limitsOf } from './settings-limits.ts';
import { ClientCounter, PortListener } from './listener.ts';
import type { LoadedModule, Loader } from './loader.ts';
import type { Logger } from './log.ts';
import { Metrics, type MetricsSnapshot } from './metrics.ts';
import { hexOf, parseNetwork, prefixOf } from './network.ts';
import type { ListenerStatus, PlaneStatus, Rejection } from './plane.ts';
import { watchProcess, type ProcessMetrics } from './process-metrics.ts';
import { SharedOccupancy } from './occupancy.ts';
import type { Registry } from './registry.ts';
import { Routes } from './reload.ts';
import { defaultPort } from './route-builder.ts';
import { reopenAll } from './reopen.ts';
import { Tails, type TailBatch, type TailOptions } from './tail.ts';
import { refusalLog, TargetRules } from './targets.ts';
import { tcp } from './tcp.ts';
import type { ListenerCertificates } from './tls/certificate-files.ts';
import { Certificates } from './tls/certificates.ts';
import { NodeTable } from './upstream/node.ts';
import { UpstreamMetrics } from './upstream-metrics.ts';
import { UpstreamSurroundings } from './upstream-surroundings.ts';
import type { UpstreamConf } from './upstream/upstream.ts';
import { UdpListener } from './udp/listener.ts';
import { waitingRecords } from './waiting-records.ts';
import { SharedWindows } from './windows.ts';

export interface DataPlaneOptions {
  readonly settings: Settings;
  readonly log: Logger;
  readonly registry: Registry;
  readonly loader: Loader;
  readonly windows: SharedArrayBuffer;
  readonly occupancy: SharedArrayBuffer;
  readonly worker: number;
  readonly workers: number;
  /** Upstream of the default routes. */
  readonly upstream: UpstreamValue;
  /** Of the settings' files. */
  readonly certificates: ListenerCertificates;
  readonly ticketSecret: Uint8Array;
}

/** Of a Unix socket: Millrace's user and group. */
const usualMode = '0660';
/** Milliseconds that plugins get to let go when everything ends. */
const flushTime = 8000;

interface Open {
  readonly listener: PortListener | UdpListener;
  readonly status: ListenerStatus;
}

export class DataPlane {
  readonly engine: Engine;
  readonly routes: Routes;
  readonly #options: DataPlaneOptions;
  readonly #nodes: NodeTable;
  readonly #surroundings: UpstreamSurroundings;
  readonly #process: ProcessMetrics;
  readonly #upstreams: UpstreamMetrics;
  readonly #perAddress: ClientCounter;
  readonly #certificates: Certificates;
  /** By `address port`. */
  readonly #open = new Map<string, Open>();
  readonly #failed = new Map<string, ListenerStatus>();
  readonly #tails: Tails;
  #revision = 0;
  /** Resources that could not be put to use. */
  #rejected: ReadonlySet<string> = new Set();
  #draining = false;
  #applying: Promise<unknown> = Promise.resolve();

  constructor(options: DataPlaneOptions) {
    const { settings, log, worker, workers } = options;
    this.#options = options;
    const limits = limitsOf(settings.limits);
    const metrics = new Metrics();
    this.#process = watchProcess(metrics);
    const windows = new SharedWindows(options.windows);
    const occupancy = new SharedOccupancy(options.occupancy, worker);
    this.engine = new Engine({ log, metrics, limits, windows, occupancy, firstSession: worker + 1, sessionStep: workers });
    this.#tails = new Tails(this.engine, worker, (batch) => this.onTail(batch));
    this.#perAddress = new ClientCounter(Math.ceil(limits.clientsPerAddress / workers));
    const { certificates: files, ticketSecret } = options;
    this.#certificates = new Certificates({ log, files, ticketSecret, timeout: limits.handshakeTimeout, warns: worker === 0 });
    this.#surroundings = new UpstreamSurroundings({
      settings, registry: options.registry, log, metrics, worker, workers, secret: ticketSecret,
    });
    const targets = new TargetRules({ ...settings.targets, admin: settings.admin, onRefused: refusalLog(log) });
    this.#nodes = new NodeTable({
      targets, resolver: this.#surroundings.resolver,
      onChange: (node, available, reason) => {
        this.#upstreams.changed(node, available);
        log[available ? 'info' : 'warn']({ code: available ? 'NODE_UP' : 'NODE_DOWN', node: node.address, reason }, 'upstream node');
      },
    });
    this.#upstreams = new UpstreamMetrics(this.engine, this.#nodes);
    const protocols = new Set(settings.listeners.map(({ protocol }) => protocol).filter((name) => name !== undefined));
    this.routes = new Routes({
      engine: this.engine,
      registry: options.registry,
      nodes: this.#nodes,
      targets,
      surroundings: this.#surroundings,
      warns: worker === 0,
      own: settings,
      defaults: { protocols: [...protocols], upstream: options.upstream as UpstreamConf },
    });
  }

  /** Opens the listeners of the settings. Rejects with LISTEN_FAILED. */
  async listen(): Promise<void> {
    const { worker, workers, settings: { listeners } } = this.#options;
    const unix = listeners.filter((each) => each.unix !== undefined);
    for (const listener of listeners) {
      // A Unix socket cannot be shared as ports are: each is one worker's, in turn.
      if (listener.unix === undefined || unix.indexOf(listener) % workers === worker) await this.#listen(listener, 'settings');
    }
  }

  /** Builds and swaps; answers when listeners that routes ask for are open, too. Calls queue up. */
  apply(config: Config, embedded: ReadonlyMap<string, string>): Promise<readonly Rejection[]> {
    const run = async (): Promise<readonly Rejection[]> => {
      const services = this.#surroundings.prepare(config, defaultPort);
      if (services !== null) await services;
      const rejections = [...this.#taken(this.routes.apply(config, embedded))];
      this.#certificates.follow(config.resources.ssls);
      this.#revision = config.revision;
      await this.#followPorts();
      return rejections;
    };
    const result = this.#applying.then(run);
    this.#applying = result.catch(() => undefined);
    return result;
  }

  setCertificates(files: ListenerCertificates): void {
    this.#certificates.setFiles(files);
  }

  /** A plugin or protocol file changed. Null: it serves; a text: the old code goes on. */
  async loadModule({ kind, file, generation, sources }: LoadedModule): Promise<string | null> {
    const { loader } = this.#options;
    const error = await loader.load(kind, file, generation, sources);
    if (error !== null) return error;
    const before = this.#rejected;
    const rejections = this.#taken(this.routes.refresh()).filter((each) => !before.has(nameOf(each)));
    if (rejections.length === 0) return null;
    // Routes that it does not suit keep their plans; the others must not run other code than they do.
    loader.undo(file);
    this.#taken(this.routes.refresh());
    return rejections.map(({ id, text }) => `route ${id}: ${text}`).join('; ');
  }

  #taken(rejections: readonly Rejection[]): readonly Rejection[] {
    this.#rejected = new Set(rejections.map(nameOf));
    return rejections;
  }

  status(): PlaneStatus {
    const { worker, loader } = this.#options;
    return {
      worker,
      revision: this.#revision,
      sessions: this.engine.sessions.size,
      places: this.routes.places.map(([route, { plugin, version, hooks, warnings = [] }]) => {
        let status: Record<string, unknown> = {};
        try {
          // Cloned: it may travel to another thread.
          status = structuredClone(hooks.status?.() ?? {});
        } catch (cause) {
          status = { error: cause instanceof Error ? cause.message : String(cause) };
        }
        const told = warnings.length === 0 ? {} : { warnings: warnings.map(({ code, text }) => `${code}: ${text}`) };
        return { plugin, version, route, worker, status, ...told };
      }),
      modules: loader.modules,
      listeners: [...[...this.#open.values()].map(({ status }) => status), ...this.#failed.values()],
    };
  }

  /** Where batches of tails go. */
  onTail: (batch: TailBatch) => void = () => undefined;

  tail(options: TailOptions): void {
    this.#tails.open(options);
  }

  untail(id: number): void {
    this.#tails.close(id);
  }

  inspect(question: Question): Answer {
    const { engine, routes } = this;
    const { worker, settings } = this.#options;
    const statuses = [...[...this.#open.values()].map(({ status }) => status), ...this.#failed.values()];
    const anywhere = new Set(['0.0.0.0', '::']);
    return inspect(question, {
      worker, engine, routes, surroundings: this.#surroundings,
      listenerAt: (address, port) => statuses.find((each) => each.port === port && (each.address === address || anywhere.has(each.address))) ?? null,
      fallbackAt: (port) => routes.fallback(settings.listeners.find((each) => each.port === port)?.protocol),
    });
  }

  metrics(): MetricsSnapshot {
    this.#process.update();
    this.#upstreams.update();
    return [...this.engine.metrics.snapshot(), waitingRecords(this.routes.places)];
  }

  reopen(): void {
    reopenAll();
  }

  /** Stops accepting; ends clients as they become idle, and all of them at the deadline. */
  async drain(deadline: number): Promise<void> {
    this.#draining = true;
    this.#tails.closeAll();
    for (const { listener } of this.#open.values()) listener.close();
    this.#open.clear();
    const until = performance.now() + deadline;
    while (this.engine.sessions.size > 0 && performance.now() < until) {
      // First what has arrived is read: a client that asked before the end is answered.
      await new Promise((resolve) => setTimeout(resolve, 10));
      for (const session of this.engine.sessions) if (session.idle && !session.engaged) session.end('DRAINED');
    }
    for (const session of this.engine.sessions) session.destroy('DRAINED');
    // Loggers flush what they hold; a sink that hangs must not keep the process.
    await Promise.race([this.routes.close(), new Promise((resolve) => setTimeout(resolve, flushTime).unref())]);
    this.#nodes.close();
    this.#surroundings.close();
    this.#process.close();
    this.engine.close();
  }

  /** Opens the ports that routes ask for and nobody listens on, and closes those that nobody asks for any more. */
  async #followPorts(): Promise<void> {
    if (this.#draining) return;
    const { stream_ports: allowed } = this.#options.settings;
    const { first, last } = portRange(allowed.range);
    const wanted = this.routes.router.ports;
    for (const [key, { listener, status }] of this.#open) {
      if (status.origin !== 'route' || wanted.has(status.port)) continue;
      listener.close();
      this.#open.delete(key);
    }
    for (const [key, status] of this.#failed) if (!wanted.has(status.port)) this.#failed.delete(key);
    for (const port of wanted) {
      // At the start the settings' own listeners are opened after the routes are built.
      if (this.#options.settings.listeners.some((listener) => listener.port === port)) continue;
      if ([...this.#open.values()].some(({ status }) => status.port === port)) continue;
      const outside = !allowed.open || port < first || port > last;
      const status: ListenerStatus = { address: allowed.address, port, tls: false, origin: 'route', error: null };
      const key = `${allowed.address} ${port}`;
      if (outside) {
        const why = allowed.open ? `stream_ports.range is ${allowed.range}` : 'stream_ports.open is false';
        const error = `port ${port} may not be opened: ${why}`;
        if (!this.#failed.has(key)) this.engine.log.error({ code: 'LISTEN_FAILED', port }, error);
        this.#failed.set(key, { ...status, error });
        continue;
      }
      try {
        await this.#listen({ address: allowed.address, port }, 'route');
        this.#failed.delete(key);
      } catch (cause) {
        const error = (cause as Error).message;
        if (!this.#failed.has(key)) this.engine.log.error({ code: 'LISTEN_FAILED', port }, `a route's port could not be opened: ${error}`);
        this.#failed.set(key, { ...status, error });
      }
    }
  }

  async #listen(settings: ListenerSettings, origin: 'settings' | 'route'): Promise<void> {
    const listener = settings.transport === 'udp' ? this.#udpListener(settings) : this.#tcpListener(settings);
    const port = await listener.listen();
    const status = { address: settings.address, port, tls: settings.tls !== undefined, origin, error: null };
    this.#open.set(`${settings.address} ${port} ${settings.transport ?? 'tcp'}`, { listener, status });
  }

  #udpListener({ address, port }: ListenerSettings): UdpListener {
    const { engine } = this;
    const { workers } = this.#options;
    return new UdpListener({
      address, port, reusePort: workers > 1, engine, clients: Math.ceil(engine.limits.clientsPerListener / workers),
      perAddress: this.#perAddress, route: (from) => this.routes.router.match(from),
    });
  }

  #tcpListener(settings: ListenerSettings): PortListener {
    const { engine, engine: { limits } } = this;
    const { registry } = this.#options;
    const unix = settings.unix === undefined ? null : { path: settings.unix, mode: settings.mode ?? usualMode };
    const workers = unix === null ? this.#options.workers : 1;
    // Clients of a Unix socket have no address by which one could be told from another.
    const counted = settings.proxy_protocol === undefined ? Infinity : limits.clientsPerAddress;
    return new PortListener({
      address: settings.address,
      port: settings.port,
      unix,
      handshakes: settings.tls === undefined ? null : (events) => this.#certificates.handshakes(settings, events),
      balancers: settings.proxy_protocol === undefined ? null : anyOf(settings.proxy_protocol.trusted),
      reusePort: workers > 1,
      engine,
      clients: Math.ceil(limits.clientsPerListener / workers),
      perAddress: unix === null ? this.#perAddress : new ClientCounter(counted),
      route: (from) => this.routes.router.match(from) ?? this.routes.fallback(settings.protocol),
      protocol: (name) => (name === 'tcp' ? tcp : registry.protocols.get(name)?.value),
    });
  }
}

function nameOf({ kind, id }: Rejection): string {
  return `${kind} ${id}`;
}

function anyOf(networks: readonly string[]): (address: string) => boolean {
  const parsed = networks.filter((each) => each !== unixClient).map(parseNetwork);
  const unix = parsed.length < networks.length;
  return (address) => {
    if (address === unixClient) return unix;
    const hex = hexOf(address);
    return parsed.some(({ family, bits, prefix }) => hex.length === (family === 4 ? 8 : 32) && prefixOf(hex, bits) === prefix);
  };
}
